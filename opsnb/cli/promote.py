"""``opsnb promote``: what one server runs, on another."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from opsnb.cli import json_out, live
from opsnb.cli.ask import ask, must_ask
from opsnb.cli.options import (
    Setup,
    dry_run_option,
    json_option,
    keep_option,
    outside_option,
    with_setup,
    yes_option,
)
from opsnb.core.text import safe

if TYPE_CHECKING:
    from rich.text import Text

    from opsnb.server import PromotePlan, Server


@click.command()
@click.argument("origin", metavar="FROM")
@click.argument("to", metavar="TO")
@keep_option
@click.option("--force", is_flag=True, help="Make a release even if it changes nothing.")
@outside_option
@dry_run_option
@yes_option
@json_option
@with_setup
def promote(
    setup: Setup,
    origin: str,
    to: str,
    keep: int | None,
    force: bool,
    outside_window: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Deploy to TO exactly the release that FROM runs.

    The same bytes, the same manifest. Each is a server, or an environment that has just one. It is
    refused unless what FROM runs is good and is still what was deployed there. What TO lacks is
    read from FROM, and verified.
    """
    project = setup.project(origin if "://" in origin else to)
    on, source = project.one_server(to), project.one_server(origin)
    if not dry_run:
        on.writable("promote")
    source.connect()
    on.connect()
    wish: dict[str, Any] = {"keep": keep, "force": force}
    if dry_run:
        return _told(on, on.plan_promote(source, **wish), as_json)
    why = outside_window
    if not must_ask(on, "promote", yes=yes):
        start = partial(on.promote, source, outside_window=why, **wish)
        return live.run(on, start, as_json=as_json)
    on.permitted("promote", outside_window)
    planned = on.plan_promote(source, **wish)
    if not planned.nothing:
        ask(on, _lines(planned, on))
    return live.run(on, lambda: on.promote(planned, outside_window=why), as_json=as_json)


def _told(server: Server, planned: PromotePlan, as_json: bool) -> int:
    if as_json:
        told = json_out.deploy_plan(planned)
        manifest = planned.wish.source.id
        origin = {"server": planned.origin.name, "release": safe(planned.release)}
        json_out.document({**told, "verb": "promote", "from": {**origin, "manifest": manifest}})
        return 0
    from opsnb.cli import show  # noqa: PLC0415 - rich only for a person

    show.out().lines(_lines(planned, server))
    return 0


def _lines(planned: PromotePlan, server: Server) -> list[Text]:
    from rich.text import Text  # noqa: PLC0415 - rich only for a person

    from opsnb.cli import plans, show  # noqa: PLC0415 - as above

    head = Text.assemble(("promote ", "bold"), show.where(planned.origin))
    head.append(f" · {safe(planned.release)}", "bold green")
    return [head, *plans.lines(planned.plan, server, plans.MOST)]
