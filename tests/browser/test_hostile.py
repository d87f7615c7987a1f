"""What nbconvert makes of a notebook full of hostile text, in a real browser: nothing runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import Browser

from opsnb.core.config import Settings
from opsnb.server import Server
from tests.security.corpus import TEXTS
from tests.security.site import Hostile, build
from tests.security.test_hostile_text import RUNNING, frames, shown

Seen = tuple[object, list[str], set[str]]
Opens = Callable[[list[dict[str, str]]], Seen]

# What a person does by moving about and pressing keys, all at once.
TOUCH = """() => {
    const kinds = [
        'mouseover', 'mouseenter', 'mousemove', 'focus', 'animationstart', 'toggle', 'click'];
    for (const element of document.querySelectorAll('.jp-OutputArea-output *, td, th, a'))
        for (const kind of kinds)
            element.dispatchEvent(new Event(kind, {bubbles: true, cancelable: true}));
    for (const link of document.querySelectorAll('.jp-OutputArea-output a')) link.click();
}"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    return build(tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def server(hostile: Hostile) -> Iterator[Server]:
    settings = Settings.model_validate({"before_publish": [hostile.hook], "keep_releases": 900})
    there = Server(hostile.url, name="w<b>\u202e", settings=settings)
    yield there
    there.close()


def exported(outputs: list[dict[str, str]]) -> str:
    made = [nbformat.v4.new_output("display_data", data=data) for data in outputs]
    cell = nbformat.v4.new_code_cell("server", outputs=made)
    book = nbformat.v4.new_notebook(cells=[cell])
    page, _ = HTMLExporter(template_name="lab").from_notebook_node(book)
    return str(page)


@pytest.fixture
def opens(browser: Browser, tmp_path: Path) -> Opens:
    """Opens a page of outputs: what ran, which dialogs came up, and what was asked for."""

    def open_it(outputs: list[dict[str, str]]) -> Seen:
        file = tmp_path / "page.html"
        file.write_text(exported(outputs), encoding="utf-8")
        context = browser.new_context()
        page = context.new_page()
        dialogs: list[str] = []
        asked: set[str] = set()

        def hear(dialog: Any) -> None:
            dialogs.append(dialog.message)
            dialog.dismiss()

        def stop(route: Any) -> None:
            asked.add(route.request.url)
            route.abort()

        page.on("dialog", hear)
        page.route(lambda url: not url.startswith(("file:", "data:")), stop)
        page.goto(file.as_uri())
        page.evaluate(TOUCH)
        page.wait_for_timeout(500)
        assert page.url == file.as_uri()
        assert len(context.pages) == 1
        ran = page.evaluate("window.pwned ?? null")
        context.close()
        return ran, dialogs, asked

    return open_it


def outputs(server: Server, hostile: Hostile) -> list[dict[str, str]]:
    """Every object and every table that a notebook shows of that server."""
    drawn = [{"text/plain": one.text, "text/html": one.html} for _, one in shown(server, hostile)]
    tables = frames(server, hostile).values()
    return drawn + [{"text/plain": t.to_string(), "text/html": t.to_html()} for t in tables]


def test_nothing_of_an_exported_notebook_runs(
    opens: Opens, server: Server, hostile: Hostile
) -> None:
    ours = {"text/plain": "x", "text/html": "<p>x</p>"}
    _, _, always = opens([ours])
    said = outputs(server, hostile)
    assert sum(len(data["text/html"]) for data in said) > 100_000
    ran, dialogs, asked = opens(said)
    assert ran is None
    assert dialogs == []
    assert asked - always == set()


@pytest.mark.parametrize("what", RUNNING)
def test_the_control_each_of_these_texts_runs_where_it_is_not_escaped(
    opens: Opens, what: str
) -> None:
    ran, dialogs, _ = opens([{"text/html": f"<table><tr><td>{TEXTS[what]}</td></tr></table>"}])
    assert ran is not None or dialogs
