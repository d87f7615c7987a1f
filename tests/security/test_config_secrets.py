"""A secret of a configuration file stands in that file alone: no output, log, argument or record.

Neither does the SHA-256 of the file, of which a secret that is easily guessed could be found.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest

from opsnb.core.config import Settings, parse
from opsnb.engine.templates import render
from opsnb.errors import ConfigError, OpsnbError
from opsnb.notebook import objects
from opsnb.server import Server
from tests.cli.conftest import Shell
from tests.security.secret import VALUE, arguments, kept, leaks, shown_of, there
from tests.support.sshd import RealSshd

pytestmark = pytest.mark.usefixtures("secret_given")

TEMPLATE = "TOKEN={{ secrets.TOKEN }}\n"
FILE = {"path": ".env", "content": TEMPLATE}
SHARED = {"path": "db.env", "content": TEMPLATE, "to": "shared"}
SHA = hashlib.sha256(f"TOKEN={VALUE}\n".encode()).hexdigest()
PRINTS = 'printf "%s\\n" "$TOKEN"; echo "warned about $TOKEN" >&2'


@pytest.fixture(scope="module")
def sshd() -> Iterator[RealSshd]:
    with RealSshd() as running:
        yield running


def found(text: str | bytes) -> list[bytes]:
    """The secret, and the digest of its file, where they can be read."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return [*leaks(raw), *([b"SHA-256"] if SHA[:12].encode() in raw else [])]


def settings(**more: object) -> Settings:
    secret = {"TOKEN": more.pop("origin", {"env": "TOKEN"})}
    return Settings.model_validate({"files": [FILE, SHARED], "secret_vars": secret, **more})


def server(sshd: RealSshd, **more: object) -> Server:
    return Server(sshd.url(), ssh_config=sshd.ssh_config, settings=settings(**more))


def open_there(sshd: RealSshd) -> bytes:
    """All that opsnb has written down on the server and other users may read."""
    known = (path for path in (sshd.deploy_to / ".opsnb").rglob("*") if path.is_file())
    return b"\n".join(path.read_bytes() for path in known if path.stat().st_mode & 0o044)


def test_a_deploy_shows_it_nowhere(sshd: RealSshd, tmp_path: Path) -> None:
    """Not even where a hook prints the file, or the command that gives it complains of it."""
    hooks = ["cat .env; base64 .env", "echo before"]
    on = server(
        sshd,
        origin={"command": PRINTS},
        before_publish=hooks,
        after_publish=["cat ../../shared/db.env >&2"],
    )
    with arguments() as seen:
        plan = on.plan(tmp_path / "source")
        job = on.deploy(tmp_path / "source", force=True)
        report = job.wait()
    shown = [str(plan), repr(plan), repr(plan.plan), repr(plan.wish), repr(plan.source)]
    shown += shown_of(on, job, report)
    on.close()
    placed = [sshd.deploy_to / "current" / ".env", sshd.deploy_to / "shared" / "db.env"]
    assert [path.read_text() for path in placed] == [f"TOKEN={VALUE}\n"] * 2
    assert "***" in repr(job.events)
    assert "warned about ***" in repr(job.events)
    # (The plan's manifest has the digests: what compares has to know them. Nothing shows them.)
    assert leaks("\n".join(shown)) == []
    assert found("\n".join(text for text in shown if "Entry(" not in text)) == []
    assert found(kept(tmp_path)) == []
    assert leaks(there(sshd)) == []
    assert found(open_there(sshd)) == []
    assert found(b"\n".join(seen)) == []
    # The control: it is looked for where it is.
    assert found(placed[0].read_bytes()) != []
    assert SHA.encode() in there(sshd)


def test_a_deploy_that_fails_does_not_show_it_either(sshd: RealSshd, tmp_path: Path) -> None:
    on = server(sshd, before_publish=["cat .env; exit 7"])
    job = on.deploy(tmp_path / "source", force=True)
    with pytest.raises(OpsnbError) as failed:
        job.wait()
    error = failed.value
    told = [str(error), repr(error.args), *error._render_traceback_(), repr(job.events)]
    told += [objects.trouble(error).html, repr(error.report)]
    on.close()
    assert found("\n".join(told)) == []
    assert found(kept(tmp_path) + open_there(sshd)) == []


