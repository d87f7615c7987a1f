"""Notices on their way: real servers, dead ones, silent ones; and a token that nothing shows."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

import pytest

from opsnb import notices
from opsnb.core.config import Settings
from opsnb.core.events import Outcome
from opsnb.core.notices import About, Message
from opsnb.core.settings.notices import Notice
from opsnb.errors import OpsnbError
from opsnb.job import Job
from opsnb.server import Server
from tests.support.hooked import HookServer
from tests.support.mail import MailServer
from tests.support.ports import free_port

TOKEN = "T0KENveryS3CRET"
NASTY = "<!channel> *bold* _it_ <https://evil|click> [a](http://evil) @everyone <b>x</b> & `c`"
ALL = ["start", "success", "failure", "restore", "rollback"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "index").write_text("one")
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(f"file://{tmp_path}/site", name="web1", environment_name="production")
    yield made
    made.close()


@pytest.fixture
def hook() -> Iterator[HookServer]:
    with HookServer() as running:
        yield running


def tell(server: Server, *told: dict[str, Any], **more: Any) -> None:
    server.settings = Settings.model_validate({"notices": told, **more})


def reports(hook: HookServer) -> list[dict[str, Any]]:
    return [json.loads(post.body) for post in hook.posts]


def failed(job: Job) -> OpsnbError:
    with pytest.raises(OpsnbError) as caught:
        job.wait()
    return caught.value


def test_a_webhook_is_posted_the_report_once_for_each_end(
    server: Server, source: Path, hook: HookServer
) -> None:
    tell(server, {"url": hook.url(), "send": "report", "on": ALL})
    job = server.deploy(source, revision="r1")
    report = job.wait()
    assert job.untold() == []
    (source / "index").write_text("two")
    server.deploy(source).wait()
    assert server.jobs[-1].untold() == []
    back = server.rollback()
    back.wait()
    assert back.untold() == []
    server.pin(report.release).wait()
    told = reports(hook)
    assert [one["event"] for one in told] == [
        "start",
        "success",
        "start",
        "success",
        "start",
        "rollback",
    ]
    assert {post.kind for post in hook.posts} == {"application/json"}
    assert told[1]["report"] == json.loads(json.dumps(report.to_dict()))
    assert told[1]["report"]["revision"] == "r1"
    assert (told[1]["server"], told[1]["environment"]) == ("web1", "production")
    assert told[1]["by"] == job.by
    assert f"{report.release} is live" in told[1]["text"]


def test_a_failure_and_a_restore_are_told_as_such(
    server: Server, source: Path, hook: HookServer
) -> None:
    told = {"url": hook.url(), "send": "report"}
    server.deploy(source).wait()
    (source / "index").write_text("two")
    tell(server, told, before_publish=["exit 3"])
    failed(server.deploy(source))
    server.jobs[-1].untold()
    tell(server, told, health=[{"command": "exit 7", "retries": 0}])
    failed(server.deploy(source))
    server.jobs[-1].untold()
    first, second = reports(hook)
    assert (first["event"], second["event"]) == ("failure", "restore")
    assert "exited with 3" in first["text"]
    assert second["report"]["exit_status"] == 21


def test_what_is_refused_before_it_begins_is_told_as_a_failure(
    server: Server, source: Path, hook: HookServer
) -> None:
    tell(server, {"url": hook.url(), "send": "report"}, freeze="christmas sale")
    failed(server.deploy(source))
    server.jobs[-1].untold()
    (told,) = reports(hook)
    assert told["report"]["exit_status"] == 12


@pytest.mark.parametrize("form", ["text", "html"])
def test_a_mail_comes_as_a_mail_in_which_nothing_is_markup(
    server: Server, source: Path, form: str
) -> None:
    with MailServer() as mail:
        to = "ops@example.com"
        url = f"mailto://127.0.0.1:{mail.port}/?from=opsnb@example.com&to={to}&format={form}"
        tell(server, {"url": url}, before_publish=[f"echo '{NASTY}'; exit 3 # {NASTY}"])
        failed(server.deploy(source))
        assert server.jobs[-1].untold() == []
        (came,) = mail.mails
    assert came["To"] is not None
    assert to in came["To"]
    parts = {p.get_content_type(): p.get_payload(decode=True) for p in came.walk()}
    page = parts["text/html" if form == "html" else "text/plain"]
    assert isinstance(page, bytes)
    assert str(make_header(decode_header(came["Subject"]))).startswith("✕ deploy on web1")
    assert b"not" in page
    assert (b"&lt;b&gt;x" if form == "html" else b"<b>x") in page
    if form == "html":
        assert b"<b>x" not in page
        assert b"<https" not in page


@pytest.mark.parametrize("form", ["markdown", "text"])
def test_in_slack_nothing_of_a_servers_words_is_markup_and_nobody_is_called(
    hook: HookServer, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = notices._service

    def ours(url: str) -> Any:
        service = real(url)
        service.webhook_url = hook.url("/services")
        return service

    monkeypatch.setattr(notices, "_service", ours)
    url = f"slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops?format={form}"
    message = Message("failure", f"title {NASTY}", (NASTY, "second line"), {})
    one = Notice.model_validate({"url": url})
    assert notices.send([(1, one, url)], message) == [""]
    (post,) = hook.posts
    text = json.dumps(json.loads(post.body), ensure_ascii=False)
    for markup in ("<!channel>", "<https://evil", "@everyone", "<b>", "[a](http"):
        assert markup not in text
    assert "second line" in text


# --- what goes wrong ---------------------------------------------------------------------------


def test_a_notice_that_fails_never_fails_a_deploy_and_is_a_warning_in_the_log(
    server: Server, source: Path
) -> None:
    with HookServer(status=500) as broken, HookServer(302, "http://127.0.0.1:1/") as away:
        tell(
            server,
            {"url": f"http://127.0.0.1:{free_port()}/{TOKEN}", "send": "report"},
            {"url": f"json://127.0.0.1:{free_port()}/{TOKEN}"},
            {"url": broken.url(f"/{TOKEN}"), "send": "report"},
            {"url": away.url(f"/{TOKEN}"), "send": "report"},
            {"url_env": "OPSNB_TEST_NO_SUCH_VARIABLE"},
            {"url": f"nonsense://{TOKEN}"},
            {"url": f"file:///etc/{TOKEN}", "send": "report"},
        )
        job = server.deploy(source)
        assert job.wait().outcome is Outcome.DONE
        faults = job.untold()
    assert [fault.partition(": ")[2] for fault in faults] == [
        "it failed (URLError)",
        "JSON did not take it",
        "the answer was 500",
        "the answer was 302",
        "OPSNB_TEST_NO_SUCH_VARIABLE is not set in your environment",
        notices.UNKNOWN,
        "a report is posted to an address that begins with http:// or https://",
    ]
    assert faults[0].startswith("notice 1 (opsnb.toml) was not delivered")
    assert job.log_file
    log = job.log_file.read_text()
    for fault in faults:
        assert fault in log
    assert TOKEN not in log
    assert job.report
    assert not any("notice" in warning for warning in job.report.warnings)


def test_a_notice_that_hangs_delays_nothing_and_is_given_up(
    server: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "DEADLINE", 0.5)
    with HookServer(silent=True) as silent:
        tell(
            server,
            {"url": silent.url(), "send": "report", "on": ALL},
            {"url": "json://127.0.0.1:1"},
        )
        job = server.deploy(source)
        # The change has ended while the first notice still hangs.
        assert job.wait(30).outcome is Outcome.DONE
        assert any("no answer within 0.5 s" in fault for fault in job.untold())
        assert len(silent.posts) >= 1


PROGRAM = """
import sys, time
from opsnb import notices
from opsnb.core.config import Settings
from opsnb.server import Server
notices.DEADLINE = float(sys.argv[4])
server = Server(f"file://{sys.argv[1]}", name="web1")
server.settings = Settings.model_validate({"notices": [{"url": sys.argv[3], "send": "report"}]})
print(server.deploy(sys.argv[2]).wait().outcome)
"""


def ran(tmp_path: Path, source: Path, url: str, deadline: float) -> None:
    """Deploy from a process of its own, which ends at once after the deploy."""
    args = [str(tmp_path / "site"), str(source), url, str(deadline)]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, *args],
        env={**os.environ, "OPSNB_LOGS": str(tmp_path / "logs")},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_a_program_that_ends_waits_for_its_notices_and_not_for_ever(
    tmp_path: Path, source: Path, hook: HookServer
) -> None:
    ran(tmp_path, source, hook.url(), 10)
    assert [one["event"] for one in reports(hook)] == ["success"]
    (source / "index").write_text("two")
    with HookServer(silent=True) as silent:
        # It ends although nothing is ever answered: the server would wait for a minute.
        ran(tmp_path, source, silent.url(), 1)
        assert len(silent.posts) == 1


# --- a token -----------------------------------------------------------------------------------


class Kept(logging.Handler):
    """Keeps every record that any library logs."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name} {record.getMessage()}")


