"""A shop with two websites on one server: one uploaded in place, one released.

Rule 1: all of it is real: an SSH server, web servers, files, one slow line to them. All of it runs
        inside this process, on the loopback address, and goes with it.
Rule 2: both sites hold the same files, and both are changed over the same line.
"""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from opsnb.core.config import parse
from opsnb.embedded.demo import Demo
from opsnb.embedded.inplace import Order, Uploaded, upload
from opsnb.embedded.line import HOST, SlowLine
from opsnb.embedded.readers import Browser
from opsnb.embedded.site import VERSIONS, seed_shared, site_path
from opsnb.embedded.web import WebServer
from opsnb.lesson.tree import Tree, folder_tree, site_tree
from opsnb.project import Project

SHELVES = 40  # pages that the lesson adds to the site: an upload in place has many files
PAGES = ("/", "/books/", "/news/", "/visit/")
OURS = ("uploads", "config")  # what visitors and the owner have put into the docroot

CONFIG = """\
[project]
name = "lesson"
keep_releases = 3

[environments.lesson]
color = "blue"
confirm = "click"

[servers.shop]
url = "{url}"
environment = "lesson"

[[servers.shop.health]]
url = "{web}health.txt"
contains = "ok"
retries = 2
delay = 0.6

[servers.clean]
url = "{url}"
environment = "lesson"
base = "clean"

[servers.second]
url = "{url}-2"
environment = "lesson"
"""


@dataclass(frozen=True)
class Place:
    """A website, as an experiment sees it.

    Attributes:
        title: What it is called.
        url: Where visitors find it.
        pages: What they open there.
        draw: Draws its files as they are now.
        line: The line to its server.
        pause: Seconds that a piece takes on that line while it is slow.
    """

    title: str
    url: str
    pages: tuple[str, ...]
    draw: Callable[[], Tree]
    line: SlowLine
    pause: float


class Shop:
    """The lesson's server.

    Use it as a context manager, or call :meth:`close`; it is closed at the interpreter's exit at
    the latest.

    Args:
        pause: Seconds that every 1,024 bytes take on the slow line.
        shelves: How many pages are added to the site.

    Attributes:
        project: The project, as ``opsnb.toml`` would describe it.
        server: The server with the released site.
        clean: The same, with ``base = "clean"``.
        second: A second server.
        path: Where the released site stands on this machine.
        docroot: Where the site that is uploaded in place stands.
    """

    def __init__(self, pause: float = 0.02, shelves: int = SHELVES) -> None:
        self.pause = pause
        self._demo = Demo().start()
        self._line = SlowLine(self._demo.sshd.port).start()
        self._folder = Path(tempfile.mkdtemp(prefix="opsnb-lesson-"))
        atexit.register(self.close)
        self.path = self._demo.sshd.deploy_to
        self.docroot = self._demo.sshd.root / "www"
        self._sources = {version: self._source(version, shelves) for version in VERSIONS}
        self._pages = PAGES + tuple(f"/shelves/{number:02}.html" for number in range(shelves))
        self.put("v1")
        self._web = WebServer(self.docroot).start()
        self.project = self._project()
        self.server = self.project.server("shop")
        self.clean = self.project.server("clean")
        self.second = self.project.server("second")

    def _source(self, version: str, shelves: int) -> Path:
        """A version of the site with its shelves: each a page like that of the books."""
        folder = self._folder / version
        shutil.copytree(site_path(version), folder)
        page = (folder / "books" / "index.html").read_text("utf-8")
        (folder / "shelves").mkdir()
        for number in range(shelves):
            titled = re.sub(r"<h1>.*?</h1>", f"<h1>Shelf {number + 1}</h1>", page)
            (folder / "shelves" / f"{number:02}.html").write_text(titled, "utf-8")
        return folder

    def _project(self) -> Project:
        port = str(self._demo.sshd.port), str(self._line.port)
        known = self._folder / "known_hosts"
        known.write_text(self._demo.sshd.known_hosts.read_text("utf-8").replace(*port), "utf-8")
        config = self._demo.ssh_config.read_text("utf-8").replace(*port)
        self._ssh_config = self._folder / "ssh_config"
        self._ssh_config.write_text(
            config.replace(str(self._demo.sshd.known_hosts), str(known)), "utf-8"
        )
        url = self._demo.sshd.url.replace(*port)
        text = CONFIG.format(url=url, web=self._demo.web_url)
        return Project(parse(text, "the lesson"), self._ssh_config)

    @property
    def live(self) -> Place:
        """The released site."""
        return self._place("released", self._demo.web_url, lambda: site_tree(self.path))

    @property
    def www(self) -> Place:
        """The site that is uploaded in place."""
        old, new = self._sources["v1"], self._sources["v2"]
        return self._place("in place", self._web.url, lambda: folder_tree(self.docroot, old, new))

    def _place(self, title: str, url: str, draw: Callable[[], Tree]) -> Place:
        return Place(title, url, self._pages, draw, self._line, self.pause)

    def site(self, version: str) -> Path:
        """The folder of a version of the site: ``v1``, ``v2`` or ``v3`` (which is broken).

        Args:
            version: Which.
        """
        return self._sources[version]

    def put(self, version: str) -> None:
        """Set the document root up with a version, while nobody looks.

        Args:
            version: Which.
        """
        shutil.rmtree(self.docroot, ignore_errors=True)
        shutil.copytree(self.site(version), self.docroot)
        seed_shared(self._folder / "owner")
        shutil.copytree(self._folder / "owner" / "shared", self.docroot, dirs_exist_ok=True)

    def upload(self, version: str, *, backwards: bool = False) -> Uploaded:
        """Upload a version in place: file by file, over what is live.

        Args:
            version: Which.
            backwards: Begin with the last file by name.
        """
        order = Order(keep=OURS, backwards=backwards)
        address = (HOST, self._line.port)
        return upload(self.site(version), self.docroot, address, self._ssh_config, order)

    def ask(self, path: str) -> str:
        """What a visitor of the released site gets who asks for a file.

        Args:
            path: The file, below the site.

        Returns:
            Its version where it names one, else ``there``; or why it did not come.
        """
        browser = Browser(urlsplit(self._demo.web_url).netloc)
        part = browser.ask(f"/{path}")
        browser.close()
        if part.fault:
            return f"× {part.fault}"
        named = re.search(rb'"version": "(\w+)"', part.body)
        return named[1].decode() if named else "● there"

    @property
    def sent(self) -> int:
        """Bytes that went over the line to the server, so far."""
        return self._line.sent

    def close(self) -> None:
        """Stop everything, and remove what it made."""
        atexit.unregister(self.close)
        self.project.close()
        self._web.stop()
        self._line.stop()
        self._demo.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Shop: released at {self.path}, in place at {self.docroot}>"
