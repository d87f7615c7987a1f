"""A secret, and where it could be seen."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from opsnb.core.events import Report
from opsnb.core.lines import lines
from opsnb.job import Job
from opsnb.notebook import feed, objects
from opsnb.server import Server
from tests.support.sshd import RealSshd

# Of this process alone: another one that tests with it shows it, too, in the arguments of its own.
_OWN = secrets.token_hex(4)
VALUE = f"pa/{_OWN}+W0rd $igns & 'quotes' é/{_OWN}"
FORMS = (
    VALUE.encode(),
    quote(VALUE).encode(),
    quote(VALUE, safe="").encode(),
    json.dumps(VALUE)[1:-1].encode(),
    VALUE.encode().hex().encode(),
    base64.b64encode(VALUE.encode())[:-4],
    base64.b64encode(b"user:" + VALUE.encode())[8:-4],
)


def leaks(text: str | bytes) -> list[bytes]:
    """The forms of the secret that can be read in a text."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return [form for form in FORMS if form[:12] in raw or form[-12:] in raw]


@contextmanager
def arguments() -> Iterator[set[bytes]]:
    """The arguments of every process of this machine meanwhile."""
    seen: set[bytes] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            for place in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    seen.add(place.read_bytes())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def kept(tmp_path: Path) -> bytes:
    """All that is in this machine's cache and logs."""
    return b"\n".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def there(sshd: RealSshd) -> bytes:
    """All that opsnb has written down on the server."""
    return b"\n".join(
        path.read_bytes() for path in (sshd.deploy_to / ".opsnb").rglob("*") if path.is_file()
    )


def shown_of(on: Server, job: Job, report: Report) -> list[str]:
    """All that a change shows."""
    texts = [event.to_dict() for event in job.events]
    shown = [
        str(report),
        repr(report),
        repr(job),
        repr(on),
        repr(job.events),
        json.dumps(texts, default=str),
    ]
    shown += [objects.receipt(job).text, objects.receipt(job).html, objects.report(report).html]
    shown += [str(feed.progress_of(job)), str([feed.plain(x) for x in lines(job.events)])]
    shown += [repr(on.settings), on.log().to_string(), on.releases().to_html()]
    return shown
