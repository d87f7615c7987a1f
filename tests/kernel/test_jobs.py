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


def test_a_change_goes_on_when_nobody_watches_it_and_is_found_again(session: Session) -> None:
    """A cell that begins a change is run again: the first goes on, the second waits its turn."""
    session.run(TWO.replace("range(1, 11)", "range(1, 3)"))
    session.run("job = webs[0].jobs[-1]\nassert job is jobs[0]\nfor event in job: break")
    session.run("report = webs[0].jobs[-1].wait()\nassert report.switched, report")


def test_a_running_change_keeps_its_receipt_when_its_object_is_let_go(session: Session) -> None:
    """A change as a last line leaves one receipt, which says how it ended."""
    session.run(TWO)
    cell = session.end(session.begin("jobs[0]"))
    assert [sorted(output) for output in cell.outputs] == [["text/html", "text/plain"]]
    session.run("[job.wait() for job in jobs]")
