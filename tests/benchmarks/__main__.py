"""``python -m tests.benchmarks``: run the benchmark; ``… report DIR``: write its report anew."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks import cases, disk, lines, report, setup, trees
from tests.benchmarks.cases import Case, Rounds, Suite
from tests.benchmarks.measure import Accounts
from tests.benchmarks.results import Results
from tests.benchmarks.runner import Runner
from tests.benchmarks.target import Line, Server
from tests.benchmarks.tools import CACHE, Tool, all_tools


def main(words: Sequence[str]) -> int:
    """Do what the command line says.

    Returns:
        The exit status.
    """
    if words[:1] == ["report"]:
        report.write(Path(words[1] if len(words) > 1 else "benchmark"))
        return 0
    wanted = _parser().parse_args(words)
    if os.geteuid() != 0:
        print("The benchmark mounts file systems of its own: run it as root.", file=sys.stderr)
        return 2
    setup.install()
    setup.as_installed()
    missing = _missing(wanted)
    suites = _suites(wanted)
    results = Results.read(wanted.out)
    run = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    results.machines[run] = setup.machine()
    for name in wanted.line or lines.LINES:
        for suite in suites:
            if name in suite.lines:
                _run_suite(run, name, suite, wanted, missing, results)
    report.write(wanted.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few cases and rounds, loopback")
    parser.add_argument(
        "--tree", action="append", choices=[suite.tree for suite in cases.SUITES], help="only this"
    )
    parser.add_argument("--case", action="append", help="only this")
    parser.add_argument("--line", action="append", choices=list(lines.LINES), help="only this")
    parser.add_argument("--tool", action="append", help="only those with this in their name")
    parser.add_argument("--rounds", type=int, help="how often every tool is timed in each case")
    parser.add_argument("--out", type=Path, default=Path("benchmark"), help="where to write")
    return parser


def _missing(wanted: argparse.Namespace) -> dict[str, str]:
    return {tool.name: why for tool in _tools(wanted) if (why := tool.missing())}


def _tools(wanted: argparse.Namespace) -> list[Tool]:
    return [
        tool
        for tool in all_tools()
        if not wanted.tool or any(word in tool.name for word in wanted.tool)
    ]


def _suites(wanted: argparse.Namespace) -> list[Suite]:
    chosen = cases.quick(cases.SUITES) if wanted.quick else cases.SUITES
    return [
        replace(suite, cases=only)
        for suite in chosen
        if suite.tree in (wanted.tree or [suite.tree])
        and (only := tuple(c for c in suite.cases if c.name in (wanted.case or [c.name])))
    ]


def _rounds(wanted: argparse.Namespace, line: Line, case: Case) -> Rounds:
    if wanted.rounds:
        return Rounds(wanted.rounds, wanted.rounds, wanted.rounds)
    if wanted.quick:
        return Rounds(2)
    if line.round_trip:
        return Rounds(min(3, case.rounds.main), 0, min(1, case.rounds.other))
    return case.rounds


def _run_suite(
    run: str,
    name: str,
    suite: Suite,
    wanted: argparse.Namespace,
    missing: dict[str, str],
    results: Results,
) -> None:
    """Run one suite on one line: a server, disks and a source of its own."""
    with ExitStack() as stack:
        scratch = Path(tempfile.mkdtemp(prefix="opsnb-benchmark-"))
        stack.callback(shutil.rmtree, scratch)
        sites = stack.enter_context(disk.fresh(CACHE / "sites.img", suite.gibibytes))
        sources = stack.enter_context(disk.fresh(CACHE / "sources.img", suite.gibibytes))
        way = stack.enter_context(lines.LINES[name]())  # its program is no client: not counted
        accounts = stack.enter_context(Accounts().opened())
        server = stack.enter_context(Server(sites, way, scratch))
        accounts.serve(server.processes())
        tree = sources / suite.tree
        tree.mkdir()
        trees.TREES[suite.tree].make(tree)
        runner = Runner(
            run, way, server, accounts, results, wanted.out, lambda c: _rounds(wanted, way, c)
        )
        runner.suite(suite, tree, lambda: _tools(wanted), missing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
