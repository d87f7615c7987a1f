"""The changes: deploy, rollback, prune, pin, unpin, adopt, lock.

Rule 1: what a person agreed to is carried out exactly, or refused as stale; where nobody was
        asked, whatever is right under the lock is done.
Rule 2: pin, unpin and lock ask nothing: each is taken back by one command.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from opsnb.cli import json_out, live, streams
from opsnb.cli.ask import ask, must_ask
from opsnb.cli.border import Group
from opsnb.cli.options import (
    Setup,
    dry_run_option,
    json_option,
    keep_option,
    outside_option,
    server_argument,
    source_argument,
    wish_options,
    with_setup,
    yes_option,
)
from opsnb.core.text import safe

if TYPE_CHECKING:
    from rich.text import Text

    from opsnb.core.adopt_plan import AdoptPlan
    from opsnb.core.intended import Intended
    from opsnb.core.marks import Holder
    from opsnb.core.plan import Plan
    from opsnb.core.release import Site
    from opsnb.job import Job
    from opsnb.server import Server


@click.command()
@server_argument
@source_argument
@wish_options
@click.option(
    "--wait",
    type=click.FloatRange(min=0, max=86400),
    metavar="SECONDS",
    help="How long to wait for the lock; as configured when not given.",
)
@outside_option
@dry_run_option
@yes_option
@json_option
@with_setup
def deploy(
    setup: Setup,
    /,
    server: str,
    source: str,
    wait: float | None,
    outside_window: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **wish: Any,
) -> int:
    """Deploy SOURCE, a folder, or the configured one.

    Its plan is shown first, and a person is asked; with --yes nobody is.
    """
    on = setup.server(server, "" if dry_run else "deploy")
    if dry_run:
        from opsnb.cli.look import told_plan  # noqa: PLC0415 - only when it is asked for

        return told_plan(on, on.plan(source, **wish, on_output=streams.aside), as_json)
    if wait is not None:
        on.settings = on.settings.model_copy(update={"lock_wait": wait})
    wish |= {"outside_window": outside_window}
    if not must_ask(on, "deploy", yes=yes):
        return live.run(on, lambda: on.deploy(source, **wish), as_json=as_json)
    on.permitted("deploy", wish.pop("outside_window"))
    planned = on.plan(source, **wish, on_output=streams.aside)
    agree(on, planned.plan)
    return live.run(on, lambda: on.deploy(planned, outside_window=outside_window), as_json=as_json)


@click.command()
@server_argument
@click.option("--to", default="", metavar="NAME", help="The release; the good one before, if none.")
@click.option("--why", default="", metavar="TEXT", help="The reason, for the record.")
@dry_run_option
@yes_option
@json_option
@with_setup
def rollback(
    setup: Setup, server: str, to: str, why: str, dry_run: bool, yes: bool, as_json: bool
) -> int:
    """Publish the good release before the live one, or a chosen one."""
    on = setup.server(server, "" if dry_run else "rollback")
    if dry_run:
        return told(on, on.plan_rollback(to, why, files=True), as_json)
    if not must_ask(on, "rollback", yes=yes):
        return live.run(on, lambda: on.rollback(to, why), as_json=as_json)
    planned = on.plan_rollback(to, why)
    agree(on, planned)
    return live.run(on, lambda: on.rollback(planned), as_json=as_json)


@click.command()
@server_argument
@keep_option
@dry_run_option
@yes_option
@json_option
@with_setup
def prune(
    setup: Setup, server: str, keep: int | None, dry_run: bool, yes: bool, as_json: bool
) -> int:
    """Remove old releases."""
    on = setup.server(server, "" if dry_run else "prune")
    if dry_run:
        return told(on, on.plan_prune(keep), as_json)
    if not must_ask(on, "prune", yes=yes):
        return live.run(on, lambda: on.prune(keep), as_json=as_json)
    on.permitted("prune")
    planned = on.plan_prune(keep)
    agree(on, planned)
    return live.run(on, lambda: on.prune(planned), as_json=as_json)


def told(server: Server, plan: Plan, as_json: bool) -> int:
    """Say what would happen."""
    if as_json:
        json_out.document(json_out.switch_plan(plan, server.name))
    else:
        from opsnb.cli import show  # noqa: PLC0415 - rich only for a person

        show.out().lines(_lines(plan, server))
    return 0


def agree(server: Server, plan: Plan) -> None:
    """Show a plan and ask; where there is nothing to do, there is nothing to ask."""
    if not plan.nothing:
        ask(server, _lines(plan, server))


def _lines(plan: Plan, server: Server) -> list[Text]:
    from opsnb.cli import plans  # noqa: PLC0415 - rich only for a person

    return plans.lines(plan, server, plans.MOST)


@click.command()
@server_argument
@click.argument("name", metavar="NAME")
@dry_run_option
@yes_option
@json_option
@with_setup
def pin(setup: Setup, server: str, name: str, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Keep release NAME from ever being pruned."""
    del yes
    if dry_run:
        on = setup.server(server)
        return intended(on, on.plan_pin(name), as_json)
    return run_on(setup, server, lambda on: on.pin(name), as_json, "pin")


