"""The changes: deploy, rollback, prune, pin, unpin, adopt, lock.

Rule 1: what a person agreed to is carried out exactly, or refused as stale; where nobody was
        asked, whatever is right under the lock is done.
Rule 2: pin, unpin and lock ask nothing: each is taken back by one command.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from opsnb.cli import json_out, live, streams
from opsnb.cli.ask import ask, must_ask
from opsnb.cli.options import (
    Setup,
    dry_run_option,
    json_option,
    keep_option,
    server_argument,
    source_argument,
    wish_options,
    with_setup,
    yes_option,
)
from opsnb.core.text import safe

if TYPE_CHECKING:
    from rich.text import Text

    from opsnb.core.plan import Plan
    from opsnb.core.release import Holder
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
@yes_option
@json_option
@with_setup
def deploy(
    setup: Setup,
    /,
    server: str,
    source: str,
    wait: float | None,
    yes: bool,
    as_json: bool,
    **wish: Any,
) -> int:
    """Deploy SOURCE (a folder), or the configured one: plan, then apply."""
    on = setup.server(server)
    if wait is not None:
        on.settings = on.settings.model_copy(update={"lock_wait": wait})
    if not must_ask(on, "deploy", yes=yes):
        return live.run(on, lambda: on.deploy(source, **wish), as_json=as_json)
    planned = on.plan(source, **wish, on_output=streams.aside)
    _agree(on, planned.plan)
    return live.run(on, lambda: on.deploy(planned), as_json=as_json)


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
    on = setup.server(server)
    if dry_run:
        return _told(on, on.plan_rollback(to, why), as_json)
    if not must_ask(on, "rollback", yes=yes):
        return live.run(on, lambda: on.rollback(to, why), as_json=as_json)
    planned = on.plan_rollback(to, why)
    _agree(on, planned)
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
    on = setup.server(server)
    if dry_run:
        return _told(on, on.plan_prune(keep), as_json)
    if not must_ask(on, "prune", yes=yes):
        return live.run(on, lambda: on.prune(keep), as_json=as_json)
    planned = on.plan_prune(keep)
    _agree(on, planned)
    return live.run(on, lambda: on.prune(planned), as_json=as_json)


def _told(server: Server, plan: Plan, as_json: bool) -> int:
    """Say what would happen."""
    if as_json:
        json_out.document(json_out.switch_plan(plan, server.name))
    else:
        from opsnb.cli import show  # noqa: PLC0415 - rich only for a person

        show.out().lines(_lines(plan, server))
    return 0


def _agree(server: Server, plan: Plan) -> None:
    """Show a plan and ask; where there is nothing to do, there is nothing to ask."""
    if not plan.nothing:
        ask(server, _lines(plan, server))


def _lines(plan: Plan, server: Server) -> list[Text]:
    from opsnb.cli import plans  # noqa: PLC0415 - rich only for a person

    return plans.lines(plan, server, plans.MOST)


@click.command()
@server_argument
@click.argument("name", metavar="NAME")
@yes_option
@json_option
@with_setup
def pin(setup: Setup, server: str, name: str, yes: bool, as_json: bool) -> int:
    """Keep release NAME from ever being pruned."""
    del yes
    return _run(setup, server, lambda on: on.pin(name), as_json)


@click.command()
@server_argument
@click.argument("name", metavar="NAME")
@yes_option
@json_option
@with_setup
def unpin(setup: Setup, server: str, name: str, yes: bool, as_json: bool) -> int:
    """Take the pin of release NAME away."""
    del yes
    return _run(setup, server, lambda on: on.unpin(name), as_json)


def _run(setup: Setup, server: str, start: Callable[[Server], Job], as_json: bool) -> int:
    on = setup.server(server)
    return live.run(on, lambda: start(on), as_json=as_json)


@click.command()
@server_argument
@yes_option
@json_option
@with_setup
def adopt(setup: Setup, server: str, yes: bool, as_json: bool) -> int:
    """Give the releases of another tool their records.

    Nothing of theirs is changed."""
    on = setup.server(server)
    if must_ask(on, "adopt", yes=yes):
        from opsnb.cli import plans  # noqa: PLC0415 - rich only for a person

        site = on.look()
        if plans.strangers(site):
            ask(on, plans.adoption(site, on))
    return live.run(on, on.adopt, as_json=as_json)


@click.group()
@server_argument
@click.pass_context
def lock(ctx: click.Context, server: str) -> None:
    """Hold a server back, or see who does.

    A hold placed by hand stays until it is released; the lock of a running change ends with it.
    """
    ctx.meta["opsnb.server"] = server


def _lock_server(ctx: click.Context) -> Server:
    return ctx.ensure_object(Setup).server(ctx.meta["opsnb.server"])


@lock.command("status")
@json_option
@click.pass_context
def lock_status(ctx: click.Context, as_json: bool) -> None:
    """Say who holds the server, if anybody does."""
    on = _lock_server(ctx)
    site = on.look()
    if as_json:
        state = "held" if site.hold else "running" if site.holder else "free"
        who = {"hold": _holder(site.hold), "change": _holder(site.holder)}
        json_out.document({"server": on.name, "state": state, **who})
        return
    from opsnb.cli import show  # noqa: PLC0415 - rich only for a person

    show.out().lines(show.lock(site))


def _holder(holder: Holder | None) -> dict[str, Any] | None:
    if holder is None:
        return None
    return {k: safe(v) if isinstance(v, str) else v for k, v in asdict(holder).items()}


@lock.command("acquire")
@click.option("-m", "--why", required=True, metavar="WHY", help="The reason, for everybody.")
@yes_option
@json_option
@click.pass_context
def lock_acquire(ctx: click.Context, why: str, yes: bool, as_json: bool) -> int:
    """Hold the server back: no change until it is released."""
    del yes
    on = _lock_server(ctx)
    return live.run(on, lambda: on.hold(why), as_json=as_json)


@lock.command("release")
@click.option("--force", is_flag=True, help="Also somebody else's hold, and a running change's.")
@yes_option
@json_option
@click.pass_context
def lock_release(ctx: click.Context, force: bool, yes: bool, as_json: bool) -> int:
    """Take the hold away."""
    del yes
    on = _lock_server(ctx)
    return live.run(on, lambda: on.unhold(force=force), as_json=as_json)
