"""What of a folder is not released: gitignore rules, judged as git judges them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from pathlib import Path

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from opsnb.errors import SourceError

IGNORE_FILE = ".deployignore"
ALWAYS = (".git", f"/{IGNORE_FILE}")
_NAMED = "(?P<ps_d>"
# Of white space at a rule's end git leaves out blanks alone; pathspec all of it.
_SPACE = re.compile(r"(?<!\\)([^\S ]) *\Z")


class Rules:
    """The rules of one folder.

    Args:
        root: The folder; the rules of its ``.deployignore`` come after the given ones.
        exclude: Gitignore rules.
        own: Whether its ``.deployignore`` holds rules, and is none of what is released.

    Raises:
        SourceError: One of them is no rule.
    """

    def __init__(self, root: Path, exclude: Sequence[str], *, own: bool = True) -> None:
        listed = root / IGNORE_FILE
        read = own and listed.is_file()
        more = _lines(listed.read_bytes()) if read else []
        self.lines = (*(ALWAYS if own else ALWAYS[:1]), *exclude, *more)
        try:
            # To git, dir/**/ is every directory inside dir; pathspec takes it for dir/ itself.
            lines = [re.sub(r"(?<=/\*\*)/\s*$", "/*/", rule) for rule in self.lines]
            patterns = [GitIgnoreSpecPattern(_SPACE.sub(r"[\1]", line)) for line in lines]
        except (ValueError, re.error) as error:
            raise SourceError(f"a rule of `exclude` or {IGNORE_FILE} is wrong: {error}") from error
        # The last rule that matches decides.
        self._rules = [
            (p.regex, p.include) for p in reversed(patterns) if p.regex and p.include is not None
        ]
        # Most paths are met by no rule: one search says so, however many rules there are.
        parts = [regex.pattern.replace(_NAMED, "(?:") for regex, _ in self._rules]
        self._any = re.compile("|".join(f"(?:{part})" for part in parts))

    def ignores(self, path: str, is_dir: bool) -> bool:
        """Whether git would ignore a path none of whose directories it ignores."""
        # No rule can name a line break, and to a regular expression it would be the end.
        path = path.replace("\n", "\x01")
        if not self._any.search(path) and not (is_dir and self._any.search(path + "/")):
            return False
        return next(
            (ignores for regex, ignores in self._rules if _matches(regex, path, is_dir)), False
        )


def _lines(text: bytes) -> list[str]:
    """The rules of a file as git reads it: a line ends at a line break, or at CR and line break."""
    lines = text.removeprefix(codecs.BOM_UTF8).split(b"\n")
    return [line.removesuffix(b"\r").decode("utf-8", "surrogateescape") for line in lines]


def _matches(regex: re.Pattern[str], path: str, is_dir: bool) -> bool:
    """Whether a rule matches the path itself; its one named group has matched a directory's end."""
    found = regex.search(path)
    if found and not found.lastgroup:
        return True
    if not is_dir:
        return False
    below = regex.search(path + "/")
    ends_here = below is not None and below.end() == len(path) + 1
    return bool(below and below.lastgroup) and (ends_here or regex.fullmatch("/") is not None)
