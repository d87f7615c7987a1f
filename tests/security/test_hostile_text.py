"""Text of a server is shown, never run: terminal, tables, notebook objects, receipt, pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from nbconvert import HTMLExporter

from opsnb import tables
from opsnb.core.config import Settings, parse
from opsnb.core.lines import lines
from opsnb.core.output import Output
from opsnb.core.text import safe
from opsnb.embedded.sshd import EmbeddedServer
from opsnb.errors import OpsnbError
from opsnb.notebook import feed, objects
from opsnb.notebook.console import pictures
from opsnb.notebook.html import tag
from opsnb.project import Project
from opsnb.server import Server
from tests.cli.conftest import Shell, Terminal
from tests.security.corpus import (
    TEXTS,
    controls,
    everything,
    in_a_page,
    names,
    on_a_terminal,
    sent_raw,
    strings,
)
from tests.security.sample import WHOLE, sample
from tests.security.site import Hostile, build
from tests.support.sshd import RealSshd

# What runs or moves something when it is shown as it is; the rest spoils a line or a table.
RUNNING = [what for what, text in TEXTS.items() if "window.pwned" in text and text[0] == "<"]
RAW_CONTROLS = [what for what, text in TEXTS.items() if controls(text)]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    """Questions do not change it, and whoever changes it leaves it hostile."""
    return build(tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def server(hostile: Hostile) -> Iterator[Server]:
    settings = Settings.model_validate({"before_publish": [hostile.hook], "keep_releases": 900})
    there = Server(hostile.url, name="w<b>\u202e", settings=settings)
    yield there
    there.close()


@pytest.fixture
def shell(hostile: Hostile, tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    hook = json.dumps(hostile.hook)
    made.config(
        f"[project]\nkeep_releases = 900\nbefore_publish = [{hook}]\n"
        f"[servers.web1]\nurl = {json.dumps(hostile.url)}\n"
    )
    return made


# --- the controls ------------------------------------------------------------------------------


@pytest.mark.parametrize("what", RUNNING)
def test_the_control_text_that_is_not_escaped_is_found_in_a_page(what: str) -> None:
    assert in_a_page(f"<table><tr><td>{TEXTS[what]}</td></tr></table>")
    assert not in_a_page(f"<table><tr><td>{escape(TEXTS[what])}</td></tr></table>")


def test_the_control_an_attribute_that_is_not_escaped_is_found() -> None:
    assert in_a_page(f'<td title="{TEXTS["attribute"]}">')
    assert in_a_page(f"<td title='{TEXTS['attribute, single']}'>")
    assert not in_a_page(tag("td", title=TEXTS["attribute"]))


@pytest.mark.parametrize("what", RAW_CONTROLS)
def test_the_control_text_that_is_printed_as_it_is_is_found(what: str) -> None:
    text = TEXTS[what]
    assert controls(f"| {text} |", lines=False)
    assert sent_raw(f"\x1b[32m✓\x1b[0m {text}\r\n") == [what]
    assert not on_a_terminal(f"\x1b[32m✓\x1b[0m {safe(text)}\r\n")


def test_the_control_the_corpus_is_what_it_says() -> None:
    assert len(RUNNING) >= 7
    assert len(RAW_CONTROLS) >= 25
    assert len(set(names().values())) == len(everything())


# --- the pieces --------------------------------------------------------------------------------


@pytest.mark.parametrize("what", everything())
def test_each_text_is_one_line_that_is_safe_wherever_it_is_shown(what: str) -> None:
    raw = everything()[what]
    for shown in (safe(raw), safe(raw.decode("utf-8", "surrogateescape"))):
        assert controls(shown, lines=False) == []
        assert in_a_page(tag("p", shown, title=shown)) == []
        assert in_a_page(pd.DataFrame({shown: [shown]}).to_html()) == []
        shown.encode("utf-8")


def test_the_lines_of_a_command_are_safe_however_they_are_cut() -> None:
    raw = b"\n".join(everything().values())
    for size in (1, 7, 4096):
        output = Output()
        lines = [
            said
            for at in range(0, len(raw), size)
            for said in output.feed("out", raw[at : at + size])
        ]
        assert controls("".join(said.text for said in [*lines, *output.end()])) == []


# --- the terminal ------------------------------------------------------------------------------

QUESTIONS = ["check", "releases", "usage", "log", "log --verify", "lock status", "diff", "plan"]


def arguments(question: str, hostile: Hostile) -> list[str]:
    verb, *rest = question.split()
    if verb == "diff":
        rest = list(hostile.releases[:2])
    elif verb == "plan":
        rest = [str(hostile.source)]
    return [verb, "web1", *rest]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_in_a_pipe_shows_no_control_byte(
    shell: Shell, hostile: Hostile, question: str
) -> None:
    for extra in ([], ["--json"]):
        ran = shell(*arguments(question, hostile), *extra)
        assert ran.returncode != 1, ran.stderr
        assert "Traceback" not in ran.stderr
        assert ran.stdout
        assert controls(ran.stdout + ran.stderr) == []
        if extra:
            assert ran.stdout.isascii()
            found = list(strings(json.loads(ran.stdout)))
            assert [text for text in found if controls(text, lines=False)] == []


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_on_a_terminal_sends_it_nothing_but_our_own_sequences(
    shell: Shell, hostile: Hostile, question: str
) -> None:
    seen = Terminal(shell, arguments(question, hostile), columns=400)
    assert seen.end() != 1
    assert on_a_terminal(seen.seen) == []
    assert sent_raw(seen.seen) == []


def test_what_is_shown_is_the_hostile_text_itself(shell: Shell, hostile: Hostile) -> None:
    """Else the tests above would look at nothing."""
    seen = shell("releases", "web1").stdout + shell("log", "web1").stdout
    seen += shell("lock", "web1", "status").stdout + shell("check", "web1").stdout
    seen += shell("plan", "web1", str(hostile.source), "--force").stdout
    for text in TEXTS.values():
        assert safe(text)[:60] in seen


def changed(shell: Shell, hostile: Hostile, run: Callable[..., str]) -> str:
    """What a deploy with hostile hooks, a failing one, a rollback and a prune say."""
    hostile.held(held=False)
    (hostile.source / "index").write_text(str(len(list((hostile.root / "releases").iterdir()))))
    said = run("deploy", "web1", str(hostile.source), "--yes", "--revision", "<b>\u202e$x$")
    said += run("rollback", "web1", "--yes", "--why", TEXTS["hyperlink"].replace("\x1b", ""))
    said += run("rollback", "web1", "--to", TEXTS["override"] + TEXTS["script"], "--yes")
    said += run("pin", "web1", TEXTS["clear"])
    hostile.held(held=True)
    return said + run("deploy", "web1", str(hostile.source), "--yes")


def test_a_change_in_a_pipe_shows_no_control_byte(shell: Shell, hostile: Hostile) -> None:
    def run(*args: str) -> str:
        ran = shell(*args)
        assert ran.returncode != 1, ran.stderr
        assert "Traceback" not in ran.stderr
        return ran.stdout + ran.stderr

    said = changed(shell, hostile, run)
    assert controls(said) == []
    assert "│ " + safe(TEXTS["clear"]) in said
    as_json = changed(shell, hostile, lambda *args: run(*args, "--json"))
    assert as_json.isascii()
    texts = [text for line in as_json.splitlines() for text in strings(json.loads(line))]
    assert [text for text in texts if controls(text, lines=False)] == []


def test_a_change_on_a_terminal_sends_it_nothing_but_our_own_sequences(
    shell: Shell, hostile: Hostile
) -> None:
    def run(*args: str) -> str:
        seen = Terminal(shell, args, columns=200)
        assert seen.end() != 1
        return seen.seen

    said = changed(shell, hostile, run)
    assert on_a_terminal(said) == []
    assert sent_raw(said) == []


# --- tables and the notebook -------------------------------------------------------------------


def frames(server: Server, hostile: Hostile) -> dict[str, pd.DataFrame]:
    return {
        "releases": server.releases(),
        "usage": server.usage(),
        "diff": server.diff(*hostile.releases[:2]),
        "log": server.log(),
        "check": tables.check(server.findings()),
    }


def test_every_table_is_safe_as_text_and_as_html(server: Server, hostile: Hostile) -> None:
    with pd.option_context("display.max_colwidth", None, "display.max_rows", None):
        for name, whole in frames(server, hostile).items():
            frame = whole if WHOLE else whole.iloc[::4]
            notebook: Any = frame
            assert controls(frame.to_string()) == [], name
            assert in_a_page(notebook._repr_html_()) == [], name
            assert in_a_page(frame.to_html()) == [], name
            for column in frame.select_dtypes(["string"]):
                said = frame[column].dropna()
                assert not said.map(lambda text: bool(controls(text, lines=False))).any(), column


def shown(server: Server, hostile: Hostile) -> Iterator[tuple[str, objects.Shown]]:
    """Every object that a notebook shows."""
    hostile.held(held=True)
    yield "server", objects.server(server)
    yield "plan", objects.deploy_plan(server.plan(hostile.source, force=True))
    yield "rollback", objects.plan(server.plan_rollback(), server.name)
    yield "prune", objects.plan(server.plan_prune(1), server.name)
    held = server.deploy(hostile.source, force=True)
    with pytest.raises(OpsnbError) as refused:
        held.wait()
    yield "held", objects.receipt(held)
    yield "error", objects.trouble(refused.value)
    hostile.held(held=False)
    done = server.deploy(hostile.source, force=True, revision="<b>pwned</b>")
    yield "report", objects.report(done.wait())
    yield "receipt", objects.receipt(done)
    yield "receipts", objects.receipts([held, done])
    project = Project(parse(f'[servers."w<b>"]\nurl = {json.dumps(hostile.url)}\n'))
    yield "project", objects.project(project)


def test_every_object_of_a_notebook_is_safe_as_text_and_as_html(
    server: Server, hostile: Hostile
) -> None:
    pages = []
    for name, drawn in shown(server, hostile):
        assert controls(drawn.text) == [], name
        assert in_a_page(drawn.html) == [], name
        pages.append(drawn.html)
    assert sum(escape(safe(TEXTS["image"])) in page for page in pages) >= 3


def test_what_the_console_and_the_views_are_told_is_safe(server: Server, hostile: Hostile) -> None:
    from datetime import UTC, datetime

    from opsnb.core import audit

    hostile.held(held=True)
    now = datetime.now(UTC)
    site, used = server.measure()
    told: list[object] = [pictures.site(site, server.settings, now, used, server.drift())]
    plan = server.plan(hostile.source, force=True).plan
    told += [pictures.plan(plan, server.name), pictures.plan(server.plan_prune(1), server.name)]
    told.append(pictures.diff("a", "b", plan.difference))
    told.append(pictures.audit(audit.read(server.audit_log()), 3))
    hostile.held(held=False)
    job = server.deploy(hostile.source, force=True)
    job.wait()
    told += [feed.progress_of(job), [feed.plain(line) for line in lines(job.events)]]
    found = [text for text in strings(told) if controls(text, lines=False)]
    assert found == []
    assert len(list(strings(told))) > 500


def test_the_page_that_nbconvert_makes_of_it_runs_nothing(server: Server, hostile: Hostile) -> None:
    outputs = [
        nbformat.v4.new_output(
            "display_data", data={"text/plain": drawn.text, "text/html": drawn.html}
        )
        for _, drawn in shown(server, hostile)
    ]
    for whole in frames(server, hostile).values():
        frame = whole if WHOLE else whole.iloc[1::4]
        both = {"text/plain": frame.to_string(), "text/html": frame.to_html()}
        outputs.append(nbformat.v4.new_output("display_data", data=both))
    cell = nbformat.v4.new_code_cell("server", outputs=outputs)
    page, _ = HTMLExporter(template_name="lab").from_notebook_node(
        nbformat.v4.new_notebook(cells=[cell])
    )
    assert in_a_page(page) == []
    naive = {"text/html": f"<td>{TEXTS['image']}</td>"}
    cell.outputs.append(nbformat.v4.new_output("display_data", data=naive))
    page, _ = HTMLExporter(template_name="lab").from_notebook_node(
        nbformat.v4.new_notebook(cells=[cell])
    )
    assert in_a_page(page) != []


# --- what a server says before and beside --------------------------------------------------------


def test_banners_rc_files_and_a_shell_that_will_not_run_say_nothing_harmful(
    tmp_path: Path, shell: Shell, hostile: Hostile
) -> None:
    texts = (text for what, text in TEXTS.items() if what != "surrogate" and len(text) < 1_000)
    rc = f"cat {tmp_path / 'lines'}\n/bin/sh -c 'cat {tmp_path / 'lines'} >&2'\n"
    (tmp_path / "lines").write_bytes(hostile.lines.read_bytes())
    tmp_path.chmod(0o755)
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "index").write_text("one")
    with RealSshd(shell="bash", rc=rc, banner="".join(texts)) as sshd:
        for args in (["check"], ["deploy", "v1", "--yes"], ["releases"]):
            verb, *rest = args
            ran = shell("--ssh-config", str(sshd.ssh_config), verb, sshd.url(), *rest)
            assert ran.returncode == 0, ran.stderr
            assert controls(ran.stdout + ran.stderr) == []


def test_a_banner_that_is_no_utf_8_is_in_nobody_s_way(shell: Shell) -> None:
    with RealSshd(banner="caf\udce9 \udcff\udcfe\x1b[2J\n") as sshd:
        ran = shell("--ssh-config", str(sshd.ssh_config), "check", sshd.url())
    assert ran.returncode == 0, ran.stderr
    assert controls(ran.stdout + ran.stderr) == []


def test_a_shell_that_only_shouts_and_a_tool_that_complains_are_quoted_safely(
    tmp_path: Path, shell: Shell, hostile: Hostile
) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "index").write_text("one")
    short = {name: text for name, text in everything().items() if len(text) < 1_000}
    for name, text in sample(short, every=8).items():
        (tmp_path / "text").write_bytes(text)
        tool = tmp_path / "bin" / "tar"
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(
            '#!/bin/sh\n[ "$1" != --version ] || exec /bin/tar "$@"\n'
            f"cat {tmp_path}/text >&2\nexit 2\n"
        )
        tool.chmod(0o755)
        path = f"{tool.parent}:/usr/bin:/bin"
        with EmbeddedServer(env={"PATH": path}) as embedded:
            there = Server(embedded.url, ssh_config=embedded.ssh_config)
            with pytest.raises(OpsnbError) as failed:
                there.deploy(tmp_path / "v1").wait()
            there.close()
        assert controls(str(failed.value)) == [], name
        assert failed.value.message.startswith("cannot unpack")
        drawn = objects.report(failed.value.report)
        assert in_a_page(drawn.html) + controls(drawn.text) == [], name


def test_the_last_words_of_a_login_shell_are_quoted_safely(
    tmp_path: Path, shell: Shell, hostile: Hostile
) -> None:
    script = tmp_path / "login"
    script.write_text(f"#!/bin/sh\ncat {hostile.lines} >&2\ntail -c 250 {hostile.lines}\nexit 1\n")
    script.chmod(0o755)
    with EmbeddedServer(shell=str(script)) as embedded:
        ran = shell("--ssh-config", str(embedded.ssh_config), "check", embedded.url)
    assert ran.returncode == 11
    assert controls(ran.stdout + ran.stderr) == []
    assert "ran no /bin/sh" in ran.stderr
