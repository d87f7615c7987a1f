"""Where every error becomes words and an exit status.

Rule 1: what opsnb raises on purpose is told in its own words; the exit status is the error's.
Rule 2: a wrong input never gets a stack trace; a bug gets one line, and the trace when
        ``OPSNB_DEBUG=1`` asks for it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import Any

import click

from opsnb.cli import json_out
from opsnb.cli.streams import complain, forgive, hung_up, hush
from opsnb.core.text import safe
from opsnb.errors import OpsnbError

BUG = 1
USAGE = 2
INTERRUPTED = 130
ALIKE = 0.7  # of a word: one letter too many, too few or wrong in four, and hardly more


class Group(click.Group):
    """A group of commands that says which of them an unknown one may have meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See click; an unknown command is told with those that are alike."""
        name = args[0]
        unknown = self.get_command(ctx, name) is None and not name.startswith("-")
        if unknown and not ctx.resilient_parsing:
            ctx.fail(f"No such command {name!r}.{_meant(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


class Border(Group):
    """A group of commands whose errors end here, whoever calls it.

    Args:
        verbs: Where each command is found (``module:name``), in the order of a working day. A
            command's module is loaded when the command is wanted, and no other.
        given: What click's own group takes.
    """

    def __init__(self, *, verbs: Mapping[str, str] | None = None, **given: Any) -> None:
        super().__init__(**given)
        self._verbs = verbs or {}

    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> Any:
        """Run a command line and leave with its exit status.

        Args:
            args: The arguments; those of the process when not given.
            extra: What click's own ``main`` takes besides.
        """
        given = list(sys.argv[1:] if args is None else args)
        # Asked of the arguments themselves: the one that cannot be parsed is an error, too.
        as_json = "--json" in given
        extra = {"prog_name": "opsnb", **extra, "standalone_mode": False}
        forgive()
        with _terminated_as_interrupted():
            sys.exit(_status(lambda: super(Border, self).main(given, **extra), as_json))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order of a working day, not of the alphabet."""
        del ctx
        return [*self._verbs, *(name for name in self.commands if name not in self._verbs)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name; its module is loaded now."""
        if cmd_name in self._verbs and cmd_name not in self.commands:
            module, _, name = self._verbs[cmd_name].partition(":")
            self.add_command(getattr(import_module(module), name), cmd_name)
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a reader that went away is no error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            hush(sys.stdout)
            return 0
        except KeyboardInterrupt as interrupt:
            # Else click writes an empty line, which no reader of JSON expects.
            raise click.Abort from interrupt


def _status(command: Callable[[], Any], as_json: bool) -> int:
    """The exit status of a command; what went wrong has been told."""
    try:
        return int(command() or 0)
    except OpsnbError as error:
        return _told(type(error).__name__, error.message, error.hint, error.exit_status, as_json)
    except click.UsageError as error:
        return _usage(error, as_json)
    except click.ClickException as error:
        return _told("ConfigError", error.format_message(), "", USAGE, as_json)
    except (click.Abort, KeyboardInterrupt):
        hint = "If a change was running: `opsnb releases` shows what is live."
        return _told("Interrupted", "interrupted", hint, INTERRUPTED, as_json)
    except Exception as error:  # noqa: BLE001 - the last border: whatever it is, it is our bug
        return _bug(error, as_json)


def _usage(error: click.UsageError, as_json: bool) -> int:
    # click 8.1 has no such error: it prints its help and ends with 0.
    bare = isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ()))
    if bare and not as_json:
        complain(error.format_message() + "\n")
        return USAGE
    path = error.ctx.command_path if error.ctx else "opsnb"
    usage = " ".join(error.ctx.get_usage().split()) if error.ctx else ""
    hint = f"{usage}\n`{path} --help` says more.".strip()
    message = "a verb is missing" if bare else _usage_message(error)
    return _told("UsageError", message, hint, USAGE, as_json)


def _usage_message(error: click.UsageError) -> str:
    if not isinstance(error, click.NoSuchOption):
        return error.format_message()
    name, ctx = error.option_name, error.ctx
    parameters = ctx.command.get_params(ctx) if ctx and name.startswith("--") else []
    known = [option for parameter in parameters for option in parameter.opts]
    return f"No such option {name}.{_meant(name, known)}"


def _meant(name: str, known: Iterable[str]) -> str:
    """What may have been meant, as a sentence; nothing when nothing is alike."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for who mistypes

    # Without the dashes, which are alike in all options and so make all of them alike.
    bare = {one.lstrip("-"): one for one in known if len(one) > 2}
    alike = [bare[one] for one in get_close_matches(name.lstrip("-"), bare, cutoff=ALIKE)]
    return f" Did you mean {' or '.join(alike)}?" if alike else ""


def _bug(error: Exception, as_json: bool) -> int:
    if os.environ.get("OPSNB_DEBUG") == "1":
        complain("".join(traceback.format_exception(error)))
    message = f"a bug in opsnb: {type(error).__name__}: {safe(str(error))}"
    hint = "OPSNB_DEBUG=1 shows where; please report it with that."
    return _told("Bug", message, hint, BUG, as_json)


def _told(kind: str, message: str, hint: str, status: int, as_json: bool) -> int:
    """Tell of an error, and give back its exit status."""
    if as_json:
        json_out.error(kind, message, hint, status)
    else:
        from opsnb.cli import show  # noqa: PLC0415 - rich is loaded when there is something to show

        show.trouble(message, hint)
    return status


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM, and a terminal that is closed, do what Ctrl-C does: all is cleaned up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGTERM, *filter(None, [getattr(signal, "SIGHUP", None)])]
    before = {
        number: signal.signal(number, _interrupt)
        for number in numbers
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del frame
    hung_up(number)
    raise KeyboardInterrupt
