"""Run the full cycle on every kind of server, and print what came of it as a table in Markdown.

``python -m tests.servers``, as root on Debian. The status is 1 when something failed.
"""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

from tests.servers.cycle import STEPS, Told, cycle, refusal
from tests.servers.kinds import REFUSED, WHOLE, Kind


def row(name: str, kind: Kind, *, refused: bool) -> tuple[str, Told, str]:
    """What came of one server: each step, and why it is refused."""
    told, why = Told(), ""
    with tempfile.TemporaryDirectory() as work:
        try:
            with kind() as account:
                if refused:
                    why = refusal(account, Path(work), told)
                else:
                    cycle(account, Path(work), told)
        except Exception:  # noqa: BLE001 - a server that fails is a row of the table
            traceback.print_exc()
            told.steps.setdefault("check", "failed")
    return name, told, why


def table(rows: list[tuple[str, Told, str]]) -> Iterator[str]:
    """The lines of the table, and under it why what is refused is."""
    yield f"| server | {' | '.join(STEPS)} |"
    yield f"|---|{'---|' * len(STEPS)}"
    for name, told, _ in rows:
        yield f"| {name} | {' | '.join(told.steps.get(step, '–') for step in STEPS)} |"
    reasons = [(name, why) for name, _, why in rows if why]
    if reasons:
        yield ""
    yield from (f"- {name}, refused before the first write: “{why}”" for name, why in reasons)


def main() -> int:
    """Run all of them."""
    rows = [row(name, kind, refused=False) for name, kind in WHOLE.items()]
    rows += [row(name, kind, refused=True) for name, (kind, _) in REFUSED.items()]
    print("\n".join(table(rows)))
    return int(any("failed" in told.steps.values() for _, told, _ in rows))


sys.exit(main())
