"""Releases of a repository that a forge serves over HTTPS, as most are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from opsnb.core.events import Outcome
from opsnb.errors import SourceError
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.support.git import Repository
from tests.support.githttps import Forge, forge

TOKEN = "glpat-0123456789abcdef"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody's configuration, and a cache of its own."""
    made = tmp_path / "home"
    made.mkdir()
    monkeypatch.setenv("HOME", str(made))
    monkeypatch.setenv("OPSNB_CACHE", str(tmp_path / "cache"))
    return made


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "served" / "shop.git")
    made.commit({"index": "one"}, "Open the shop")
    return made


@pytest.fixture
def served(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Forge]:
    with forge(repository.path.parent, tmp_path) as made:
        monkeypatch.setenv("GIT_SSL_CAINFO", str(made.certificate))
        yield made


def index(server: Server) -> str:
    return (site(server) / "current" / "index").read_text()


def test_a_branch_and_then_what_was_committed_to_it_are_released(
    server: Server, repository: Repository, served: Forge
) -> None:
    configure(server, git=served.url("shop.git"))
    assert server.deploy().wait().outcome is Outcome.DONE
    assert index(server) == "one"
    second = repository.commit({"index": "two"}, "Reopen the shop")
    repository("tag", "v2")
    repository.commit({"index": "three"})
    assert server.deploy(ref="v2").wait().outcome is Outcome.DONE
    assert index(server) == "two"
    row = server.releases().iloc[0]
    assert (row["revision"], row["subject"]) == (second, "Reopen the shop")
    assert any(path.endswith("/git-upload-pack") for path in served.asked), "not by plain files"


def test_a_certificate_that_nobody_vouches_for_is_refused_and_named(
    server: Server, served: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GIT_SSL_CAINFO")
    configure(server, git=served.url("shop.git"))
    with pytest.raises(SourceError, match=r"certificate.*\n.*http\.sslCAInfo"):
        server.deploy().wait()
    assert served.asked == []
    assert not site(server).exists()


def test_a_login_comes_from_the_operators_own_helper(
    server: Server, served: Forge, home: Path
) -> None:
    served.login = f"oauth2:{TOKEN}"
    configure(server, git=served.url("shop.git"))
    with pytest.raises(SourceError) as caught:
        server.plan()
    assert "shop.git" in caught.value.message
    assert "credential.helper" in caught.value.hint
    assert served.asked == []
    helper = f'!printf "username=oauth2\\\\npassword={TOKEN}\\\\n"'
    (home / ".gitconfig").write_text(f"[credential]\n\thelper = {helper!r}\n".replace("'", '"'))
    said: list[str] = []
    server.plan(on_output=said.append)
    job = server.deploy()
    assert job.wait().outcome is Outcome.DONE
    assert index(server) == "one"
    told = "".join(said) + repr(job.events) + repr(server.audit_log())
    assert TOKEN not in told
