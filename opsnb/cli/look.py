"""The questions: check, plan, releases, usage, diff, log. They change nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any

import click

from opsnb.cli import json_out
from opsnb.cli.options import (
    Setup,
    json_option,
    server_argument,
    source_argument,
    wish_options,
    with_setup,
)
from opsnb.core.text import safe

if TYPE_CHECKING:
    import pandas as pd

    from opsnb.cli.grid import Column

NOT_READY = 11
TAMPERED = 20


@click.command()
@server_argument
@json_option
@with_setup
def check(setup: Setup, server: str, as_json: bool) -> int:
    """Can this server take atomic releases, and what is there to mend?"""
    found = setup.server(server).findings()
    if as_json:
        shown = [{**asdict(one), "found": safe(one.found), "hint": safe(one.hint)} for one in found]
        json_out.document(shown)
    else:
        from opsnb.cli import show  # noqa: PLC0415 - rich only for a person

        show.out().lines(show.findings(found))
    return 0 if all(one.ok for one in found) else NOT_READY


@click.command()
@server_argument
@source_argument
@wish_options
@json_option
@with_setup
def plan(
    setup: Setup,
    server: str,
    source: str,
    revision: str,
    keep: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Say what a deploy of SOURCE (a folder) would do, and do nothing."""
    on = setup.server(server)
    planned = on.plan(source, revision=revision, keep=keep, force=force)
    if as_json:
        json_out.document(json_out.deploy_plan(planned))
        return
    from opsnb.cli import plans, show  # noqa: PLC0415 - rich only for a person

    page = show.out()
    page.lines(plans.lines(planned.plan, on, plans.MOST if page.is_terminal else None))


@click.command()
@server_argument
@json_option
@with_setup
def releases(setup: Setup, server: str, as_json: bool) -> None:
    """List the releases, the newest first."""
    on = setup.server(server)
    # pandas takes as long to load as a server to answer: do both at once. (It must not be cut off
    # by the end of the program, so it is no daemon.)
    loading = Thread(target=import_module, args=("opsnb.tables",))
    loading.start()
    site = on.look()
    loading.join()
    from opsnb import tables  # noqa: PLC0415 - loaded above

    frame = tables.releases(site, datetime.now(UTC))
    _answer(frame, as_json, "releases", f"no releases at {safe(on.deploy_to)} yet")


@click.command()
@server_argument
@json_option
@with_setup
def usage(setup: Setup, server: str, as_json: bool) -> None:
    """Say what each release takes on the disk."""
    on = setup.server(server)
    _answer(on.usage(), as_json, "usage", f"nothing at {safe(on.deploy_to)} yet")


@click.command()
@server_argument
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@json_option
@with_setup
def diff(setup: Setup, server: str, a: str, b: str, as_json: bool) -> None:
    """Say how release B differs from release A."""
    frame = setup.server(server).diff(a, b)
    _answer(frame, as_json, "diff", "no difference")
    if not as_json and len(frame):
        from opsnb.cli import show  # noqa: PLC0415 - rich only for a person

        show.out().lines([show.counted(frame)])


@click.command()
@server_argument
@click.option("--verify", is_flag=True, help="Say whether the log was tampered with.")
@json_option
@with_setup
def log(setup: Setup, server: str, verify: bool, as_json: bool) -> int:
    """Show the audit log, oldest first."""
    on = setup.server(server)
    frame = on.log()
    if not verify:
        _answer(frame, as_json, "log", "the audit log is empty")
        return 0
    faults = on.verify_log()
    if as_json:
        told = [{"line": fault.number, "what": safe(fault.what)} for fault in faults]
        json_out.document({"holds": not faults, "entries": len(frame), "faults": told})
    else:
        from opsnb.cli import show  # noqa: PLC0415 - rich only for a person

        show.out().lines(show.verdict(faults, len(frame)))
    return TAMPERED if faults else 0


def _answer(frame: pd.DataFrame, as_json: bool, columns: str, nothing: str) -> None:
    """Print a table; ``columns`` names the function of ``show`` that lays it out."""
    if as_json:
        json_out.document(json_out.records(frame))
        return
    from opsnb.cli import show  # noqa: PLC0415 - rich only for a person

    layouts: dict[str, Callable[[Any], Sequence[Column]]] = {
        "releases": show.releases,
        "usage": show.usage,
        "diff": show.diff,
        "log": show.log,
    }
    show.table(frame, layouts[columns], nothing)
