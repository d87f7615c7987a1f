"""``opsnb``: the verbs, together."""

from __future__ import annotations

import os
from pathlib import Path

import click

from opsnb import __version__
from opsnb.cli.border import Border
from opsnb.cli.brief import brief
from opsnb.cli.options import Setup

VERBS = {
    "check": "opsnb.cli.look:check",
    "plan": "opsnb.cli.look:plan",
    "deploy": "opsnb.cli.change:deploy",
    "promote": "opsnb.cli.promote:promote",
    "releases": "opsnb.cli.look:releases",
    "usage": "opsnb.cli.look:usage",
    "diff": "opsnb.cli.look:diff",
    "log": "opsnb.cli.look:log",
    "rollback": "opsnb.cli.change:rollback",
    "prune": "opsnb.cli.change:prune",
    "pin": "opsnb.cli.change:pin",
    "unpin": "opsnb.cli.change:unpin",
    "adopt": "opsnb.cli.change:adopt",
    "lock": "opsnb.cli.change:lock",
    "freeze": "opsnb.cli.gates:freeze",
    "unfreeze": "opsnb.cli.gates:unfreeze",
    "notices": "opsnb.cli.notices:notices",
    "config": "opsnb.cli.config:config",
    "demo": "opsnb.cli.story:demo",
    "lab": "opsnb.cli.lab:lab",
    "run": "opsnb.cli.run:run",
}


@click.group(cls=Border, verbs=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration; ./opsnb.toml when not given.",
)
@click.option(
    "--ssh-config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The ssh_config to read, in place of your own.",
)
@click.option("--read-only", is_flag=True, help="Refuse every change; as OPSNB_READ_ONLY=1 does.")
@click.pass_context
def opsnb(
    ctx: click.Context, config: Path | None, ssh_config: Path | None, read_only: bool
) -> None:
    """Atomic releases over SSH.

    SERVER is a name in opsnb.toml, or ssh://user@host[:port]/path, or file:///path.

    Exit status: 0 done, 1 a bug in opsnb, 2 usage or configuration, 10 no connection,
    11 not ready, 12 locked, held or frozen, 13 no such release or a stale plan, 20 failed before
    the switch, 21 failed after it and put back, 22 not put back, 23 unknown, 24 a runbook stopped
    at a gate, 130 interrupted.
    """
    ctx.obj = Setup(config, ssh_config)
    if read_only:
        _say_read_only(ctx)


def _say_read_only(ctx: click.Context) -> None:
    """Say it where a kernel that the verb starts hears it, too, for as long as the verb runs."""
    before = os.environ.get("OPSNB_READ_ONLY")
    os.environ["OPSNB_READ_ONLY"] = "1"

    def restore() -> None:
        os.environ.pop("OPSNB_READ_ONLY")
        if before is not None:
            os.environ["OPSNB_READ_ONLY"] = before

    ctx.call_on_close(restore)


def main() -> None:
    """Run the command line of this process, and leave with its exit status."""
    with brief():
        opsnb.main()
