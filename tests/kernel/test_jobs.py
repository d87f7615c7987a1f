"""Several changes in one kernel."""

from __future__ import annotations

import pytest

from tests.kernel.cells import SLOW
from tests.kernel.session import Session

TWO = (
    SLOW.partition("hooks(web")[0]
    + """
import opsnb
demos = [opsnb.demo(), opsnb.demo()]
webs = [demo.server("demo") for demo in demos]
for word, web in zip(("north", "south"), webs):
    hooks(web, f"for n in 1 2 3 4 5 6 7 8 9 10; do echo {word} $n; sleep 0.05; done")
jobs = [web.deploy(demo.site("v1")) for demo, web in zip(demos, webs)]
"""
)

CHECK = """
from opsnb.core.events import Log
said = [[e.text for e in job.events if isinstance(e, Log) and e.stream == "hook"] for job in jobs]
assert said == [[f"{word} {n}" for n in range(1, 11)] for word in ("north", "south")], said
overlap = max(j.events[0].at for j in jobs) < min(j.events[-1].at for j in jobs)
assert overlap, "they did not run at once"
assert [job.report.live for job in jobs] == [web.look().live.name for web in webs]
"""


@pytest.mark.parametrize(
    "wait",
    [
        "[job.wait() for job in jobs]",
        "import asyncio\nawait asyncio.gather(*jobs)",
        "for event in jobs[1]: pass\nasync for event in jobs[0]: pass",
    ],
    ids=["wait", "gather", "iterate"],
)
def test_two_changes_at_once_keep_their_lines_apart(session: Session, wait: str) -> None:
    """Two changes at once, headless: each has its own lines, in order."""
    session.run(TWO + wait)
    session.run(CHECK)


def test_a_change_goes_on_when_its_cell_is_run_again(session: Session) -> None:
    """The cell of a change is run again: the first goes on, the second finds it locked."""
    session.run(TWO.replace("sleep 0.05", "sleep 0.3"))
    # Only the hook's first line says that the first has the lock; before it, the second may win.
    session.run(
        "from opsnb.core.events import Log\n"
        "for event in jobs[0]:\n"
        "    if isinstance(event, Log) and event.stream == 'hook': break\n"
    )
    session.run("webs[0].deploy(demos[0].site('v2'))")
    session.run(
        "first, second = webs[0].jobs\n"
        "assert first is jobs[0]\n"
        "try: second.wait()\n"
        "except opsnb.OpsnbError as error: found = error\n"
        "assert type(found).__name__ == 'Locked', found\n"
        "assert not first.done\n"
        "assert first.wait().switched, first.report\n"
        "site = webs[0].look()\n"
        "assert site.live.name == first.report.release\n"
        "assert not site.holder\n"
    )


def test_a_change_as_a_last_line_leaves_one_receipt_that_is_brought_up_to_date(
    session: Session,
) -> None:
    """A change as a last line, headless: one receipt, no widget, and at the end it says how."""
    session.run(TWO)
    cell = session.end(session.begin("jobs[0]"))
    assert [sorted(output) for output in cell.outputs] == [["text/html", "text/plain"]]
    waiting = session.begin("jobs[0].wait(); print('over')")
    session.end(waiting)
    assert any("is live" in update["text/plain"] for update in session.updates)
    session.run("import sys\nassert not {'ipywidgets', 'anywidget'} & set(sys.modules)")
