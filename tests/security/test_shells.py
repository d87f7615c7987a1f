"""Nothing that a name or a parameter says is run by a login shell, nor by the agent's own.

All texts at once are names of files, directories in ``shared/`` and linked paths; each by itself is
a deployment path, a reason, a revision, a user, a secret, a release to go back to and a place to
run a command in.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from opsnb.core.config import Settings
from opsnb.errors import ConfigError, NoSuchRelease, OpsnbError
from opsnb.server import Server
from tests.security.nasty import CERTAIN, DO, NASTY
from tests.security.sample import WHOLE
from tests.support.sshd import LOGIN_SHELLS, RealSshd

SHELLS = sorted(LOGIN_SHELLS)
FEW = 3  # texts of a shell in CI; each shell has others


def share(shell: str) -> tuple[str, ...]:
    """The texts to try one by one with a shell."""
    if WHOLE:
        return NASTY
    first = SHELLS.index(shell) * 29
    return tuple(NASTY[(first + 41 * number) % len(NASTY)] for number in range(FEW))


@pytest.fixture(scope="module", params=SHELLS)
def sshd(request: pytest.FixtureRequest) -> Iterator[RealSshd]:
    with RealSshd(shell=request.param) as running:
        running.user_shell = request.param  # type: ignore[attr-defined]
        yield running


def touched(sshd: RealSshd) -> list[str]:
    """Where a text was run."""
    found = sshd.as_user("find", sshd.home, "-name", "pwned")
    return found.decode(errors="replace").splitlines()


def url(sshd: RealSshd, text: str) -> str:
    return sshd.url() + "/" + quote(os.fsencode(text))


def test_the_texts_are_two_hundred_and_may_be_names() -> None:
    assert len(set(NASTY)) == 200
    assert all(len(os.fsencode(text)) < 200 and not set(text) & set("/\0") for text in NASTY)


def test_the_control_a_text_in_a_command_is_run(sshd: RealSshd) -> None:
    for text in CERTAIN:
        sshd.run(f"cd {sshd.home}; echo {text}")
        assert touched(sshd) == [str(sshd.home / "pwned")]
        (sshd.home / "pwned").unlink()


def test_names_of_files_and_of_what_is_shared_are_names(sshd: RealSshd, tmp_path: Path) -> None:
    source, shared = tmp_path / "source", sshd.deploy_to / "shared"
    source.mkdir()
    for text in NASTY:
        (source / text).write_text(text, encoding="utf-8", errors="surrogateescape")
        (source / f"{text}.d").mkdir()
    there = Server(sshd.url(), ssh_config=sshd.ssh_config)
    there.deploy(source).wait()
    linked = [f"{text}.linked" for text in NASTY]
    for name in linked:
        os.makedirs(os.fsencode(shared / name))
    sshd.own(shared)
    (source / NASTY[0]).write_text("another")
    there.deploy(source).wait()
    (source / NASTY[0]).unlink()
    said = there.deploy(source).wait()
    live = sshd.deploy_to / "current"
    assert len(os.listdir(live)) == 3 * len(NASTY) - 1
    assert all((live / name).is_symlink() for name in linked)
    assert all((live / text).read_bytes() == os.fsencode(text) for text in NASTY[1:])
    assert not (live / "REVISION").exists()
    assert there.drift() == ()
    there.rollback().wait()
    there.prune(1).wait()
    assert there.verify_log() == []
    there.close()
    assert said.switched
    assert touched(sshd) == []


def test_listed_links_are_names(sshd: RealSshd, tmp_path: Path) -> None:
    (tmp_path / "index").write_text("x")
    plain = [text for text in NASTY if "\udcff" not in text]
    settings = Settings.model_validate({"linked_dirs": [f"a{text}/b{text}" for text in plain]})
    there = Server(url(sshd, "listed"), ssh_config=sshd.ssh_config, settings=settings)
    there.deploy(tmp_path).wait()
    there.close()
    live = sshd.deploy_to / "listed" / "current"
    assert all((live / f"a{text}" / f"b{text}").is_symlink() for text in plain)
    assert touched(sshd) == []


HOOK = """printf %s "$OPSNB_REVISION" >"$OPSNB_SHARED/revision"
printf %s "$NASTY" >"$OPSNB_SHARED/secret"
printf %s "$OPSNB_RELEASE_PATH" >"$OPSNB_SHARED/path"
"""


def reached(sshd: RealSshd, text: str) -> tuple[Server, Path]:
    """A server whose deployment path is that text, and that path on it."""
    settings = Settings.model_validate({"before_publish": [HOOK], "secrets": ["NASTY"]})
    for name in (text, "plain"):
        with suppress(ConfigError):  # an address with a control character is refused
            made = Server(url(sshd, f"in/{name}"), ssh_config=sshd.ssh_config, settings=settings)
            return made, sshd.deploy_to / "in" / name
    raise AssertionError("unreachable")


def given(there: Server, place: Path, source: Path, text: str) -> None:
    """Give a text to everything that takes one; what arrives is that text."""
    with suppress(ConfigError):  # what has a line break in it, or is no UTF-8, is refused
        there.deploy(source, revision=text, force=True).wait()
    revision = re.sub(r"[\0-\x1f\udc80-\udcff]", "", text)
    made = there.deploy(source, revision=revision, force=True).wait().release
    arrived = [(place / "shared" / name).read_bytes() for name in ("revision", "secret", "path")]
    release = str(place / "releases" / made)
    assert arrived == [os.fsencode(one) for one in (revision, os.environ["NASTY"], release)]
    there.hold(text).wait()
    hold = there.look().hold
    assert hold
    assert hold.why == hold.who == text
    there.unhold(force=True).wait()
    for wrong in (there.rollback, there.pin):
        with pytest.raises(NoSuchRelease):
            wrong(text).wait()
    with pytest.raises(OpsnbError):
        there.run("true", directory=text)
    there.deploy(source, force=True).wait()
    there.rollback(why=text).wait()
    record = json.loads((place / ".opsnb/records" / f"{made}.json").read_text())
    assert record["by"] == text
    assert there.verify_log() == []


def test_a_parameter_is_a_text(
    sshd: RealSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "index").write_text("x")
    for text in share(sshd.user_shell):  # type: ignore[attr-defined]
        # Another text than the rest is: what is secret would be masked there.
        monkeypatch.setenv("NASTY", f"{text.replace(DO, DO + '; true secret')}......")
        monkeypatch.setenv("OPSNB_USER", text)
        there, place = reached(sshd, text)
        given(there, place, tmp_path, text)
        there.close()
        assert touched(sshd) == [], text
