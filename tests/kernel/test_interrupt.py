"""An interrupt, wherever a change is waited for."""

from __future__ import annotations

import json

import pytest

from tests.kernel.cells import DEMO, LOOK, SLOW, STARTED
from tests.kernel.session import Session

WAYS = {"job.wait()": "Interrupted", "await job": "CancelledError"}


@pytest.mark.parametrize("way", ["job.wait()", "await job"])
def test_an_interrupted_change_is_not_done_and_the_next_one_is(session: Session, way: str) -> None:
    """Interrupt, headless: not done, nothing live has changed, nothing is locked."""
    session.run(DEMO + SLOW)
    cell = session.says(session.begin(f"job = web.deploy(demo.site('v2'))\n{way}"), STARTED)
    session.interrupt()
    session.end(cell)

    assert cell.error.startswith(WAYS[way])
    assert "the live release is untouched" in cell.text
    receipt = cell.outputs[-1]["text/plain"]
    assert "not done: the switch did not happen" in receipt
    assert session.run("print(job.report.outcome, job.report.switched)").split() == [
        "not",
        "done",
        "False",
    ]
    live = session.run("print(first.release)").strip()
    assert json.loads(session.run(LOOK)) == {
        "live": live,
        "held": False,
        "intent": False,
        "releases": [live],
    }
    session.run("hooks(web); report = web.deploy(demo.site('v2')).wait(); assert report.switched")


def test_an_interrupt_of_another_cell_does_not_stop_a_change(session: Session) -> None:
    """Interrupt of a cell that does not wait for the change: it goes on."""
    session.run(DEMO + SLOW.replace("sleep 60", "sleep 2"))
    session.run("job = web.deploy(demo.site('v2'))")
    cell = session.begin("import time\nprint('here')\ntime.sleep(60)")
    session.says(cell, "here")
    session.interrupt()
    session.end(cell)
    assert cell.error.startswith("KeyboardInterrupt")
    session.run("assert job.wait().switched")


def test_a_second_interrupt_does_not_leave_the_clean_up_behind(session: Session) -> None:
    """Two interrupts at once: the change still ends well."""
    session.run(DEMO + SLOW)
    cell = session.says(session.begin("job = web.deploy(demo.site('v2'))\njob.wait()"), STARTED)
    session.interrupt()
    session.interrupt()
    session.end(cell)
    assert cell.error
    session.run(
        "import time\n"
        "while not job.done: time.sleep(0.1)\n"
        "assert job.report.switched is False, job.report"
    )
    assert not json.loads(session.run(LOOK))["held"]
    session.run("hooks(web); assert web.deploy(demo.site('v2')).wait().switched")


def test_an_interrupt_of_a_question_leaves_the_server_usable(session: Session) -> None:
    """Interrupt of a question: the next one is answered."""
    session.run(DEMO)
    cell = session.begin(
        "print('asking')\nwhile True:\n    web.look()\n    print('answered', flush=True)"
    )
    session.says(cell, "answered")
    session.interrupt()
    session.end(cell)
    assert cell.error.startswith("KeyboardInterrupt")
    assert json.loads(session.run(LOOK))["live"]
