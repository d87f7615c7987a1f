"""``opsnb config``: the documented default file."""

from __future__ import annotations

import click

from opsnb.cli import json_out
from opsnb.cli.options import json_option
from opsnb.cli.streams import put


@click.command("config")
@json_option
def config(as_json: bool) -> None:
    """Print the default opsnb.toml, every key explained."""
    from opsnb.core.config import default_file  # noqa: PLC0415 - `--help` needs no validator

    text = default_file()
    if as_json:
        json_out.document({"file": "opsnb.toml", "text": text})
    else:
        put(text)
