"""What is told of a change, and to whom. Pure.

Rule 1: each change is told of at most twice: when it begins, and when it has ended.
Rule 2: every text is safe to show; what marks up a message where it is read, notices.py escapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opsnb.core.events import SWITCHES, Outcome, Report
from opsnb.core.secrets import LEAST, Secrets
from opsnb.core.settings.notices import NAME, Notice, Occasion
from opsnb.core.text import safe

FORM = 1  # of the JSON that a webhook is sent
MOST = 1500  # characters of one line


@dataclass(frozen=True, slots=True)
class About:
    """Whose change it is, and where.

    Attributes:
        server: The server's name.
        environment: Its environment's name; empty for none.
        by: Who began it, and on which machine.
    """

    server: str
    environment: str
    by: str

    @property
    def where(self) -> str:
        """The server, and its environment."""
        environment = f" ({safe(self.environment)})" if self.environment else ""
        return f"{safe(self.server)}{environment}"


@dataclass(frozen=True, slots=True)
class Message:
    """What is told.

    Attributes:
        occasion: What has happened; empty for a test.
        title: It in one line.
        lines: More of it.
        data: It as plain data, for a webhook.
    """

    occasion: Occasion | str
    title: str
    lines: tuple[str, ...]
    data: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


def tells_of(verb: str) -> bool:
    """Whether a kind of change is told of: those that switch."""
    return verb in SWITCHES


def started(about: About, verb: str, at: str) -> Message:
    """A change has begun.

    Args:
        about: Whose and where.
        verb: What kind of change.
        at: When, UTC, ISO 8601.
    """
    title = f"▸ {safe(verb)} on {about.where} has begun"
    return _message("start", about, title, [f"by {safe(about.by)}"], at, None)


def ended(about: About, report: Report, at: str) -> Message:
    """A change has ended.

    Args:
        about: Whose and where.
        report: How.
        at: When, UTC, ISO 8601.
    """
    sign = "✕" if report.error else "✓"
    title = f"{sign} {safe(report.verb)} on {about.where}: {_outcome(report)}"
    lines = [report.sentence, f"by {safe(about.by)}"]
    if report.release and report.release != report.previous:
        lines.append(f"{safe(report.previous) or 'nothing'} → {safe(report.release)}")
    lines += [f"revision {safe(report.revision)}"] if report.revision else []
    lines += [f"error: {safe(report.error)}"] if report.error else []
    lines += [f"next: {safe(report.hint)}"] if report.hint else []
    lines.append(f"took {report.seconds:.1f} s")
    return _message(occasion(report), about, title, lines, at, report)


def test(about: About, at: str) -> Message:
    """A message that tells of nothing but itself.

    Args:
        about: Who asks, and of which server.
        at: When, UTC, ISO 8601.
    """
    lines = [f"by {safe(about.by)}", "opsnb tells you of changes here. This is a test."]
    return _message("test", about, f"▸ a test for {about.where}", lines, at, None)


def _message(
    occasion: str, about: About, title: str, lines: list[str], at: str, report: Report | None
) -> Message:
    short = tuple(line if len(line) <= MOST else f"{line[:MOST]}…" for line in lines)
    data = {
        "opsnb": FORM,
        "event": occasion,
        "server": safe(about.server),
        "environment": safe(about.environment),
        "by": safe(about.by),
        "at": at,
        "title": title,
        "text": "\n".join(short),
        "report": report.to_dict() if report else None,
    }
    return Message(occasion, title, short, data)


def _outcome(report: Report) -> str:
    if report.outcome is Outcome.DONE:
        return "done"
    return "put back" if report.outcome is Outcome.RESTORED else str(report.outcome)


def occasion(report: Report) -> Occasion:
    """What a change's end is told as.

    Args:
        report: How it ended.
    """
    if report.outcome is Outcome.RESTORED:
        return "restore"
    if report.error:
        return "failure"
    return "rollback" if report.verb == "rollback" else "success"


def wanted(notice: Notice, message: Message, report: Report | None) -> bool:
    """Whether somebody is told that.

    Where there was nothing to do, only those are told who were told that it had begun.

    Args:
        notice: Somebody.
        message: What.
        report: How the change ended; None while it has not.
    """
    if report is not None and report.outcome is Outcome.NOTHING and "start" not in notice.on:
        return False
    return message.occasion in notice.on


# --- addresses ---------------------------------------------------------------------------------

_VARIABLE = re.compile(r"\$\{(" + NAME + r")\}")


def origin(notice: Notice) -> str:
    """Where a notice's address comes from, without it."""
    names = _VARIABLE.findall(notice.url.get_secret_value())
    return notice.url_env or ", ".join(names) or "opsnb.toml"


def address(notice: Notice, environment: Mapping[str, str]) -> str:
    """A notice's address; empty when a variable of it is not set.

    Args:
        notice: The notice.
        environment: The operator's own.
    """
    if notice.url_env:
        return environment.get(notice.url_env, "").strip()
    given = notice.url.get_secret_value()
    if not all(environment.get(name) for name in _VARIABLE.findall(given)):
        return ""
    return _VARIABLE.sub(lambda match: environment[match[1]].strip(), given)


def hidden(notices: tuple[Notice, ...], environment: Mapping[str, str]) -> Secrets:
    """What is shown nowhere, whoever says it: addresses, and the variables in them.

    Args:
        notices: Who is told.
        environment: The operator's own.
    """
    values = {f"notice {n}": address(one, environment) for n, one in enumerate(notices, 1)}
    for one in notices:
        for name in _VARIABLE.findall(one.url.get_secret_value()):
            values[name] = environment.get(name, "").strip()
    return Secrets({name: value for name, value in values.items() if len(value) >= LEAST})
