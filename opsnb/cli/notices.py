"""``opsnb notices``: who is told of changes of a server, and whether it reaches them."""

from __future__ import annotations

import click

from opsnb.cli import json_out
from opsnb.cli.options import Setup, json_option, server_argument, with_setup

UNDELIVERED = 20


@click.command()
@server_argument
@click.option("--test", is_flag=True, help="Send each a message that says it is a test.")
@json_option
@with_setup
def notices(setup: Setup, server: str, test: bool, as_json: bool) -> int:
    """Say who is told of deploys, promotes and rollbacks of SERVER.

    Addresses are shown nowhere. The server is not asked. With --test the exit status is 20 when
    one of them was not delivered.
    """
    on = setup.server(server, connect=False)
    listed = on.test_notices() if test else on.notices()
    if as_json:
        json_out.document(listed)
    else:
        from opsnb.cli import show  # noqa: PLC0415 - rich only for a person

        show.table(listed, show.notices, "nobody is told: `notices` in opsnb.toml is empty")
    return UNDELIVERED if any(row["fault"] for row in listed) and test else 0
