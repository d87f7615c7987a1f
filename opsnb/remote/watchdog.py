"""The script of the watchdog: functions of the agent, what it is told, and its own text."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from opsnb.remote.shell import quoted

SERVE = b"serve\n"  # the agent's last line, which would wait for calls


def script(told: Mapping[str, str]) -> bytes:
    """What a shell reads that is to be a watchdog.

    Args:
        told: Its variables.
    """
    here = files("opsnb.remote")
    agent = here.joinpath("agent.sh").read_bytes().removesuffix(SERVE)
    lines = b"".join(b"%s=%s\n" % (name.encode(), quoted(text)) for name, text in told.items())
    return agent + lines + here.joinpath("watchdog.sh").read_bytes()