@click.command()
@server_argument
@click.argument("name", metavar="NAME")
@dry_run_option
@yes_option
@json_option
@with_setup
def unpin(setup: Setup, server: str, name: str, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Take the pin of release NAME away."""
    del yes
    if dry_run:
        on = setup.server(server)
        return intended(on, on.plan_unpin(name), as_json)
    return run_on(setup, server, lambda on: on.unpin(name), as_json, "unpin")


def intended(server: Server, what: Intended, as_json: bool) -> int:
    """Say what a change would do that makes and switches nothing.

    Args:
        server: The server.
        what: What it would do.
        as_json: Whether a machine reads.
    """
    if as_json:
        json_out.document(what.data(server.name))
    else:
        from opsnb.cli import show  # noqa: PLC0415 - rich only for a person

        show.out().lines([what.text(server.name)])
    return 0


def run_on(
    setup: Setup, server: str, start: Callable[[Server], Job], as_json: bool, verb: str = "a change"
) -> int:
    """Begin a change that asks nothing, and tell of it.

    Args:
        setup: The options before the verb.
        server: The server.
        start: Begins it.
        as_json: Whether a machine reads.
        verb: What kind of change.
    """
    on = setup.server(server, verb)
    return live.run(on, lambda: start(on), as_json=as_json)


@click.command()
@server_argument
@click.option(
    "--shared",
    multiple=True,
    metavar="PATH",
    help="What of a site without releases is to be in shared/; may be given several times.",
)
@click.option("--undo", is_flag=True, help="Take away again what the adoption made.")
@click.option("--finish", is_flag=True, help="Remove the old files that were copied.")
@dry_run_option
@yes_option
@json_option
@with_setup
def adopt(
    setup: Setup, /, server: str, dry_run: bool, yes: bool, as_json: bool, **asked: Any
) -> int:
    """Take over a site that opsnb did not make.

    Releases of another tool get records; a site without releases is copied into a first one.
    Nothing of it is changed."""
    on = setup.server(server, "" if dry_run else "adopt")
    if dry_run:
        return _told_adoption(on, on.plan_adopt(**asked), as_json)
    if not must_ask(on, "adopt", yes=yes):
        return live.run(on, lambda: on.adopt(**asked), as_json=as_json)
    planned = on.plan_adopt(**asked)
    if not planned.nothing:
        from opsnb.cli import plans  # noqa: PLC0415 - rich only for a person

        ask(on, plans.adoption(planned, on))
    return live.run(on, lambda: on.adopt(planned), as_json=as_json)


def _told_adoption(server: Server, plan: AdoptPlan, as_json: bool) -> int:
    """Say what an adoption would do."""
    if as_json:
        from opsnb.core.adopt_plan import data  # noqa: PLC0415 - only when it is asked for

        json_out.document(data(plan, server.name))
    else:
        from opsnb.cli import plans, show  # noqa: PLC0415 - rich only for a person

        show.out().lines(plans.adoption(plan, server))
    return 0


@click.group(cls=Group)
@server_argument
@click.pass_context
def lock(ctx: click.Context, server: str) -> None:
    """Hold a server back, or see who does.

    A hold placed by hand stays until it is released; the lock of a running change ends with it.
    """
    ctx.meta["opsnb.server"] = server


def _lock_server(ctx: click.Context, changes: str = "") -> Server:
    return ctx.ensure_object(Setup).server(ctx.meta["opsnb.server"], changes)


@lock.command("status")
@json_option
@click.pass_context
def lock_status(ctx: click.Context, as_json: bool) -> None:
    """Say who holds the server, if anybody does."""
    on = _lock_server(ctx)
    site = on.look()
    if as_json:
        state = _state(site)
        who = {"hold": _holder(site.hold), "change": _holder(site.holder)}
        json_out.document({"server": on.name, "state": state, **who})
        return
    from opsnb.cli import show  # noqa: PLC0415 - rich only for a person

    show.out().lines(show.lock(site))


def _state(site: Site) -> str:
    if site.hold:
        return "frozen" if site.hold.freezes else "held"
    return "running" if site.holder else "free"


def _holder(holder: Holder | None) -> dict[str, Any] | None:
    if holder is None:
        return None
    return {k: safe(v) if isinstance(v, str) else v for k, v in asdict(holder).items()}


@lock.command("acquire")
@click.option("-m", "--why", required=True, metavar="WHY", help="The reason, for everybody.")
@click.option(
    "--for",
    "length",
    default="",
    metavar="TIME",
    help="How long (90m, 2h, 1d): then it ends by itself. Until it is released, when not given.",
)
@dry_run_option
@yes_option
@json_option
@click.pass_context
def lock_acquire(
    ctx: click.Context, why: str, length: str, dry_run: bool, yes: bool, as_json: bool
) -> int:
    """Hold the server back until it is released, or for a time."""
    del yes
    on = _lock_server(ctx, "" if dry_run else "hold")
    until = _length(length) if length else None
    if dry_run:
        return intended(on, on.plan_hold(why, until), as_json)
    return live.run(on, lambda: on.hold(why, until), as_json=as_json)


def _length(text: str) -> timedelta:
    from opsnb.core.moments import length  # noqa: PLC0415 - few holds have one

    return length(text)


@lock.command("release")
@click.option("--force", is_flag=True, help="Also somebody else's hold, and a running change's.")
@dry_run_option
@yes_option
@json_option
@click.pass_context
def lock_release(ctx: click.Context, force: bool, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Take the hold away."""
    del yes
    on = _lock_server(ctx, "" if dry_run else "release")
    if dry_run:
        return intended(on, on.plan_unhold(force=force), as_json)
    return live.run(on, lambda: on.unhold(force=force), as_json=as_json)
