"""A process that keeps an `opsnb.Server` open: a line of JSON in, one out.

Run as ``python ours_session.py URL SSH_CONFIG``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import opsnb
from opsnb.errors import OpsnbError


def main(url: str, ssh_config: str) -> None:
    """Answer every line until the input ends."""
    server = opsnb.Server(url, ssh_config=ssh_config)
    for line in sys.stdin:
        wanted = json.loads(line)
        try:
            reply = {"status": 0, "output": str(do(server, wanted))}
        except OpsnbError as error:
            reply = {"status": 1, "output": str(error)}
        print(json.dumps(reply), flush=True)
    server.close()


def do(server: opsnb.Server, wanted: dict[str, Any]) -> object:
    """Do what a line asks for, and return what a notebook would show."""
    match wanted["do"]:
        case "look":
            return server.look().releases
        case "deploy":
            return server.deploy(wanted["tree"], keep=wanted["keep"]).wait().sentence
        case "rollback":
            return server.rollback().wait().sentence
        case "releases":
            return server.usage().to_string()
        case "prune":
            return server.prune(wanted["keep"]).wait().sentence
        case other:
            raise ValueError(f"what is {other}?")


if __name__ == "__main__":
    main(*sys.argv[1:])
