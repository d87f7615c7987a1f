"""The operator: deploys and rolls back, over SSH, and remembers when each was begun and done."""

from __future__ import annotations

import time
from pathlib import Path

from opsnb.core.config import Settings
from opsnb.core.events import Outcome
from opsnb.server import Server
from tests.downtime.load import Switch
from tests.support.sshd import RealSshd

NAMED = 5
NAMED_LARGE = 16
FILLER = "visitors see one release, whole and now. " * 40
LARGE_FILLER = FILLER * 40


def page(name: str, times: int = NAMED, filler: str = FILLER) -> str:
    """A page that names its release at its beginning, at its end and in between."""
    mark = f"<p>release-{name}-</p>\n"
    return f"\n{filler}\n".join([mark] * times)


def write(source: Path, name: str) -> Path:
    """The source of a release: a small page, a large one, PHP that is put together of files."""
    source.mkdir(exist_ok=True)
    (source / "page.html").write_text(page(name))
    (source / "large.html").write_text(page(name, NAMED_LARGE, LARGE_FILLER))
    (source / "index.php").write_text(
        f'<?php echo "release-{name}-\\n"; usleep(2000);\n'
        'include "one.php"; usleep(2000); require __DIR__ . "/two.php";\n'
        'include $_SERVER["DOCUMENT_ROOT"] . "/three.php";\n'
        f'echo "release-{name}-\\n";\n'
    )
    for part in ("one", "two", "three"):
        (source / f"{part}.php").write_text(f'<?php echo "release-{name}-\\n{FILLER}\\n";\n')
    return source


class Operator:
    """One who deploys releases and rolls them back, without a pause.

    Args:
        sshd: The server.
        source: A folder for the releases' source.

    Attributes:
        site: The site.
        switches: Every change so far.
    """

    def __init__(self, sshd: RealSshd, source: Path) -> None:
        self.site = sshd.home / source.name
        self._source = source
        self._server = Server(
            sshd.url(self.site),
            ssh_config=sshd.ssh_config,
            settings=Settings.model_validate({"keep_releases": 3}),
        )
        self.switches: list[Switch] = []
        self._called: dict[str, str] = {}

    def deploy(self) -> None:
        """A release that is like no other."""
        name = f"r{len(self.switches)}"
        write(self._source, name)
        begun = time.monotonic()
        report = self._server.deploy(self._source).wait()
        assert report.outcome is Outcome.DONE
        self._called[report.release] = name
        self.switches.append(Switch(begun, time.monotonic(), name))

    def roll_back(self) -> None:
        """Back to the good release before."""
        begun = time.monotonic()
        report = self._server.rollback().wait()
        assert report.outcome is Outcome.DONE
        self.switches.append(Switch(begun, time.monotonic(), self._called[report.live]))

    def work(self, deploys: int, rollbacks: int) -> None:
        """Deploys, and rollbacks in between."""
        done = 0
        for number in range(1, deploys + 1):
            self.deploy()
            if done < number * rollbacks // deploys:
                self.roll_back()
                done += 1
        assert done == rollbacks

    def close(self) -> None:
        """Go home."""
        self._server.close()