def test_a_token_is_in_nothing_that_is_said_written_or_logged(
    server: Server,
    source: Path,
    hook: HookServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Whatever the hook prints, whatever a library logs at its most talkative."""
    half, rest = TOKEN[:7], TOKEN[7:]
    monkeypatch.setenv("HOOK_URL", hook.url(f"/{TOKEN}"))
    monkeypatch.setenv("HOOK_PART", TOKEN)
    kept, root = Kept(), logging.getLogger()
    monkeypatch.setattr(root, "level", logging.DEBUG)
    root.addHandler(kept)
    try:
        tell(
            server,
            {"url_env": "HOOK_URL", "send": "report", "on": ALL},
            {"url": f"json://127.0.0.1:{free_port()}/${{HOOK_PART}}", "on": ALL},
            {"url": hook.url(f"/{TOKEN}").replace("http", "json", 1), "on": ALL},
            before_publish=[f"printf '%s%s\\n' {hook.url('/' + half)} {rest}; exit 3"],
        )
        job = server.deploy(source)
        error = failed(job)
        job.untold()
        tested = server.test_notices()
    finally:
        root.removeHandler(kept)
    said = [repr(error), str(error), repr(job), repr(job.events), repr(server.settings)]
    said += [repr(vars(job)), repr(job._teller), str(tested), *kept.lines, *capfd.readouterr()]
    said += [path.read_text("utf-8", "replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text for text in said if TOKEN in text]
    assert job.log_file
    assert TOKEN not in job.log_file.read_text()
    # The control: it was used, and the hook's words were kept but for it.
    assert {post.path for post in hook.posts} == {f"/{TOKEN}"}
    assert "***" in job.log_file.read_text()
    assert all(TOKEN.encode() not in post.body for post in hook.posts)


def test_the_logs_of_others_are_left_alone() -> None:
    """What is filtered is what our own threads say."""
    notices._leads_to("json://127.0.0.1:1")
    kept = Kept()
    logger = logging.getLogger("urllib3.connectionpool")
    logger.addHandler(kept)
    try:
        logger.warning("somebody else's")
        thread = threading.Thread(target=logger.warning, args=("ours",), name=notices.THREAD)
        thread.start()
        thread.join()
    finally:
        logger.removeHandler(kept)
    assert kept.lines == ["urllib3.connectionpool somebody else's"]


# --- a test message ----------------------------------------------------------------------------


def test_a_test_message_says_that_it_is_one_and_what_was_not_delivered(
    server: Server, hook: HookServer
) -> None:
    tell(
        server,
        {"url": hook.url(), "send": "report", "on": ["failure"]},
        {"url_env": "OPSNB_TEST_NO_SUCH_VARIABLE"},
        {"url": hook.url("/x").replace("http", "json", 1)},
    )
    rows = server.notices()
    assert [row["service"] for row in rows] == ["webhook", "", "JSON"]
    assert hook.posts == []
    good, unset, also = server.test_notices()
    assert (good["fault"], also["fault"]) == ("", "")
    assert "not set" in str(unset["fault"])
    # All are told at the same time, and one of them in words of its own.
    (report,) = [post for post in reports(hook) if "event" in post]
    assert report["event"] == "test"
    assert "This is a test" in report["text"]


def test_nobody_is_told_of_what_switches_nothing(
    server: Server, source: Path, hook: HookServer
) -> None:
    server.deploy(source).wait()
    tell(server, {"url": hook.url(), "send": "report", "on": ALL})
    for job in (server.pin(server.look().current.name), server.hold("x")):
        job.wait()
        assert job.untold() == []
    assert hook.posts == []
    assert About("a", "", "b").where == "a"
