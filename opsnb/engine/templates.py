"""Templates of configuration files: Jinja2 in a sandbox, where nothing undefined passes.

Rule: Jinja2's own messages quote what they choke on, which may be a secret. Ours say where and what
kind of fault it is, and name at the most a word of the template itself.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from types import TracebackType

from opsnb.core.configfiles import LARGEST
from opsnb.core.text import safe
from opsnb.errors import ConfigError

LONGEST = 10.0  # seconds
_NAMED = re.compile(r"'([A-Za-z_]\w*)' is undefined|has no attribute '([A-Za-z_]\w*)'")


class _Fault(Exception):
    """A fault of ours, safe to show."""


def render(text: str, place: str, given: Mapping[str, object]) -> str:
    """Fill in a template.

    Args:
        text: The template.
        place: What it is called in a message.
        given: Its variables.

    Raises:
        ConfigError: It is no template, or something in it is undefined or goes wrong.
    """
    made, fault = _tried(text, given)
    if fault:
        # Outside of the handler: nothing that holds a value may hang on the error that is shown.
        raise ConfigError(f"{safe(place)}:{fault}", "No server was touched.")
    return made


def _tried(text: str, given: Mapping[str, object]) -> tuple[str, str]:
    """What comes of a template; or its line and what is wrong there."""
    from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError  # noqa: PLC0415 - lazily
    from jinja2.exceptions import SecurityError  # noqa: PLC0415 - as above
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415 - as above

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    try:
        return _filled(environment.from_string(text).generate(given)), ""
    except TemplateSyntaxError as error:
        # Before any value is filled in: this is about the template alone.
        return "", f"{error.lineno}: {safe(str(error.message))}"
    except UndefinedError as error:
        return "", f"{_line(error.__traceback__)}: {_undefined(str(error), text)}"
    except SecurityError as error:
        return "", f"{_line(error.__traceback__)}: that is not allowed in a template"
    except _Fault as error:
        return "", f"{_line(error.__traceback__)}: {error}"
    except Exception as error:  # noqa: BLE001 - whatever a template's filters raise
        return "", f"{_line(error.__traceback__)}: it cannot be filled in ({type(error).__name__})"


def _filled(pieces: object) -> str:
    made: list[str] = []
    size, until = 0, time.monotonic() + LONGEST
    for piece in pieces:  # type: ignore[attr-defined]  # what jinja2 generates
        made.append(piece)
        size += len(piece)
        if size > LARGEST:
            raise _Fault("it becomes larger than 1 MiB")
        if time.monotonic() > until:
            raise _Fault(f"it takes longer than {LONGEST:g} s")
    return "".join(made)


def _undefined(message: str, text: str) -> str:
    """What is undefined, if the template itself names it."""
    match = _NAMED.search(message)
    name = (match[1] or match[2]) if match else ""
    shown = name if name and re.search(rf"\b{name}\b", text) else "something"
    return f"{shown} is undefined"


def _line(trace: TracebackType | None) -> int:
    """The line of the template that an error comes from; 1 when it cannot be told."""
    line = 1
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
