"""Whether a script for ``/bin/sh`` is known to only read. Pure.

It guards against slips, as the lid over a switch does. It is no sandbox: what it lets through still
runs with everything that the user may do, and ``cat`` is whatever the server calls ``cat``.

Rule 1: a command is known, or it is not: what is not on the lists of ``opsnb/core/readers.py``, and
what the text alone does not tell, counts as not known.
Rule 2: everything that is not known is named, not only the first, as far as the script can be read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from opsnb.core.readers import FREE, JUDGES, WRAPPERS, unwrapped
from opsnb.core.shellwords import Operator, Unclear, Word, split
from opsnb.core.text import safe
from opsnb.errors import ConfigError, ReadOnly

LONGEST = 100_000  # bytes: an argument of a program may not be much longer
_BEFORE = {"if", "then", "elif", "else", "while", "until", "do", "!", "{", "fi", "done", "}"}
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)=")
# Variables that decide what a command runs or loads.
_STEERING = re.compile(r"PATH|ENV|SHELLOPTS|PS4|.*PAGER|EDITOR|VISUAL|(BASH|LD|GCONV|LESS)_?.*")
_NOWHERE = {"/dev/null", "/dev/stdout", "/dev/stderr"}
_NAMING = {"export", "readonly", "read"}


@dataclass(frozen=True, slots=True)
class Judged:
    """What a script was found to do.

    Attributes:
        unknown: What is not known to only read, safe to show; with its line, if there are several.
    """

    unknown: tuple[str, ...]

    @property
    def reads_only(self) -> bool:
        """Whether every part of it is known to only read."""
        return not self.unknown


def judge(script: str) -> Judged:
    """Find what in a script is not known to only read.

    Args:
        script: What ``/bin/sh`` would run.
    """
    judging = _Judging()
    judging.script(script, 0)
    several = "\n" in script.strip()
    named = {
        safe(what) + (f" (line {line})" if several else ""): None for what, line in judging.unknown
    }
    return Judged(tuple(named))


@dataclass(frozen=True, slots=True)
class Guard:
    """What it takes for a script to change a server.

    Attributes:
        server: The server's name.
        environment: Its environment's name.
        type_name: Whether the server's name must be typed.
        options: How to say so, without the name and with it; ``{}`` stands for the name.
        read_only: Why nothing may change it from here; empty when something may.
    """

    server: str
    environment: str
    type_name: bool
    options: tuple[str, str] = ("change=True", "change='{}'")
    read_only: str = ""

    def saying(self, options: tuple[str, str]) -> Guard:
        """The same guard, in the words of another face.

        Args:
            options: As the attribute.
        """
        return replace(self, options=options)

    def permit(self, script: str, change: bool | str) -> Judged:
        """Say no to a script that may change the server, unless it was said that it may.

        Args:
            script: What ``/bin/sh`` would run.
            change: Whether it may change the server; or the server's name, typed.

        Raises:
            ConfigError: It may not be run.
        """
        if not script.strip():
            raise ConfigError("there is no command to run")
        if "\0" in script or len(script.encode("utf-8", "surrogateescape")) > LONGEST:
            raise ConfigError(
                f"a command is text of at most {LONGEST:,} bytes", "Deploy a longer one as a file."
            )
        judged = judge(script)
        if judged.reads_only:
            return judged
        if self.read_only:
            raise ReadOnly(
                f"not run: not known to only read: {'; '.join(judged.unknown)}",
                f"{safe(self.server)} is read-only: {self.read_only}.",
            )
        how = self.options[self.type_name].format(safe(self.server))
        if not change:
            raise ConfigError(
                f"not run: not known to only read: {'; '.join(judged.unknown)}",
                f"If it may change {safe(self.server)}: {how}. "
                "(A guard against slips, no sandbox.)",
            )
        if (self.type_name or isinstance(change, str)) and change != self.server:
            where = f" ({safe(self.environment)})" if self.environment else ""
            raise ConfigError(
                f"not run: a change of {safe(self.server)}{where} needs that name typed", how
            )
        return judged


@dataclass
class _Judging:
    """Goes through a script, and through those inside it."""

    unknown: list[tuple[str, int]] = field(default_factory=list)
    _above: int = 0

    def script(self, script: str, above: int) -> None:
        """Judge a script that begins so many lines below the first."""
        before, self._above = self._above, above
        try:
            self._tokens(split(script))
        except Unclear as unclear:
            self._note(unclear.what, unclear.line)
        self._above = before

    def _note(self, what: str, line: int) -> None:
        self.unknown.append((what, line + self._above))

    def _tokens(self, tokens: Sequence[Word | Operator]) -> None:
        words: list[Word] = []
        rest = iter(tokens)
        for token in rest:
            if isinstance(token, Word):
                words.append(token)
                self._inside(token)
            elif token.text[0] in "<>":
                self._redirection(token, next(rest, None))
            elif token.text == ";;" or (token.text == "(" and self._command_of(words)):
                raise Unclear("a function or a case", token.line)
            else:
                self._command(words)
                words = []
        self._command(words)

    def _inside(self, word: Word) -> None:
        for inner in word.inner:
            self.script(inner, self._above + word.line - 1)

    def _redirection(self, operator: Operator, target: Word | Operator | None) -> None:
        if not isinstance(target, Word) or operator.text.startswith("<<"):
            raise Unclear(f"what follows {operator.text}", operator.line)
        self._inside(target)
        copies = operator.text in (">&", "<&") and (target.text.isdigit() or target.text == "-")
        sinks = operator.text in (">", ">>", ">|") and target.text in _NOWHERE
        if not (copies or sinks or operator.text == "<"):
            self._note(f"{operator.text} {target.raw}", operator.line)

    def _command_of(self, words: list[Word]) -> list[Word]:
        """The words of a command without the shell's own words and assignments before it."""
        at = 0
        while at < len(words):
            word = words[at]
            assigned = _ASSIGNED.match(word.raw)
            if word.raw == "for" and len(words) > at + 1:
                self._variable(words[at + 1])
                named = [word.raw for word in words[at + 2 :]]
                at += 3 if named[:1] == ["do"] else len(words)
            elif word.raw in _BEFORE:
                at += 1
            elif assigned:
                self._variable(word)
                at += 1
            else:
                break
        return words[at:]

    def _variable(self, word: Word) -> None:
        name = word.raw.partition("=")[0]
        if not re.fullmatch(r"[A-Za-z_]\w*", name) or _STEERING.fullmatch(name):
            self._note(f"setting {word.raw}", word.line)

    def _command(self, words: list[Word]) -> None:
        command = self._command_of(words)
        if command:
            self._simple(command[0], command[1:])

    def _simple(self, word: Word, arguments: Sequence[Word]) -> None:
        name = "[" if word.raw == "[" else _program(word)
        if name in _NAMING:
            for argument in arguments:
                if not argument.text.startswith("-"):
                    self._variable(argument)
        elif name in WRAPPERS:
            self._wrapped(word, name, arguments)
        elif name in JUDGES:
            doubt = JUDGES[name](arguments)
            if doubt is not None:
                why = ", whose value is not known" if doubt.hidden else ""
                self._note(f"{name} {doubt.raw}{why}", word.line)
        elif name not in FREE:
            self._note(word.raw, word.line)

    def _wrapped(self, word: Word, name: str, arguments: Sequence[Word]) -> None:
        inner = unwrapped(name, arguments)
        if inner is None:
            self._note(" ".join([word.raw, *(word.raw for word in arguments[:2])]), word.line)
        else:
            self._command(inner)


def _program(word: Word) -> str:
    """A command's name, without a directory where programs of the system are."""
    if word.hidden:
        return ""
    return re.sub(r"^/(usr/)?(local/)?s?bin/", "", word.text)
