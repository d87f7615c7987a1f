"""The cases: what is done to a source and a site, what is timed then, and what must be true after.

A suite is a tree and the cases that share it: its sites live on from one case to the next, so that
each tool has a real history. The order of the cases counts: first those that begin with nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.benchmarks import check, trees
from tests.benchmarks.stand import Stand
from tests.benchmarks.tools import Command

PRUNED = 50
KEPT = 3


@dataclass(frozen=True)
class Rounds:
    """How often a case is timed, for each kind of tool.

    Attributes:
        main: opsnb, and the scripts that flush.
        plain: The scripts that do not.
        other: The other tools.
    """

    main: int
    plain: int = 0
    other: int = 0


def _deploy(stand: Stand, tree: Path) -> Command:
    return stand.deploy(tree)


def _deployed(stand: Stand, tree: Path, output: str) -> list[str]:
    return check.deployed(stand.deploy_to, tree, stand.keep, stand.relative)


def _same(_tree: Path, _seed: int) -> None:
    """The source stays as it is."""


def _as_it_is(_stand: Stand, _tree: Path) -> None:
    """The site stays as it is."""


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        name: On the command line.
        title: In the report.
        rounds: How often, on loopback.
        do: What is timed.
        wrong: What is wrong after it; nothing, if all is well.
        before: If given, every round begins with this change of the source and a deploy of it.
        change: What happens to a source at the start of each round, with that round's number.
        ready: How a site is made ready before each operation.
        empty: Whether it begins with an empty site.
        references: Whether ``ssh host true`` and Python's own start stand beside it.
        at_once: At how many sites at once.
        counted: Whether bytes, round trips and memory are counted too, in one more round.
    """

    name: str
    title: str
    rounds: Rounds
    do: Callable[[Stand, Path], Command] = _deploy
    wrong: Callable[[Stand, Path, str], list[str]] = _deployed
    before: Callable[[Path, int], None] | None = None
    change: Callable[[Path, int], None] = _same
    ready: Callable[[Stand, Path], None] = _as_it_is
    empty: bool = False
    references: bool = False
    at_once: int = 1
    counted: bool = True


@dataclass(frozen=True)
class Suite:
    """A tree, and the cases that share it.

    Attributes:
        tree: The tree's name.
        lines: The lines it is meant for.
        cases: In their order.
        history: How many releases a site has when a case begins that needs any.
        keep: How many stay.
        gibibytes: What the sites may take at most.
    """

    tree: str
    lines: tuple[str, ...]
    cases: tuple[Case, ...]
    history: int = KEPT
    keep: int = KEPT
    gibibytes: int = 24


def edit_share(share: float) -> Callable[[Path, int], None]:
    """A change of so large a share of a tree's files; of one at least."""

    def change(tree: Path, seed: int) -> None:
        trees.edit(tree, max(1, round(share * len(trees.files(tree)))), seed)

    return change


def edit_one(tree: Path, seed: int) -> None:
    """A change of one file."""
    trees.edit(tree, 1, seed)


def _touch(tree: Path, _seed: int) -> None:
    trees.touch(tree)


def _version(requirement: str) -> Callable[[Path, int], None]:
    return lambda tree, _seed: trees.upgrade(tree, requirement)


def _empty(stand: Stand, _tree: Path) -> None:
    stand.empty()


def _lay_out(count: int, stand: Stand, tree: Path) -> None:
    stand.lay_out(tree, count)


def _lay_out_once(count: int, stand: Stand, tree: Path) -> None:
    if stand.count != count:
        stand.lay_out(tree, count)


def _rollback(stand: Stand, _tree: Path) -> Command:
    return stand.tool.rollback()


def _rolled_back(stand: Stand, tree: Path, _output: str) -> list[str]:
    # Not by names: some tools remove the release that was live.
    wrong = check.linked(stand.deploy_to, stand.relative)
    went_back = wrong or check.different(tree, check.live(stand.deploy_to))
    return wrong or ([] if went_back else ["what was deployed last is live still"])


def _list(stand: Stand, _tree: Path) -> Command:
    return stand.tool.releases()