def test_the_command_line_and_a_saved_notebook_do_not_show_it(
    sshd: RealSshd, tmp_path: Path
) -> None:
    shell = Shell(tmp_path, {"TOKEN": VALUE})
    shell.config(
        '[project]\nafter_publish = ["cat .env"]\n'
        f'[[project.files]]\npath = ".env"\ncontent = {json.dumps(TEMPLATE)}\n'
        f"[project.secret_vars]\nTOKEN = {{ command = {json.dumps(PRINTS)} }}\n"
        f"[servers.web1]\nurl = {json.dumps(sshd.url())}\n"
    )
    config = str(sshd.ssh_config)
    said = []
    for verb, more in (("plan", ()), ("deploy", ("--yes",)), ("log", ()), ("releases", ())):
        for number, how in enumerate(((), ("--json",))):
            (tmp_path / "source" / "index").write_text(f"{verb}{number}")
            what = ("source",) if verb in ("plan", "deploy") else ()
            ran = shell("--ssh-config", config, verb, "web1", *what, *more, *how, OPSNB_DEBUG="1")
            assert ran.returncode == 0, ran.stderr
            said.append(ran.stdout + ran.stderr)
    assert any("***" in text for text in said)
    assert found("".join(said)) == []
    cell = nbformat.v4.new_code_cell(
        "import opsnb\n"
        f"server = opsnb.load('opsnb.toml', ssh_config={config!r}).server('web1')\n"
        "print(server.plan('source'))\nserver.deploy('source', force=True)"
    )
    book = nbformat.v4.new_notebook(cells=[cell])
    nbformat.write(book, tmp_path / "book.ipynb")
    ran = shell("run", "book.ipynb", "--kernel", "python3")
    written = [path.read_text() for path in tmp_path.rglob("*.ipynb")]
    written += [path.read_text() for path in tmp_path.rglob("*.html")]
    assert len(written) >= 2
    assert any("digest" in text for text in written)
    assert found("".join(written) + ran.stdout + ran.stderr) == []
    assert found(kept(tmp_path)) == []


# --- where they come from ----------------------------------------------------------------------


def content(tmp_path: Path, origin: object) -> str:
    """What a template makes of a secret."""
    on = Server(f"file://{tmp_path}/site", settings=settings(origin=origin))
    on.deploy(tmp_path / "source", force=True).wait()
    on.close()
    return (tmp_path / "site" / "current" / ".env").read_text()


@pytest.mark.parametrize(
    "origin",
    [
        {"env": "TOKEN"},
        {"command": 'printf "%s\\n" "$TOKEN"'},
        {"command": [sys.executable, "-c", "import os; print(os.environ['TOKEN'], end='')"]},
        {"command": 'printf "%s" "$TOKEN"; sleep 60 >/dev/null 2>&1 &'},
    ],
    ids=["environment", "line", "arguments", "something left behind"],
)
def test_where_a_secret_comes_from(tmp_path: Path, origin: object) -> None:
    assert content(tmp_path, origin) == f"TOKEN={VALUE}\n"


KEYRING = """
import keyring.backend
class Keyring(keyring.backend.KeyringBackend):
    priority = 1
    def get_password(self, service, name):
        return {("shop", "db/main"): PASSWORD}.get((service, name))
    def set_password(self, service, name, password): ...
"""


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """The real library with a keyring of the tests' own."""
    pytest.importorskip("keyring", reason="pip install 'opsnb[keyring]'")

    def with_code(code: str) -> None:
        (tmp_path / "lib").mkdir()
        (tmp_path / "lib" / "ownring.py").write_text(f"PASSWORD = {VALUE!r}\n{code}")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "ownring.Keyring")

    return with_code


def test_the_keyring_is_asked(tmp_path: Path, ring: Callable[[str], None]) -> None:
    ring(KEYRING)
    assert content(tmp_path, {"keyring": "shop/db/main"}) == f"TOKEN={VALUE}\n"
    with pytest.raises(ConfigError, match="the secret TOKEN: the keyring has no shop/other"):
        content(tmp_path, {"keyring": "shop/other"})


def test_a_keyring_that_waits_for_somebody_meets_its_deadline(
    tmp_path: Path, ring: Callable[[str], None]
) -> None:
    ring(KEYRING.replace("return {", "import time; time.sleep(600); return {"))
    with pytest.raises(ConfigError, match="the keyring did not answer within 2 s"):
        content(tmp_path, {"keyring": "shop/db/main", "timeout": 2})


