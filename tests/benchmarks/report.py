"""The report: ``results.md`` and a chart, from ``results.json`` alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.benchmarks import chart, targets, trees
from tests.benchmarks.results import Key, Record, Results
from tests.benchmarks.table import Row, rows

_HEAD = """\
# The benchmark's results

Times are medians, with the smallest and the largest beside them. A ratio is the median of the
ratios of rounds that ran side by side: below 1 is faster than the best rsync script of the same
kind. opsnb's commands, and the tools that connect anew each time, are compared with the scripts
that do; what keeps a connection open is compared with the scripts over ControlMaster.
*durable* scripts flush the disk before and after the switch, as opsnb does; *plain* ones do not.
"""

_COLUMNS = (
    "tool", "median", "least – most", "× durable", "× plain", "up", "down", "round trips",
    "client CPU", "server CPU", "memory", "rounds",
)  # fmt: skip


def write(folder: Path) -> None:
    """Write the report of a folder's results into it."""
    results = Results.read(folder)
    cases = results.cases()
    tables = {key: rows(records) for key, records in cases.items()}
    used = {records[0].run for records in cases.values()}
    parts = [
        _HEAD,
        *(_machine(run, facts) for run, facts in results.machines.items() if run in used),
        _summary(tables, cases),
        *(_case(key, records[0], tables[key]) for key, records in cases.items()),
    ]
    (folder / "results.md").write_text("\n".join(parts))
    chart.draw(tables, cases, folder)


def _machine(run: str, facts: dict[str, str]) -> str:
    lines = [f"- {name}: {value}" for name, value in facts.items()]
    return "\n".join((f"Run of {run}:", "", *lines, ""))


def _summary(tables: dict[Key, list[Row]], cases: dict[Key, list[Record]]) -> str:
    head = (
        "line", "tree", "case", "cold × durable", "× plain", "target", "warm × durable",
        "× plain", "target", "nearest other tool",
    )  # fmt: skip
    body = [
        (key[0], tree_title(key), cases[key][0].title, *_ours(key, table))
        for key, table in tables.items()
    ]
    return "\n".join(("## Summary", "", *grid(head, body), ""))


def _ours(key: Key, table: list[Row]) -> tuple[str, ...]:
    goals = targets.TARGETS.get(key, (None, None))
    found: list[str] = []
    for warm, goal in zip((False, True), goals, strict=True):
        row = next((row for row in table if row.group == "opsnb" and row.warm == warm), None)
        found += [_number(row.ratio if row else None), _number(row.ratio_plain if row else None)]
        found.append("" if goal is None else f"≤ {goal:g}")
    return (*found, nearest(table))


def nearest(table: list[Row]) -> str:
    """The fastest other tool, and how many times opsnb's own time it takes, cold."""
    cold = next((r.seconds for r in table if r.group == "opsnb" and not r.warm and r.seconds), None)
    others = [(row.seconds, row.tool) for row in table if row.group == "other" and row.seconds]
    if cold is None or not others:
        return ""
    seconds, tool = min(others)
    return f"{tool}: {seconds / cold:.1f} ×"


def _case(key: Key, first: Record, table: list[Row]) -> str:
    lines = [f"## {key[0]}, {tree_title(key)}: {first.title}", ""]
    lines += grid(_COLUMNS, [_cells(row) for row in table if row.rounds])
    told = [f"- {row.tool}: {' '.join(text.split())}" for row in table for text in row.trouble]
    return "\n".join((*lines, "", *told, ""))


def tree_title(key: Key) -> str:
    """A tree, as the report calls it."""
    known = trees.TREES.get(key[1])
    return known.title if known else key[1]


def _cells(row: Row) -> tuple[str, ...]:
    return (
        f"**{row.tool}**" if row.group == "opsnb" else row.tool,
        seconds(row.seconds),
        f"{seconds(row.least)} – {seconds(row.most)}",
        _number(row.ratio),
        _number(row.ratio_plain),
        size(row.bytes_up),
        size(row.bytes_down),
        "" if row.round_trips is None else f"{row.round_trips:,}",
        seconds(row.client_cpu),
        seconds(row.server_cpu),
        size(row.peak_memory),
        str(row.rounds),
    )


def grid(head: Iterable[str], body: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a Markdown table; all columns but the first to the right."""
    names = list(head)
    lines = [names, ["---", *("---:" for _ in names[1:])], *(list(row) for row in body)]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines]


def seconds(value: float | None) -> str:
    """A time with its unit, three digits."""
    if value is None:
        return ""
    return f"{value * 1000:.0f} ms" if value < 0.9995 else f"{value:.3g} s"


def size(value: int | None) -> str:
    """An amount of bytes with its unit, decimal."""
    if value is None:
        return ""
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:.3g} {unit}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