def _listed(stand: Stand, _tree: Path, output: str) -> list[str]:
    return [f"{n} is not listed" for n in check.releases(stand.deploy_to) if n not in output]


def _prune(stand: Stand, _tree: Path) -> Command:
    return stand.tool.prune(KEPT)


def _pruned(stand: Stand, tree: Path, _output: str) -> list[str]:
    left = [] if stand.count == KEPT else [f"{stand.count} releases are left, not {KEPT}"]
    return left + check.linked(stand.deploy_to, stand.relative)


_FULL = Rounds(5, 3, 1)
_LONG = Rounds(3, 0, 0)

_first = Case("first", "first deploy", _FULL, ready=_empty, empty=True)
_nothing = Case("nothing", "nothing changed", _FULL)
_one = Case("one", "one file changed", _FULL, change=edit_one)
_pct1 = Case("pct1", "1 % changed", _FULL, change=edit_share(0.01))
_rollback_case = Case(
    "rollback",
    "rollback",
    _FULL,
    do=_rollback,
    wrong=_rolled_back,
    before=edit_one,
    references=True,
)
_list_case = Case(
    "list3", "list 3 releases, with usage", _FULL, do=_list, wrong=_listed, references=True
)
_NEAR, _FAR, _LOSSY = "loopback", "wan", "lossy"

SUITES = (
    Suite(
        "small",
        (_NEAR, _FAR),
        (
            _first,
            _nothing,
            _one,
            _pct1,
            Case("pct10", "10 % changed", _FULL, change=edit_share(0.1)),
            Case("touched", "everything touched, nothing changed", _FULL, change=_touch),
            _rollback_case,
            _list_case,
        ),
    ),
    Suite(
        "site",
        (_NEAR, _FAR, _LOSSY),
        (
            Case(
                "upgrade",
                f"upgrade of a site, {trees.SITE[0]} to {trees.SITE[1].partition('==')[2]}",
                Rounds(3, 2, 1),
                before=_version(trees.SITE[0]),
                change=_version(trees.SITE[1]),
            ),
        ),
        history=2,
    ),
    Suite(
        "site",
        (_NEAR,),
        tuple(
            Case(
                f"at-once-{count}",
                f"{count} deploy{'s' * (count > 1)} at once, one file changed",
                Rounds(3, 0, 1),
                change=edit_one,
                at_once=count,
                counted=False,
            )
            for count in (3, 2, 1)
        ),
    ),
    Suite(
        "one300",
        (_NEAR, _FAR),
        (Case("edits", "ten edits and an insertion", Rounds(3, 2, 1), change=trees.edit_large),),
        history=1,
        keep=2,
    ),
    Suite("one500", (_NEAR,), (_first,), keep=1),
    Suite(
        "forty",
        (_NEAR,),
        (Case("first", "first deploy", Rounds(2), ready=_empty, empty=True, counted=False),),
    ),
    Suite(
        "many",
        (_NEAR,),
        (
            Case("first", "first deploy", Rounds(2), ready=_empty, empty=True),
            Case("nothing", "nothing changed", _LONG),
            Case("one", "one file changed", Rounds(2), change=edit_one),
        ),
        history=2,
        keep=2,
        gibibytes=32,
    ),
    Suite(
        "tiny",
        (_NEAR, _FAR),
        (
            Case(
                "list1000",
                "list 1,000 releases, with usage",
                Rounds(3, 0, 1),
                do=_list,
                wrong=_listed,
                ready=partial(_lay_out_once, 1000),
                empty=True,
            ),
        ),
    ),
    Suite(
        "page",
        (_NEAR,),
        (
            Case(
                "prune50",
                "prune 50 releases",
                Rounds(3, 2, 1),
                do=_prune,
                wrong=_pruned,
                ready=partial(_lay_out, PRUNED + KEPT),
                empty=True,
            ),
        ),
    ),
)


def quick(suites: tuple[Suite, ...]) -> tuple[Suite, ...]:
    """The same with few rounds and only what ends soon."""
    few = ("first", "nothing", "one", "rollback", "list3")
    return tuple(
        Suite(s.tree, (_NEAR,), tuple(c for c in s.cases if c.name in few), s.history, s.keep)
        for s in suites
        if s.tree == "small"
    )
