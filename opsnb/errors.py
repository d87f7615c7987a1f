"""Everything that can go wrong, as one tree.

::

    OpsnbError                     exit status
    ├── ConfigError                 2   the configuration or the arguments are wrong
    │   └── ReadOnly                2   …or say that nothing is to be changed
    ├── SourceError                 2   the source cannot be released as it stands
    ├── NotConfirmed                2   a runbook stopped before it changed a real server
    ├── ConnectError               10   no connection to the server
    │   ├── HostKeyError           10   the host key is unknown, changed or revoked
    │   └── LoginError             10   the server refused the login
    ├── NotReady                   11   deploy_to cannot take atomic releases as it stands
    ├── Locked                     12   somebody else holds the server
    │   └── HeldBack               12   …or a freeze or the hours do: the project's own guard rails
    ├── NoSuchRelease              13   the release named does not exist or cannot be used
    ├── StalePlan                  13   the server has changed since the plan was made
    ├── RemoteError                20   a step on the server failed
    │   ├── StepFailed             20   …with an exit status
    │   ├── NotAsSeen              20   …and what was sent with it, since the site is another
    │   ├── StepTimedOut           20   …by its deadline
    │   ├── Disconnected           20   …because the connection went away: its outcome is unknown
    │   └── LockLost               20   …because somebody else took the lock
    ├── CheckFailed                20   a release or a site does not answer as it must
    ├── BuildFailed                20   the release could not be built: no server was touched
    ├── DeployFailed               20   failed before publish: the live site is untouched
    ├── Restored                   21   failed after publish, and put back
    ├── NotRestored                22   failed after publish, and not put back
    ├── OutcomeUnknown             23   the server could not be asked what happened
    ├── GateClosed                 24   a runbook stopped, since something does not hold
    └── Interrupted               130   stopped by the user

Rule 1: a message says what happened, a hint says what to do next.
Rule 2: errors of other libraries are translated where they enter (``remote/``), once.
"""

from __future__ import annotations

import os
import traceback
from typing import Any


class OpsnbError(Exception):
    """Base of every error that opsnb raises on purpose.

    Args:
        message: What happened, one sentence.
        hint: What the user can do next; may be empty.

    Attributes:
        report: The :class:`opsnb.Report` of the change that failed; None where none was begun.
    """

    exit_status = 1
    report: Any = None

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def _render_traceback_(self) -> list[str]:
        """What IPython shows of it: the words alone, or the trace with ``OPSNB_DEBUG=1``."""
        if os.environ.get("OPSNB_DEBUG") == "1":
            return "".join(traceback.format_exception(self)).splitlines()
        return [f"{type(self).__name__}: {self.message}", *([self.hint] if self.hint else [])]


class ConfigError(OpsnbError):
    """The configuration or the arguments are wrong; the message names file, line and key."""

    exit_status = 2


class ReadOnly(ConfigError):
    """The configuration, or whoever runs this, says that nothing is to be changed."""


class SourceError(OpsnbError):
    """The source holds something that cannot be released."""

    exit_status = 2


class NotConfirmed(OpsnbError):
    """A runbook stopped before its first change, since the server was not confirmed."""

    exit_status = 2


class ConnectError(OpsnbError):
    """The server could not be reached."""

    exit_status = 10


class HostKeyError(ConnectError):
    """The server's host key is unknown, changed or revoked; nothing was sent to it."""


class LoginError(ConnectError):
    """The server refused the login."""


class NotReady(OpsnbError):
    """``deploy_to`` cannot take atomic releases as it stands; nothing was written."""

    exit_status = 11


class Locked(OpsnbError):
    """Somebody else holds the server."""

    exit_status = 12


class HeldBack(Locked):
    """A freeze, or the hours in which deploys are allowed, hold the change back."""


class NoSuchRelease(OpsnbError):
    """The release named does not exist, or cannot be used for what was asked."""

    exit_status = 13


class StalePlan(OpsnbError):
    """The server is no longer as the plan saw it; nothing was changed."""

    exit_status = 13


class RemoteError(OpsnbError):
    """A step on the server did not end as it should."""

    exit_status = 20


class StepFailed(RemoteError):
    """A step on the server failed.

    Attributes:
        status: The step's exit status.
    """

    def __init__(self, message: str, status: int, hint: str = "") -> None:
        super().__init__(message, hint)
        self.status = status


class NotAsSeen(RemoteError):
    """What was sent together with the wish for the lock was not done.

    Args:
        ours: Whether the lock is ours, and ``Held.seen`` is what is there now: the site is not as
            it was. Otherwise it is to be taken anew.
    """

    def __init__(self, *, ours: bool) -> None:
        super().__init__("the site is not as it was" if ours else "the lock was not to be had")
        self.ours = ours


class StepTimedOut(RemoteError):
    """A step on the server did not end before its deadline, and was ended."""


class Disconnected(RemoteError):
    """The connection went away during a step: whether the step happened is unknown."""


class LockLost(RemoteError):
    """Somebody else has taken the lock; no further step of this change was made."""


class CheckFailed(OpsnbError):
    """A release does not match its manifest, or the site does not answer as it must."""

    exit_status = 20


class BuildFailed(OpsnbError):
    """The release could not be built on this machine: no server was touched."""

    exit_status = 20


class DeployFailed(OpsnbError):
    """The change failed before the switch: the live site is untouched."""

    exit_status = 20


class Restored(OpsnbError):
    """The change failed after the switch, and the previous release is live again."""

    exit_status = 21


class NotRestored(OpsnbError):
    """The change failed after the switch, and the previous release is not live."""

    exit_status = 22


class OutcomeUnknown(OpsnbError):
    """The switch may or may not have happened, and the server could not be asked."""

    exit_status = 23


class GateClosed(OpsnbError):
    """A runbook stopped at a gate: what must hold does not."""

    exit_status = 24


class Interrupted(OpsnbError):
    """The user stopped the change; the message says whether the switch had happened."""

    exit_status = 130
