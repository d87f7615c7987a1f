"""The questions: check, plan, releases, usage, diff, log. They change nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from opsnb.cli import json_out, streams
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
    from opsnb.cli.grid import Column
    from opsnb.core.release import Site
    from opsnb.core.rows import Row
    from opsnb.server import DeployPlan, Server

NOT_READY = 11
LOCKED = 12
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
    wrong = {one.item for one in found if not one.ok}
    if wrong and wrong <= {"lock", "freeze"}:
        return LOCKED
    return NOT_READY if wrong else 0


@click.command()
@server_argument
@source_argument
@wish_options
@json_option
@with_setup
def plan(
    setup: Setup,
    /,
    server: str,
    source: str,
    as_json: bool,
    **wish: Any,
) -> None:
    """Say what a deploy of SOURCE would do, and change nothing.

    SOURCE is a folder; without it: of the configured one. A repository is fetched and a build is
    run on this machine; what they say goes to standard error."""
    on = setup.server(server)
    planned = on.plan(source, **wish, on_output=streams.aside)
    told_plan(on, planned, as_json)


def told_plan(on: Server, planned: DeployPlan, as_json: bool) -> int:
    """Say what a deploy would do.

    Args:
        on: The server.
        planned: The plan.
        as_json: Whether to a machine.
    """
    if as_json:
        json_out.document(json_out.deploy_plan(planned))
        return 0
    from opsnb.cli import plans, show  # noqa: PLC0415 - rich only for a person

    page = show.out()
    page.lines(plans.lines(planned.plan, on, plans.MOST if page.is_terminal else None))
    return 0


@click.command()
@server_argument
@json_option
@with_setup
def releases(setup: Setup, server: str, as_json: bool) -> None:
    """List the releases, the newest first."""
    on = setup.server(server)
    from opsnb.core import rows  # noqa: PLC0415 - meanwhile the connection is made

    nothing, seen = f"no releases at {safe(on.deploy_to)} yet", []

    def ask() -> list[Row]:
        seen.append(on.look())
        return rows.releases(seen[0], datetime.now(UTC), on.settings.rules)

    _answer(ask, as_json, "releases", nothing)
    if not as_json:
        _held(on, seen[0])


def _held(on: Server, site: Site) -> None:
    """Say what holds changes back, if anything does."""
    if not (site.hold or on.settings.freeze or on.settings.windows or on.read_only):
        return
    from opsnb.cli import show  # noqa: PLC0415 - rich only for a person

    said = [site.hold.words] if site.hold else []
    show.out().lines(show.note(words) for words in (*said, *on.held_back()))


@click.command()
@server_argument
@json_option
@with_setup
def usage(setup: Setup, server: str, as_json: bool) -> None:
    """Say what each release takes on the disk."""
    on = setup.server(server)
    from opsnb.core import rows  # noqa: PLC0415 - meanwhile the connection is made

    nothing = f"nothing at {safe(on.deploy_to)} yet"
    _answer(lambda: rows.usage(*on.measure()), as_json, "usage", nothing)


@click.command()
@server_argument
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--commits", is_flag=True, help="Their commits, and not their files.")
@json_option
@with_setup
def diff(setup: Setup, server: str, a: str, b: str, commits: bool, as_json: bool) -> None:
    """Say how release B differs from release A."""
    on = setup.server(server)
    if commits:
        _commits(on, a, b, as_json)
        return
    from opsnb.core import rows  # noqa: PLC0415 - meanwhile the connection is made
    from opsnb.core.manifest import compare  # noqa: PLC0415 - as above

    def ask() -> list[Row]:
        old, new = on.manifests(a, b)
        return rows.diff(old, new, compare(old, new))

    found = _answer(ask, as_json, "diff", "no difference")
    if not as_json and found:
        from opsnb.cli import show  # noqa: PLC0415 - rich only for a person

        show.out().lines([show.counted(found)])


def _commits(on: Server, a: str, b: str, as_json: bool) -> None:
    """Say which commits lie between two releases."""
    found = on.commits(a, b, streams.aside)
    if as_json:
        json_out.document(json_out.past_of(found))
        return
    from opsnb.cli import plans, show  # noqa: PLC0415 - rich only for a person

    show.out().lines(plans.past(found))


@click.command()
@server_argument
@click.option("--verify", is_flag=True, help="Say whether the log was tampered with.")
@json_option
@with_setup
def log(setup: Setup, server: str, verify: bool, as_json: bool) -> int:
    """Show the audit log, oldest first."""
    on = setup.server(server)
    from opsnb.core import audit, rows  # noqa: PLC0415 - meanwhile the connection is made

    if not verify:
        nothing = "the audit log is empty"
        _answer(lambda: rows.log(audit.read(on.audit_log())), as_json, "log", nothing)
        return 0
    written = on.audit_log()
    entries = audit.read(written)
    faults = audit.verify(written)
    if as_json:
        told = [{"line": fault.number, "what": safe(fault.what)} for fault in faults]
        json_out.document({"holds": not faults, "entries": len(entries), "faults": told})
    else:
        from opsnb.cli import show  # noqa: PLC0415 - rich only for a person

        show.out().lines(show.verdict(faults, len(entries)))
    return TAMPERED if faults else 0


def _answer(
    ask: Callable[[], Sequence[Row]], as_json: bool, columns: str, nothing: str
) -> Sequence[Row]:
    """Ask and print a table; ``columns`` names the function of ``show`` that lays it out."""
    if as_json:
        found = ask()
        json_out.document(json_out.records(found))
        return found
    from opsnb.cli import show  # noqa: PLC0415 - rich only for a person, and before the question

    layouts: dict[str, Callable[[Any], Sequence[Column]]] = {
        "releases": show.releases,
        "usage": show.usage,
        "diff": show.diff,
        "log": show.log,
    }
    found = ask()
    show.table(found, layouts[columns], nothing)
    return found