@pytest.mark.parametrize(
    ("origin", "why"),
    [
        ({"env": "NOT_SET_AT_ALL"}, "NOT_SET_AT_ALL is not set"),
        ({"command": 'printf %s "$TOKEN"; exit 3'}, "its command exited with 3"),
        ({"command": ["/nonexistent/pass"]}, "cannot be started"),
        ({"command": "echo short"}, "shorter than 6 characters"),
        ({"command": "printf 'abc\\377def'"}, "no UTF-8 text"),
        ({"command": "printf 'abcdef\\0ghi'"}, "no UTF-8 text"),
        ({"command": "yes | head -c 99999"}, "at most 64 KiB"),
        ({"command": "sleep 60", "timeout": 0.5}, r"did not answer within 0\.5 s"),
    ],
)
def test_a_secret_that_cannot_be_had_is_told_before_anything_is_done(
    tmp_path: Path, origin: object, why: str
) -> None:
    on = Server(f"file://{tmp_path}/site", settings=settings(origin=origin))
    for act in (on.plan, lambda source: on.deploy(source).wait()):
        with pytest.raises(ConfigError, match=f"the secret TOKEN.*{why}") as failed:
            act(tmp_path / "source")
        assert found(str(failed.value) + repr(failed.value.args)) == []
    on.close()
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    "origin",
    [
        json.dumps(VALUE),
        f"{{ env = {json.dumps(VALUE)} }}",
        f"{{ keyring = {json.dumps(VALUE.replace('/', '-'))} }}",
        f"{{ value = {json.dumps(VALUE)} }}",
        f"{{ env = {json.dumps(VALUE)}, command = 'x' }}",
        "{ }",
        f"[{json.dumps(VALUE)}]",
    ],
    ids=["text", "env", "keyring", "value", "two", "none", "list"],
)
def test_a_secret_that_stands_in_the_file_itself_is_refused_and_not_shown(origin: str) -> None:
    with pytest.raises(ConfigError, match=r"opsnb\.toml:[12]: project\.secret_vars") as failed:
        parse(f"[project.secret_vars]\nTOKEN = {origin}\n")
    shown = str(failed.value) + repr(failed.value) + repr(failed.value.__cause__)
    assert leaks(shown) == []


# --- templates ---------------------------------------------------------------------------------

GIVEN = {"secrets": {"TOKEN": VALUE}, "name": "shop", "list": [1, 2]}


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("a\nb {{ nam }}\n", "x.j2:2: nam is undefined"),
        ("a\n{{ secrets.TOKN }}", "x.j2:2: TOKN is undefined"),
        ("{{ list[0].port }}", "x.j2:1: port is undefined"),
        ("{{ secrets[secrets.TOKEN] }}", "x.j2:1: something is undefined"),
        ("{{ name[secrets.TOKEN] }}", "x.j2:1: something is undefined"),
        ("\n\n{{ secrets.TOKEN | round }}", "x.j2:3: it cannot be filled in"),
        ("{{ list * secrets.TOKEN }}", "x.j2:1: it cannot be filled in"),
        ("{{ [].pop(secrets.TOKEN) }}", "x.j2:1: "),
        ("{{ {}[secrets.TOKEN].x }}", "x.j2:1: something is undefined"),
        ("{{ secrets.TOKEN | nofilter }}", "x.j2:1: No filter named 'nofilter'."),
        ("{% if name %}\n", "x.j2:1: Unexpected end of template"),
        ("{{ name.__class__.__mro__ }}", "x.j2:1: "),
        ("{{ list.append(3) }}", "x.j2:1: that is not allowed in a template"),
        ("{% include '/etc/passwd' %}", "x.j2:1: it cannot be filled in"),
        ("{{ lipsum.__globals__ }}", "x.j2:1: "),
        ("{% for a in range(99999) %}{{ secrets.TOKEN }}{% endfor %}", "larger than 1 MiB"),
    ],
)
def test_what_is_wrong_in_a_template_is_told_by_file_and_line_and_without_a_value(
    template: str, told: str
) -> None:
    with pytest.raises(ConfigError) as failed:
        render(template, "deploy/x.j2", GIVEN)
    error = failed.value
    assert told in error.message, error.message
    assert (error.__cause__, error.__context__) == (None, None)
    assert leaks(error.message + repr(error)) == []


def test_the_control_jinjas_own_messages_quote_what_they_choke_on() -> None:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    with pytest.raises(Exception, match="has no attribute") as failed:
        ImmutableSandboxedEnvironment().from_string("{{ name[secrets.TOKEN].x }}").render(GIVEN)
    assert leaks(str(failed.value)) != []


def test_a_template_keeps_its_last_line_break_and_escapes_nothing() -> None:
    assert render("{{ secrets.TOKEN }}\n", "x", GIVEN) == f"{VALUE}\n"
    assert json.loads(render("{{ secrets | tojson }}", "x", GIVEN)) == {"TOKEN": VALUE}


def test_a_keyring_that_is_not_installed_is_told(tmp_path: Path) -> None:
    """In a process that cannot find the library."""
    program = textwrap.dedent("""
        import importlib.util, sys
        real = importlib.util.find_spec
        importlib.util.find_spec = lambda name: None if name == "keyring" else real(name)
        from opsnb.core.settings.files import SecretVar
        from opsnb.engine.secretvars import _argv
        try:
            _argv("TOKEN", SecretVar(keyring="shop/db"))
        except Exception as error:
            print(error)
    """)
    import subprocess

    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=True,
    )
    assert "the library for it is not installed" in ran.stdout
