"""The site's three versions are what the lessons need them to be."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from opsnb.embedded.site import VERSIONS, seed_shared, site_path

MISSING_IN_V3 = {"assets/img/hero.svg", "assets/js/catalogue.js"}
SHARED = {"uploads/photo.svg"}


def files(version: str) -> dict[str, bytes]:
    root = site_path(version)
    found = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


class References(HTMLParser):
    """Collects what a page asks for."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


def references(version: str) -> Iterator[tuple[str, str]]:
    """Every page with every address in it, relative to the site's root."""
    root = site_path(version).resolve()
    for page in root.rglob("*.html"):
        for address in References(page.read_text("utf-8")).found:
            target = (page.parent / address).resolve()
            name = f"{address}index.html" if address.endswith("/") else ""
            yield (
                page.name,
                (target / "index.html" if name else target).relative_to(root).as_posix(),
            )


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_good_version_says_ok_and_lacks_nothing(version: str) -> None:
    content = files(version)
    assert content["health.txt"] == f"ok {version}\n".encode()
    assert json.loads(content["status.json"])["status"] == "ok"
    assert {name for _, name in references(version)} - set(content) == SHARED


def test_v3_is_broken_and_says_so() -> None:
    content = files("v3")
    assert b"ok" not in content["health.txt"]
    assert json.loads(content["status.json"])["status"] == "error"
    assert {name for _, name in references("v3")} - set(content) == SHARED | MISSING_IN_V3


@pytest.mark.parametrize("version", VERSIONS)
def test_pages_sheets_and_scripts_name_their_version_at_both_ends(version: str) -> None:
    content = files(version)
    marked = [name for name in content if name.endswith(".html")]
    for name in [*marked, "assets/css/theme.css", "assets/js/release.js"]:
        text = content[name].decode()
        assert re.search(rf"release-version\W+(content\W+)?{version}\W", text), name
        assert re.search(rf"(<!--|/\*) end {version} (-->|\*/)\n\Z", text), name
        assert not set(re.findall(r"\bv[123]\b", text)) - {version}, name


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_is_asked_from_the_network(version: str) -> None:
    for name, content in files(version).items():
        text = content.decode().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "//" not in re.sub(r"\s//\s.*", "", text), name


@pytest.mark.parametrize("version", VERSIONS)
def test_drawings_are_well_formed(version: str) -> None:
    for name, content in files(version).items():
        if name.endswith(".svg"):
            assert ElementTree.fromstring(content).tag.endswith("svg"), name


def test_two_versions_share_some_files_change_some_add_one_and_drop_one() -> None:
    old, new = files("v1"), files("v2")
    same = {name for name in old if old[name] == new.get(name)}
    assert {"assets/css/base.css", "assets/img/mark.svg", "assets/js/hours.js"} <= same
    assert set(new) - set(old) == {"assets/img/covers/tide.svg"}
    assert set(old) - set(new) == {"assets/img/covers/ledger.svg"}


def test_another_version_does_not_exist() -> None:
    with pytest.raises(ValueError, match="there are v1, v2, v3"):
        site_path("../v1")


def test_shared_content_is_seeded_once_and_then_belongs_to_its_owners(tmp_path: Path) -> None:
    seed_shared(tmp_path)
    photo = tmp_path / "shared" / "uploads" / "photo.svg"
    assert ElementTree.fromstring(photo.read_bytes()).tag.endswith("svg")
    assert json.loads((tmp_path / "shared" / "config" / "settings.json").read_text())
    photo.write_text("another photo")
    seed_shared(tmp_path)
    assert photo.read_text() == "another photo"
