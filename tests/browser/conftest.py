"""JupyterLab and Chromium, for all tests of this folder.

Playwright keeps an event loop running in the thread of the tests, which tests with a loop of their
own cannot bear: so it ends with this folder, and ``tests/run`` runs this folder on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.notebook import Notebook, Watch, launch, shots
from tests.support.kernels import KERNELS, NEW, require_kernel
from tests.support.lab import Lab
from tests.support.sshd import require

Opener = Callable[..., Notebook]


@pytest.fixture(scope="package")
def lab() -> Iterator[Lab]:
    with Lab() as running:
        yield running


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    require("chromium")
    with sync_playwright() as playwright:
        chromium = launch(playwright)
        yield chromium
        chromium.close()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file that is not there until the test makes it: a change that waits for it goes on."""
    return tmp_path / "gate"


@pytest.fixture
def watch() -> list[Watch]:
    return []


@pytest.fixture
def page(browser: Browser, watch: list[Watch]) -> Iterator[Page]:
    """A new page; the test fails when it says an error or asks for another host."""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    watch.append(Watch(page))
    yield page
    page.close()
    assert watch[0].errors == []
    assert watch[0].strangers == []


@pytest.fixture
def opened(page: Page, lab: Lab, request: pytest.FixtureRequest) -> Iterator[Opener]:
    """Opens notebooks: their cells, and the kernel's name when it is not the newest."""
    notebooks: list[Notebook] = []
    failed = request.session.testsfailed

    def open_it(*cells: str, kernel: str = NEW) -> Notebook:
        name = f"{request.node.originalname}-{len(list(lab.work.iterdir()))}.ipynb"
        lab.write(name, cells, require_kernel(kernel))
        notebooks.append(Notebook(page, lab, name).open())
        return notebooks[-1]

    yield open_it
    if request.session.testsfailed > failed:
        page.screenshot(path=shots() / f"failed-{request.node.name}.png")
    for notebook in notebooks:
        notebook.close()


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> str:
    return require_kernel(request.param)
