"""The text of a web server's configuration as a tree of directives. Pure, and it never fails.

Rule 1: whatever a file holds, there is a tree: what makes no sense is left out, and what nests or
includes beyond measure is cut off. The files are a server's, and may be hostile.
Rule 2: of nginx and of Apache comes the same tree. Apache's names are in lower case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from posixpath import dirname, join, normpath

DEEPEST = 20  # blocks in blocks
WITHIN = 8  # files that include files
MOST = 100_000  # directives, counted as often as they are included

_NGINX = re.compile(
    r"""\s+ | \#[^\n]*
    | (?P<quoted> "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' )
    | (?P<sign> [;{}] )
    | (?P<word> (?: \\. | \$\{[^}\s]*\} | [^\s;{\\] )+ | \\ )""",
    re.VERBOSE | re.DOTALL,
)
_APACHE_WORD = re.compile(r""""((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|(\S+)""")
_ESCAPED = re.compile(r"\\([\"'\\ ])")


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive.

    Attributes:
        name: Its name.
        args: Its arguments, without their quotes.
        block: What stands in its braces, or between its tags.
    """

    name: str
    args: tuple[str, ...]
    block: tuple[Directive, ...] = ()


@dataclass
class _Open:
    """A block that is being read."""

    name: str
    args: tuple[str, ...]
    found: list[Directive]

    def close(self) -> Directive:
        return Directive(self.name, self.args, tuple(self.found))


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Kinds and values; a quoted word is a word. Lua has a syntax of its own and is left out."""
    at, lua = 0, False
    while at < len(text):
        match = _NGINX.match(text, at)
        if match is None:
            at += 1
            continue
        at, kind, value = match.end(), match.lastgroup, match[0]
        if kind == "quoted":
            yield "word", _ESCAPED.sub(r"\1", value[1:-1])
        elif kind == "sign" and value == "{" and lua:
            at = _after_braces(text, at)
            yield "sign", ";"
        elif kind:
            yield kind, value
        if kind:
            lua = value.endswith("_by_lua_block") or (lua and kind != "sign")


def _after_braces(text: str, at: int) -> int:
    """Where the block ends that begins here."""
    depth = 1
    for brace in re.compile(r"[{}]").finditer(text, at):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.end()
    return len(text)


def nginx(text: str) -> tuple[Directive, ...]:
    """Read nginx's syntax.

    Args:
        text: A file; ``include`` is a directive like any other.
    """
    stack, words = [_Open("", (), [])], list[str]()
    for kind, value in _tokens(text):
        if kind == "word":
            words.append(value)
            continue
        name, args = words[0] if words else "", tuple(words[1:])
        words = []
        if value == "{":
            stack.append(_Open(name, args, []))
            continue
        if name:
            stack[-1].found.append(Directive(name, args))
        if value == "}" and len(stack) > 1:
            _into(stack)
    while len(stack) > 1:
        _into(stack)
    return tuple(stack[0].found)


def _into(stack: list[_Open]) -> None:
    """Close the innermost block; one that lies too deep is left out."""
    closed = stack.pop().close()
    if len(stack) <= DEEPEST:
        stack[-1].found.append(closed)


def apache(text: str) -> tuple[Directive, ...]:
    """Read Apache's syntax.

    Args:
        text: A file; ``include`` is a directive like any other.
    """
    stack = [_Open("", (), [])]
    for line in re.sub(r"\\\n", " ", text).splitlines():
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        if said.startswith("</"):
            if len(stack) > 1:
                _into(stack)
            continue
        opens = said.startswith("<")
        inside = said.lstrip("<").removesuffix(">") if opens else said
        words = [a or b or c for a, b, c in _APACHE_WORD.findall(inside)]
        if not words:
            continue
        name, args = words[0].lower(), tuple(words[1:])
        if opens:
            stack.append(_Open(name, args, []))
        else:
            stack[-1].found.append(Directive(name, args))
    while len(stack) > 1:
        _into(stack)
    return tuple(stack[0].found)


Parser = Callable[[str], tuple[Directive, ...]]
_INCLUDES = ("include", "includeoptional")
_LIKE_APACHE = re.compile(r"^\s*(?:<VirtualHost\b|<Directory\b|DocumentRoot\s)", re.I | re.M)


def parser_of(path: str, text: str) -> Parser:
    """How a main configuration file is to be read, told by its name and by what it says."""
    named = re.search(r"apache|httpd", path)
    return apache if named or _LIKE_APACHE.search(text) else nginx


def base_of(path: str, text: str) -> str:
    """The directory to which the names in a main configuration file, and below, are relative."""
    if parser_of(path, text) is apache:
        for one in apache(text):
            if one.name == "serverroot" and one.args:
                return one.args[0]
    return dirname(path)


def patterns(text: str, parser: Parser, base: str) -> list[str]:
    """The files that a file includes, as absolute patterns.

    Args:
        text: The file.
        parser: How it is to be read.
        base: The directory to which names are relative.
    """
    return [place for one in parser(text) for place in _included(one, base)]


def _included(one: Directive, base: str) -> Iterator[str]:
    if one.name in _INCLUDES and one.args:
        yield _absolute(one.args[0], base)
    for inner in one.block:
        yield from _included(inner, base)


def _absolute(pattern: str, base: str) -> str:
    return normpath(join(base, pattern))


class Tree:
    """A configuration with everything that it includes in its place.

    Args:
        files: Texts by path, as far as they could be read.
        main: The file with which it begins; it must have been read.
    """

    def __init__(self, files: Mapping[str, str], main: str) -> None:
        self.parser = parser_of(main, files[main])
        self._base = base_of(main, files[main])
        self._parsed = {path: self.parser(text) for path, text in files.items()}
        self._left = MOST
        self.all = tuple(self._of(main, ()))

    def _of(self, path: str, within: tuple[str, ...]) -> Iterator[Directive]:
        yield from self._whole(self._parsed[path], (*within, path))

    def _whole(self, found: tuple[Directive, ...], within: tuple[str, ...]) -> Iterator[Directive]:
        for one in found:
            self._left -= 1
            if self._left < 0:
                return
            if one.name in _INCLUDES and one.args:
                yield from self._include(_absolute(one.args[0], self._base), within)
            else:
                yield Directive(one.name, one.args, tuple(self._whole(one.block, within)))

    def _include(self, pattern: str, within: tuple[str, ...]) -> Iterator[Directive]:
        for path in sorted(self._parsed):
            if path not in within and len(within) < WITHIN and matches(path, pattern):
                yield from self._of(path, within)


def matches(path: str, pattern: str) -> bool:
    """Whether a shell's pattern means a path: ``*`` means no slash, and no leading dot."""
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(
        fnmatchcase(part, want) and not (part.startswith(".") and not want.startswith("."))
        for part, want in zip(parts, wanted, strict=True)
    )
