"""Who asks, on which machine, and when: what locks, records and plans say of this side."""

from __future__ import annotations

import getpass
import os
import platform
from datetime import UTC, datetime

from opsnb.core.text import safe


def now() -> datetime:
    """The present time, aware."""
    return datetime.now(UTC)


def who() -> str:
    """The user, for locks and records: ``OPSNB_USER`` where it is set, else the login."""
    try:
        return os.environ.get("OPSNB_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def by() -> str:
    """The user and this machine, safe to show."""
    return safe(f"{who()}@{platform.node()}")


def only_looks() -> bool:
    """Whether every change is refused in this environment: ``OPSNB_READ_ONLY``."""
    return os.environ.get("OPSNB_READ_ONLY", "") not in ("", "0")
