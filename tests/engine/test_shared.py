"""``shared/``: what is linked, what goes deeper, what is seeded once, what is never touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from opsnb.core.events import Outcome
from opsnb.errors import ConfigError, NotReady
from opsnb.project import load
from opsnb.server import Server
from tests.engine.conftest import configure, site
from tests.faults.guarantees import snapshot


def put(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def link(server: Server, path: str) -> str:
    """What a path of the live release links to."""
    return os.readlink(site(server) / "current" / path)


def test_with_nothing_configured_all_of_shared_is_linked_and_conflicts_go_deeper(
    server: Server, source: Path
) -> None:
    shared = site(server) / "shared"
    put(shared, uploads__photo="p", config__app__ini="i", config__both="shared's")
    put(source, config__both="the source's", config__app__other="o")
    before = snapshot(shared)
    report = server.deploy(source).wait()
    assert link(server, "uploads") == "../../shared/uploads"
    assert link(server, "config/app/ini") == "../../../../shared/config/app/ini"
    live = site(server) / "current"
    assert (live / "config" / "both").read_text() == "the source's"
    assert any("config/both" in warning for warning in report.warnings)
    (live / "uploads" / "new").write_text("a visitor's")
    (source / "index").write_text("two")
    server.deploy(source).wait()
    assert (live / "uploads" / "new").read_text() == "a visitor's"
    assert {name: before[name] for name in before} == {
        name: seen for name, seen in snapshot(shared).items() if name in before
    }


def test_a_link_goes_when_its_shared_path_goes_and_comes_when_it_comes(
    server: Server, source: Path
) -> None:
    shared = site(server) / "shared"
    put(shared, old="x")
    server.deploy(source).wait()
    (shared / "old").unlink()
    put(shared, new__deep="y")
    assert server.deploy(source).wait().outcome is Outcome.DONE
    live = site(server) / "current"
    assert not os.path.lexists(live / "old")
    assert link(server, "new") == "../../shared/new"
    assert server.deploy(source).wait().outcome is Outcome.NOTHING


def test_an_upload_to_a_linked_path_never_writes_through_the_link(
    server: Server, source: Path
) -> None:
    """The copy of the live release has links into shared/; what the source has goes beside."""
    shared = site(server) / "shared"
    put(shared, data__precious="p", page="shared's page")
    server.deploy(source).wait()
    before = snapshot(shared)
    put(source, data__precious="the source's", page="the source's page")
    server.deploy(source).wait()
    assert snapshot(shared) == before
    live = site(server) / "current"
    assert (live / "data" / "precious").read_text() == "the source's"
    assert not (live / "page").is_symlink()


def test_a_listed_directory_is_seeded_from_the_first_release_once(
    server: Server, source: Path
) -> None:
    configure(server, linked_dirs=["uploads", "log"])
    put(source, uploads__sample="from the source")
    server.deploy(source).wait()
    shared = site(server) / "shared"
    assert (shared / "uploads" / "sample").read_text() == "from the source"
    assert (shared / "log").is_dir()
    assert link(server, "uploads") == "../../shared/uploads"
    put(source, uploads__sample="changed in the source", index="two")
    report = server.deploy(source).wait()
    assert (shared / "uploads" / "sample").read_text() == "from the source"
    assert any("uploads" in warning for warning in report.warnings)


def test_a_listed_file_that_is_missing_stops_the_deploy_before_a_release(
    server: Server, source: Path
) -> None:
    configure(server, linked_files=["config/app.ini"])
    with pytest.raises(NotReady, match=r"config/app\.ini"):
        server.deploy(source).wait()
    assert not site(server).exists()
    put(site(server) / "shared", **{"config__app.ini": "secret"})
    server.deploy(source).wait()
    assert (site(server) / "current" / "config" / "app.ini").read_text() == "secret"
    assert link(server, "config/app.ini") == "../../../shared/config/app.ini"


def test_overlapping_entries_are_a_configuration_error(tmp_path: Path) -> None:
    file = tmp_path / "opsnb.toml"
    file.write_text('[project]\nlinked_dirs = ["a"]\nlinked_files = ["a/b"]\n')
    with pytest.raises(ConfigError, match="lies inside"):
        load(file)


def test_a_link_of_the_source_into_shared_is_the_sources_own(server: Server, source: Path) -> None:
    put(site(server) / "shared", uploads__photo="p")
    (source / "uploads").symlink_to("../../shared/uploads")
    server.deploy(source).wait()
    (source / "index").write_text("two")
    server.deploy(source).wait()
    assert (site(server) / "current" / "uploads" / "photo").read_text() == "p"
    assert server.deploy(source).wait().outcome is Outcome.NOTHING


def test_pruning_and_base_clean_never_delete_through_a_link(server: Server, source: Path) -> None:
    configure(server, base="clean", keep_releases=1)
    put(site(server) / "shared", uploads__photo="p", empty__keep="k")
    before = snapshot(site(server) / "shared")
    for text in ("two", "three", "four"):
        (source / "index").write_text(text)
        server.deploy(source).wait()
    server.prune(1).wait()
    assert snapshot(site(server) / "shared") == before
