"""The arithmetic of the report: medians, spreads, ratios. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

from tests.benchmarks.results import Record


@dataclass(frozen=True)
class Row:
    """One tool in one case.

    Attributes:
        tool: Its name.
        group: Its group.
        warm: Whether it keeps something open.
        rounds: How many of its times count.
        seconds: Their median; None without any.
        least: The smallest.
        most: The largest.
        ratio: The median of its ratios, round by round, to the best script of its kind that
            flushes; None where there is no such script.
        ratio_plain: The same, to the best script of its kind that does not flush.
        client_cpu: Median, seconds.
        server_cpu: Median, seconds.
        peak_memory: Bytes.
        bytes_up: Bytes.
        bytes_down: Bytes.
        round_trips: How many.
        trouble: What was wrong, or why it did not run.
    """

    tool: str
    group: str
    warm: bool
    rounds: int
    seconds: float | None
    least: float | None
    most: float | None
    ratio: float | None
    ratio_plain: float | None
    client_cpu: float | None
    server_cpu: float | None
    peak_memory: int | None
    bytes_up: int | None
    bytes_down: int | None
    round_trips: int | None
    trouble: tuple[str, ...]


def rows(records: list[Record]) -> list[Row]:
    """The rows of one case, from the records of one run, in the order of the tools."""
    by_tool: dict[str, list[Record]] = {}
    for record in records:
        by_tool.setdefault(record.tool, []).append(record)
    bases = {
        (warm, plain): best(records, warm=warm, plain=plain)
        for warm in (False, True)
        for plain in (False, True)
    }
    return [_row(of, bases) for of in by_tool.values()]


def best(records: Iterable[Record], *, warm: bool, plain: bool) -> dict[int, float]:
    """The times, by round, of the script of this kind with the smallest median."""
    scripts: dict[str, dict[int, float]] = {}
    for each in records:
        if each.group == "rsync" and each.warm == warm and is_plain(each.tool) == plain:
            times = scripts.setdefault(each.tool, {})
            if each.counts and each.seconds is not None:
                times[each.round] = each.seconds
    return min((t for t in scripts.values() if t), key=lambda t: median(t.values()), default={})


def is_plain(tool: str) -> bool:
    """Whether a tool is a script that does not flush, by its name."""
    return tool.endswith("plain")


def ratio(times: dict[int, float], base: dict[int, float]) -> float | None:
    """The median of the ratios of those rounds that both have."""
    return _median([times[each] / base[each] for each in times.keys() & base.keys()])


def _row(records: list[Record], bases: dict[tuple[bool, bool], dict[int, float]]) -> Row:
    first = records[0]
    good = [each for each in records if each.counts]
    times = {each.round: each.seconds for each in good if each.seconds is not None}
    counted = [each for each in records if each.counted and not each.wrong]
    compared = first.group != "reference"

    def middle(get: Callable[[Record], float | None]) -> float | None:
        return _median([value for each in good if (value := get(each)) is not None])

    last = counted[-1] if counted else None
    return Row(
        tool=first.tool,
        group=first.group,
        warm=first.warm,
        rounds=len(times),
        seconds=_median(list(times.values())),
        least=min(times.values(), default=None),
        most=max(times.values(), default=None),
        ratio=ratio(times, bases[first.warm, False]) if compared else None,
        ratio_plain=ratio(times, bases[first.warm, True]) if compared else None,
        client_cpu=middle(lambda each: each.client_cpu),
        server_cpu=middle(lambda each: each.server_cpu),
        peak_memory=last.peak_memory if last else None,
        bytes_up=last.bytes_up if last else None,
        bytes_down=last.bytes_down if last else None,
        round_trips=last.round_trips if last else None,
        trouble=_trouble(records),
    )


def _trouble(records: list[Record]) -> tuple[str, ...]:
    said = [each.absent for each in records if each.absent]
    said += [
        f"{'pass that counts' if each.counted else f'round {each.round + 1}'}: {each.wrong[0]}"
        for each in records
        if each.wrong
    ]
    return tuple(said)


def _median(values: list[float]) -> float | None:
    return median(values) if values else None
