"""Sites of other tools: looked at, read only; taken over, with nothing of theirs changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from opsnb.core.events import Outcome
from opsnb.errors import NoSuchRelease, NotReady
from opsnb.server import Server
from tests.engine.conftest import site
from tests.faults.guarantees import snapshot


def capistrano(made: Path) -> list[str]:
    """The layout of Capistrano 3: absolute links, a repository, a log of revisions."""
    names = ["20250101100000", "20250102100000", "20250103100000"]
    (made / "repo" / "objects").mkdir(parents=True)
    (made / "revisions.log").write_text("Branch master (at abc) deployed as release …\n")
    (made / "shared" / "public" / "uploads").mkdir(parents=True)
    (made / "shared" / "public" / "uploads" / "photo").write_text("precious")
    (made / "shared" / "database.yml").write_text("secret")
    for name in names:
        release = made / "releases" / name
        (release / "public").mkdir(parents=True)
        (release / "index").write_text(name)
        (release / "REVISION").write_text("abc\n")
        (release / "public" / "uploads").symlink_to(made / "shared" / "public" / "uploads")
        (release / "database.yml").symlink_to(made / "shared" / "database.yml")
    (made / "current").symlink_to(made / "releases" / names[-1])
    return names


def deployer(made: Path) -> list[str]:
    """The layout of Deployer 7: numbered releases, ``.dep``, relative links, a link ``current``."""
    (made / ".dep").mkdir(parents=True)
    (made / ".dep" / "latest_release").write_text("10\n")
    (made / "shared" / "storage").mkdir(parents=True)
    with (made / ".dep" / "releases_log").open("w") as log:
        for name in ("1", "2", "10"):
            release = made / "releases" / name
            release.mkdir(parents=True)
            (release / "index").write_text(name)
            (release / "REVISION").write_text(f"abc{name}\n")
            (release / "storage").symlink_to("../../shared/storage")
            told = {"created_at": "2026-01-02T03:04:05+0000", "release_name": name, "user": "ann"}
            log.write(json.dumps({**told, "target": "HEAD"}) + "\n")
    (made / "current").symlink_to("releases/10")
    return ["1", "2", "10"]


def ansistrano(made: Path) -> list[str]:
    """The layout of Ansistrano: names that end in Z, a repository, relative links."""
    names = ["20250101100000Z", "20250102100000Z", "20250103100000Z"]
    (made / "repo" / "objects").mkdir(parents=True)
    (made / "shared" / "logs").mkdir(parents=True)
    for name in names:
        release = made / "releases" / name
        release.mkdir(parents=True)
        (release / "index").write_text(name)
        (release / "REVISION").write_text("abc\n")
        (release / "logs").symlink_to("../../shared/logs")
    (made / "current").symlink_to(f"./releases/{names[-1]}")
    return names


def envoyer(made: Path) -> list[str]:
    """The layout of Envoyer: ``storage`` and ``.env`` beside the releases, absolute links."""
    names = ["20250101100000", "20250102100000", "20250103100000"]
    (made / "storage" / "logs").mkdir(parents=True)
    (made / ".env").write_text("KEY=1")
    for name in names:
        release = made / "releases" / name
        release.mkdir(parents=True)
        (release / "index").write_text(name)
        (release / "storage").symlink_to(made / "storage")
        (release / ".env").symlink_to(made / ".env")
    (made / "current").symlink_to(made / "releases" / names[-1])
    return names


LAYOUTS = pytest.mark.parametrize("layout", [capistrano, deployer, ansistrano, envoyer])


@LAYOUTS
def test_looking_at_another_tools_site_changes_nothing_and_says_what_is_unknown(
    server: Server, layout: object
) -> None:
    names = layout(site(server))  # type: ignore[operator]
    before = snapshot(site(server))
    frame = server.releases()
    assert set(frame["name"]) == set(names)
    assert set(frame["state"]) == {"unrecorded"}
    assert list(frame[frame["current"]]["name"]) == [names[-1]]
    assert all("no record" in note for note in frame["note"])
    assert len(server.usage()) == 3 + (site(server) / "shared").exists()
    assert len(server.log()) == 0
    assert not server.check()["ok"].all()
    assert snapshot(site(server)) == before


@LAYOUTS
def test_a_deploy_or_rollback_before_adopting_is_refused_untouched(
    server: Server, source: Path, layout: object
) -> None:
    layout(site(server))  # type: ignore[operator]
    before = snapshot(site(server))
    with pytest.raises(
        NotReady, match=r"laid out by (Capistrano|Deployer|Ansistrano|Envoyer)"
    ) as refused:
        server.deploy(source).wait()
    assert "adopt" in refused.value.hint
    with pytest.raises(NoSuchRelease) as refused_too:
        server.rollback().wait()
    assert "adopt" in refused_too.value.hint
    with pytest.raises(NotReady):
        server.prune().wait()
    assert snapshot(site(server)) == before


@LAYOUTS
def test_adopting_changes_nothing_of_theirs_and_then_everything_works(
    server: Server, source: Path, layout: object
) -> None:
    made = site(server)
    names = layout(made)  # type: ignore[operator]
    before = snapshot(made)
    assert server.adopt().wait().outcome is Outcome.DONE
    after = snapshot(made)
    assert {name: after[name] for name in before} == before
    states = {r.name: str(r.state) for r in server.look().releases}
    assert states == {names[0]: "unconfirmed", names[1]: "unconfirmed", names[2]: "good"}
    assert server.adopt().wait().outcome is Outcome.NOTHING
    links = {path.name for path in (made / "current" / "").iterdir() if path.is_symlink()}
    shared = snapshot(made / "shared")
    report = server.deploy(source).wait()
    assert report.previous == names[-1]
    assert (made / "current" / "index").read_text() == "one"
    # (What shared/ holds may be linked further up now.)
    assert all((made / "current" / link).exists() for link in links)
    assert snapshot(made / "shared") == shared
    assert server.rollback().wait().live == names[-1]
    assert server.rollback(to=names[1]).wait().live == names[1]
    assert server.verify_log() == []


def test_an_adopted_release_can_be_pruned_and_its_shared_files_stay(
    server: Server, source: Path
) -> None:
    made = site(server)
    names = capistrano(made)
    server.adopt().wait()
    shared = snapshot(made / "shared")
    for text in ("a", "b", "c", "d"):
        (source / "index").write_text(text)
        server.deploy(source).wait()
    assert not any((made / "releases" / name).exists() for name in names)
    assert snapshot(made / "shared") == shared
    assert (made / "repo").is_dir()
    assert (made / "revisions.log").exists()


def test_records_take_over_what_the_tool_wrote_down(server: Server) -> None:
    made = site(server)
    deployer(made)
    (made / "releases" / "2" / "BAD_RELEASE").write_text("")
    (made / ".dep" / "deploy.lock").write_text("bob")
    plan = server.plan_adopt()
    assert plan.made_by == "Deployer"
    assert plan.records["1"] == "unconfirmed: nobody knows, revision abc1, by ann"
    assert plan.records["10"].startswith("live, so it counts as good")
    assert any("under way" in note for note in plan.notes)
    server.adopt(plan).wait()
    known = {r.name: r.record for r in server.look().releases}
    one = known["1"]
    assert one is not None
    assert (one.revision, one.by, one.at) == ("abc1", "ann", "2026-01-02T03:04:05+0000")
    assert {name: str(r.state) for name, r in known.items() if r} == {
        "1": "unconfirmed",
        "2": "bad",
        "10": "good",
    }


@LAYOUTS
def test_an_adoption_can_be_undone_exactly(server: Server, layout: object) -> None:
    made = site(server)
    layout(made)  # type: ignore[operator]
    before = snapshot(made)
    server.adopt().wait()
    assert server.adopt(undo=True).wait().outcome is Outcome.DONE
    assert snapshot(made) == before
