"""Which orders of two operators' calls differ, and which are one and the same. Pure.

An order is: so many calls of the first, so many of the second, the first to its end, the second to
its end. Two calls of two operators next to each other may change places, and nobody can tell, if
both only look, or if one only looks and the other changes what no look shows: the inside of a
release that is being built, or nothing at all. Orders that come of each other by such exchanges
are one (Mazurkiewicz's traces); it is enough to try one of them.

What an operator does after it met a site that was not as it had seen it does not matter here: it is
alone by then, since only who holds the lock goes on, and who is refused asks once more, and ends.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

LOOKS = frozenset({"glance", "look", "manifest", "spare_manifest", "hashes", "shared", "refused"})
UNSEEN = frozenset(
    {
        *("drop", "bring", "unpack", "unpack_verified", "patch", "verify", "modes", "link"),
        *("open_up", "flush", "hook"),
    }
)
ENDS = frozenset({"let_go", "release"})
Call = tuple[int, str]
Order = tuple[int, int]


def orders(first: Sequence[str], second: Sequence[str]) -> list[Order]:
    """All orders of two operators' calls, by the calls each makes when it is alone."""
    return list(itertools.product(range(len(first) + 1), range(1, len(second) + 1)))


def distinct(first: Sequence[str], second: Sequence[str]) -> dict[Order, list[Order]]:
    """One order of each that are one, and with it all of them."""
    found: dict[object, list[Order]] = {}
    for order in orders(first, second):
        found.setdefault(_meaning(_calls(first, second, order)), []).append(order)
    return {same[0]: same for same in found.values()}


def _calls(first: Sequence[str], second: Sequence[str], order: Order) -> list[Call]:
    """The calls as they come."""
    site = _Site([first, second])
    turns = [0] * order[0] + [1] * order[1] + [0] * (len(first) + 1) + [1] * (len(second) + 1)
    return [(who, name) for who in turns if (name := site.next(who))]


class _Site:
    """A site with a lock, and what is left for each operator to do."""

    def __init__(self, plans: list[Sequence[str]]) -> None:
        self._left = [list(plan) for plan in plans]
        # Who had glanced at the site asks for the lock with the first step, and then once more.
        self._again = ["glance" in plan for plan in plans]
        self._holder: int | None = None

    def next(self, who: int) -> str:
        """An operator's next call; empty when it has ended."""
        left = self._left[who]
        name = left.pop(0) if left else ""
        if name == "lock" and self._holder is not None:
            if self._again[who]:
                self._again[who] = False
                left.insert(0, "lock")
            else:
                left[:] = ["look"]  # to say who holds it
            return "refused"
        if name == "lock":
            self._holder = who
        elif name in ENDS and self._holder == who:
            self._holder = None
        return name


def _meaning(calls: Sequence[Call]) -> tuple[object, ...]:
    """What orders that are one have in common: which of two calls that matter comes first."""
    mine = [[name for who, name in calls if who == one] for one in (0, 1)]
    return tuple(mine[0]), tuple(mine[1]), frozenset(_before(calls))


def _before(calls: Sequence[Call]) -> Iterator[tuple[int, int]]:
    """Numbers of calls of the first that come before one of the second, where that matters."""
    seen: list[tuple[int, str]] = []
    count = [0, 0]
    for who, name in calls:
        if who == 0:
            seen.append((count[0], name))
        else:
            yield from ((at, count[1]) for at, other in seen if _matters(name, other))
        count[who] += 1


def _matters(one: str, other: str) -> bool:
    looks = (one in LOOKS) + (other in LOOKS)
    return not (looks == 2 or (looks == 1 and {one, other} & UNSEEN))
