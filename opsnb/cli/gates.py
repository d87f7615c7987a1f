"""The gates that are placed by hand: freeze, unfreeze. Neither asks: each takes the other back."""

from __future__ import annotations

import click

from opsnb.cli.change import intended, run_on
from opsnb.cli.options import (
    Setup,
    dry_run_option,
    json_option,
    server_argument,
    with_setup,
    yes_option,
)


@click.command()
@server_argument
@click.option("-m", "--why", required=True, metavar="WHY", help="The reason, for everybody.")
@click.option(
    "--until",
    default="",
    metavar="TIME",
    help='When it ends by itself: 2026-12-27, "2026-12-27 09:00" in the server\'s timezone, or 2h.',
)
@dry_run_option
@yes_option
@json_option
@with_setup
def freeze(
    setup: Setup, server: str, why: str, until: str, dry_run: bool, yes: bool, as_json: bool
) -> int:
    """Freeze SERVER: no deploy, no promote, no prune.

    A rollback may pass. Every operator of the server sees it, and is held back by it. It is a guard
    rail: whoever may log in may do without opsnb. When it ends is told by the clock of whoever
    meets it.
    """
    del yes
    if dry_run:
        on = setup.server(server)
        return intended(on, on.plan_freeze(why, until), as_json)
    return run_on(setup, server, lambda on: on.freeze(why, until), as_json, "freeze")


@click.command()
@server_argument
@click.option("--force", is_flag=True, help="Also what somebody else placed.")
@dry_run_option
@yes_option
@json_option
@with_setup
def unfreeze(
    setup: Setup, server: str, force: bool, dry_run: bool, yes: bool, as_json: bool
) -> int:
    """Take the freeze of SERVER away."""
    del yes
    if dry_run:
        on = setup.server(server)
        return intended(on, on.plan_unfreeze(force=force), as_json)
    return run_on(setup, server, lambda on: on.unfreeze(force=force), as_json, "unfreeze")
