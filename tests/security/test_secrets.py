"""A secret reaches the hooks and nothing else: no output, log, argument, record or notebook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import nbformat
import pytest

from opsnb.core.config import Settings, parse
from opsnb.errors import ConfigError, OpsnbError
from opsnb.notebook import objects
from opsnb.project import Project
from opsnb.server import Server
from tests.cli.conftest import Shell
from tests.security.secret import VALUE, arguments, kept, leaks, shown_of, there
from tests.support.sshd import RealSshd

pytestmark = pytest.mark.usefixtures("secret_given")

SAYS = [
    'printf "%s\\n" "$TOKEN"',
    'echo "a line with $TOKEN in it" >&2',
    'printf %.9s "$TOKEN"; sleep 0.2; printf \'%s\\n\' "${TOKEN#?????????}"',
    'printf %s "$TOKEN" | base64',
    'printf "user:%s" "$TOKEN" | base64 -w0; echo',
    'cat "$HOME/encoded"; printf %s "$TOKEN" | od -An -v -tx1',
    "env; set",
    'set -x; true "$TOKEN"; sleep 0.3',
]
FAILS = 'echo "cannot log in with $TOKEN"; echo "$TOKEN" >&2; exit 7'


@pytest.fixture(scope="module")
def sshd() -> Iterator[RealSshd]:
    with RealSshd() as running:
        (running.home / "encoded").write_text(f"{quote(VALUE)}\n{json.dumps(VALUE)}\n")
        yield running


def server(sshd: RealSshd, hooks: list[str], after: list[str] | None = None) -> Server:
    settings = {"secrets": ["TOKEN"], "before_publish": hooks, "after_publish": after or []}
    return Server(
        sshd.url(), ssh_config=sshd.ssh_config, settings=Settings.model_validate(settings)
    )


def test_a_deploy_whose_hooks_say_it_in_every_way_shows_it_nowhere(
    sshd: RealSshd, tmp_path: Path
) -> None:
    on = server(sshd, SAYS, ['printf %s "$TOKEN" >"$OPSNB_SHARED/got"'])
    with arguments() as seen:
        job = on.deploy(tmp_path / "source", force=True, revision="r1")
        report = job.wait()
    shown = shown_of(on, job, report)
    on.close()
    assert (sshd.deploy_to / "shared" / "got").read_text() == VALUE
    assert repr(job.events).count("***") >= len(SAYS)
    assert leaks("\n".join(shown)) == []
    assert leaks(kept(tmp_path)) == []
    assert leaks(there(sshd)) == []
    assert leaks(b"\n".join(seen)) == []
    assert any(b"sleep" in line for line in seen)


def test_a_hook_that_fails_and_one_that_is_ended_do_not_tell_it_either(
    sshd: RealSshd, tmp_path: Path
) -> None:
    for hook in (FAILS, f"# {VALUE}\necho $TOKEN; sleep 30"):
        on = server(sshd, [hook])
        on.settings = Settings.model_validate(
            {"secrets": ["TOKEN"], "before_publish": [{"command": hook, "timeout": 1}]}
        )
        job = on.deploy(tmp_path / "source", force=True)
        with pytest.raises(OpsnbError) as failed:
            job.wait()
        error = failed.value
        told = [str(error), repr(error), repr(error.args), *error._render_traceback_()]
        told += [objects.trouble(error).html, repr(error.report), repr(job.events)]
        on.close()
        assert leaks("\n".join(told)) == []
        assert leaks(kept(tmp_path) + there(sshd)) == []


def test_a_reason_that_names_it_is_masked_in_what_is_written_down(
    sshd: RealSshd, tmp_path: Path
) -> None:
    on = server(sshd, [])
    for _ in range(2):
        on.deploy(tmp_path / "source", force=True).wait()
    on.rollback(why=f"the token {VALUE} was in the page").wait()
    on.close()
    assert b"the token *** was" in there(sshd)
    assert leaks(there(sshd)) == []


def test_the_command_line_and_a_saved_notebook_do_not_show_it(
    sshd: RealSshd, tmp_path: Path
) -> None:
    shell = Shell(tmp_path, {"TOKEN": VALUE})
    hooks = json.dumps([*SAYS[:3], FAILS])
    url = f"url = {json.dumps(sshd.url())}\n"
    shell.config(f'[project]\nsecrets = ["TOKEN"]\nbefore_publish = {hooks}\n[servers.web1]\n{url}')
    config = str(sshd.ssh_config)
    (tmp_path / "source" / "index").write_text("another")
    for how in ((), ("--json",)):
        ran = shell(
            "--ssh-config", config, "deploy", "web1", "source", "--yes", *how, OPSNB_DEBUG="1"
        )
        assert ran.returncode == 20, ran.stderr
        assert "***" in ran.stdout + ran.stderr
        assert leaks(ran.stdout + ran.stderr) == []
    cell = nbformat.v4.new_code_cell(
        "import opsnb\n"
        f"server = opsnb.load('opsnb.toml', ssh_config={config!r}).server('web1')\n"
        "server.deploy('source', force=True).wait()"
    )
    book = nbformat.v4.new_notebook(cells=[cell])
    nbformat.write(book, tmp_path / "book.ipynb")
    ran = shell("run", "book.ipynb", "--kernel", "python3")
    assert ran.returncode not in (0, 1, 2), ran.stderr
    written = [path.read_text() for path in tmp_path.rglob("*.ipynb")]
    written += [path.read_text() for path in tmp_path.rglob("*.html")]
    assert len(written) >= 2
    assert any("***" in text for text in written)
    assert leaks("".join(written) + ran.stdout + ran.stderr) == []
    assert leaks(kept(tmp_path)) == []


def test_a_secret_that_is_not_set_is_told_before_anything_is_done(
    sshd: RealSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOKEN")
    on = server(sshd, [])
    before = sshd.log()
    for act in (lambda: on.deploy(tmp_path / "source"), on.rollback):
        with pytest.raises(ConfigError, match="the secret TOKEN is not set"):
            act()
    assert sshd.log() == before
    assert on.jobs == []
    on.close()
    shell = Shell(tmp_path)
    shell.config(f'[project]\nsecrets = ["TOKEN"]\n[servers.web1]\nurl = "file://{tmp_path}/srv"\n')
    ran = shell("deploy", "web1", "source", "--yes")
    assert (ran.returncode, "TOKEN" in ran.stderr) == (2, True)
    assert not (tmp_path / "srv").exists()


@pytest.mark.parametrize("name", ["A B", "1A", "", "PATH", "OPSNB_X", "opsnb_hook", "UID", "A=B"])
def test_what_is_no_name_for_a_variable_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no name for a variable"):
        parse(f"[project]\nsecrets = [{json.dumps(name)}]\n")
    assert parse('[project]\nsecrets = ["TOKEN", "_x9"]\n').project.secrets == ("TOKEN", "_x9")


def test_the_environments_of_a_project_each_have_their_secrets() -> None:
    config = parse(
        '[project]\nsecrets = ["A"]\n[environments.live]\nsecrets = ["B"]\n'
        '[servers.one]\nurl = "file:///srv/one"\n'
        '[servers.two]\nurl = "file:///srv/two"\nenvironment = "live"\n'
    )
    made = Project(config)
    assert made.server("one").settings.secrets == ("A",)
    assert made.server("two").settings.secrets == ("B",)


# --- the controls ------------------------------------------------------------------------------


def test_the_control_without_the_mark_all_of_it_is_told(sshd: RealSshd, tmp_path: Path) -> None:
    said = [*SAYS[:5], SAYS[5], f"/bin/sh -c 'sleep 0.5' sh {json.dumps(VALUE)}"]
    export = "TOKEN=" + "'" + VALUE.replace("'", "'\\''") + "'; "
    on = server(sshd, [export + line for line in said])
    on.settings = Settings.model_validate({"before_publish": [export + line for line in said]})
    with arguments() as seen:
        job = on.deploy(tmp_path / "source", force=True)
        job.wait()
    on.close()
    told = "\n".join(str(event.to_dict().get("text")) for event in job.events)
    assert len(leaks(told)) >= 5
    assert leaks(kept(tmp_path)) != []
    assert leaks(b"\n".join(seen)) != []
