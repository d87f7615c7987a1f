"""The console as a widget: it passes wishes to the desk, and pictures to the front end.

Rule: a wish is acknowledged at once and carried out on a thread of the console's own, since a
callback's thread is the kernel's.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import traitlets
from IPython.display import display

from opsnb.job import Job
from opsnb.notebook.console.desk import Desk
from opsnb.notebook.feed import Feed, Message
from opsnb.notebook.following import Ledger
from opsnb.notebook.jobview import View, send_log
from opsnb.project import Project

# More than one: a server that does not answer must not keep you from picking another.
WORKERS = 4


def _part() -> Any:
    return traitlets.Any(allow_none=True).tag(sync=True)


class Console(View):
    """The panel of a project; made by :func:`opsnb.console`.

    Args:
        project: The project.
        server: The name of the server to begin with.
    """

    face = traitlets.Unicode("console").tag(sync=True)
    place, site, glance, plan, job = _part(), _part(), _part(), _part(), _part()
    said, ran, audit, diff, busy = _part(), _part(), _part(), _part(), _part()

    def __init__(self, project: Project, server: str) -> None:
        super().__init__()
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="opsnb-console")
        self._guard = threading.Lock()
        self._open: dict[int, str] = {}
        self._job: Job | None = None
        self._feed: Feed | None = None
        self._ledger = Ledger()
        self.desk = Desk(project, server, self._show, self._follow)
        self.listen(self._asked)
        self._queue({"do": "begin", "id": 0})

    def put_out(self) -> None:
        """Show the panel in the cell that runs, and below it what stays when it is gone."""
        bundle: Any = self._repr_mimebundle_()
        data, about = bundle if isinstance(bundle, tuple) else (bundle, {})
        display(data, metadata=about, raw=True)  # type: ignore[no-untyped-call]
        self._ledger.show()

    def __repr__(self) -> str:
        return f"<Console of {self.desk.project.name}: {self.desk.server.name}>"

    def _show(self, part: str, picture: Any) -> None:
        setattr(self, part, picture)

    def _asked(self, message: Message) -> None:
        match message.get("do"):
            case "hello":
                if self._feed is not None:
                    self._feed.again()
            case "abort":
                if self._job is not None and not self._job.aborting:
                    self._job.cancel()
            case "log":
                if self._job is not None:
                    send_log(self._job, self.send)
            case _:
                self._queue(message)

    def _queue(self, wish: Message) -> None:
        number = int(wish.get("id", 0))
        self._mark(number, str(wish.get("do")))
        self._pool.submit(self._carry_out, number, wish)

    def _carry_out(self, number: int, wish: Message) -> None:
        try:
            self.desk.do(wish)
        finally:
            self._mark(number, "")

    def _mark(self, number: int, doing: str) -> None:
        """Tell the front end which of its wishes are under way."""
        with self._guard:
            if doing:
                self._open[number] = doing
            else:
                self._open.pop(number, None)
            self.busy = {"open": list(self._open), "doing": list(self._open.values())}

    def _follow(self, job: Job) -> None:
        self._job = job
        self._ledger.add(job)
        key = str(id(job))
        self.job = None
        self.send({"kind": "begin", "job": key})
        feed = Feed(job, lambda state: self._progress(job, state), partial(self._lines, job), key)
        self._feed = feed
        feed.begin()
        job.when_done(self._settle)

    def _settle(self) -> None:
        self._pool.submit(self.desk.do, {"do": "settle"})

    def _lines(self, job: Job, message: Message) -> None:
        if job is self._job:
            self.send(message)

    def _progress(self, job: Job, state: Message) -> None:
        if job is self._job:
            self.job = state
