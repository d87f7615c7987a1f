"""The live view of one change."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anywidget
import traitlets

from opsnb.job import Job
from opsnb.notebook.assets import module, styles
from opsnb.notebook.feed import Feed, Message

CHUNK = 1 << 20


class View(anywidget.AnyWidget):
    """A widget of ours: what it does when its front end asks for something."""

    _esm = module()
    _css = styles()

    def listen(self, answer: Callable[[Message], None]) -> None:
        """Be told what the front end asks.

        Args:
            answer: Is given each message; it must return at once, whatever thread it is on.
        """
        self.on_msg(lambda _widget, message, _buffers: answer(message))


class JobView(View):
    """Phases, progress, the log and an Abort button.

    Args:
        job: The change.
    """

    face = traitlets.Unicode("job").tag(sync=True)
    job: Any = traitlets.Any(None, allow_none=True).tag(sync=True)

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._followed = job
        self._feed = Feed(job, self._progress, self.send)
        self.listen(self._asked)
        self._feed.begin()

    def __repr__(self) -> str:
        return f"<JobView of {self._followed.verb} on {self._followed.server}>"

    def _progress(self, state: Message) -> None:
        self.job = state

    def _asked(self, message: Message) -> None:
        match message.get("do"):
            case "hello":
                self._feed.again()
            case "abort" if not self._followed.aborting:
                self._followed.cancel()
            case "log":
                send_log(self._followed, self.send)


def send_log(job: Job, send: Callable[..., None]) -> None:
    """Send the whole log of a change, in chunks.

    Args:
        job: The change.
        send: Sends a message, with buffers.
    """
    path, content = job.log_file, None
    with suppress(FileNotFoundError):  # old ones are thinned out
        content = path.read_bytes() if path else None
    if path is None or content is None:
        send({"kind": "log", "name": "", "part": 0, "parts": 0})
        return
    parts = max(1, -(-len(content) // CHUNK))
    for part in range(parts):
        chunk = content[part * CHUNK : (part + 1) * CHUNK]
        message = {"kind": "log", "name": path.name, "part": part, "parts": parts}
        send(message, buffers=[chunk])
