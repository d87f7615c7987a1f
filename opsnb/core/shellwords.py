"""A script for ``/bin/sh`` as words and operators: enough of the language to judge a script. Pure.

Rule 1: what is not understood is :class:`Unclear`, never guessed.
Rule 2: a part of a word whose value the text does not tell is the character NUL in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

UNKNOWN = "\0"
_OPERATOR = re.compile(r"&&|\|\||;;|<<-|<<|>>|<&|>&|<>|>\||[;&|()<>\n]")
_BRACED = re.compile(r"\$\{[#!]?(?:\w+|[@*#?$!-])(?:[:#%+=?/^,-][^`{}$@\[\]\"'\\]*)?\}")
_NAMED = re.compile(r"\$(?:[A-Za-z_]\w*|[0-9@*#?$!-])")
_SUMS = re.compile(r"[\w\s+\-*/%<>=!&|^~?:,$()]*")
_SPECIAL = set("'\"\\$`")


class Unclear(Exception):
    """The script holds something that is not understood.

    Args:
        what: What, for a person.
        line: Where, from 1.
    """

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.what = what
        self.line = line


@dataclass
class Word:
    """A word.

    Attributes:
        raw: As it is written.
        text: Its value, as far as the text tells it.
        splits: Whether it may become several words, or none.
        inner: The scripts of its command substitutions.
        line: Where it begins, from 1.
    """

    line: int
    raw: str = ""
    text: str = ""
    splits: bool = False
    inner: list[str] = field(default_factory=list)

    @property
    def bare(self) -> bool:
        """Whether it is plain text without any quotes."""
        return self.raw == self.text

    @property
    def hidden(self) -> bool:
        """Whether what it begins with is not known, so that it may be anything."""
        return self.splits or self.text.startswith(UNKNOWN)


@dataclass(frozen=True)
class Operator:
    """An operator, or the end of a line.

    Attributes:
        text: The operator.
        line: Where it stands, from 1.
    """

    text: str
    line: int


def split(script: str) -> list[Word | Operator]:
    """The words and operators of a script.

    Args:
        script: The script.

    Raises:
        Unclear: It holds something that is not understood.
    """
    return _Reader(script).tokens()


class _Reader:
    def __init__(self, script: str) -> None:
        self._text = script
        self._at = 0

    def tokens(self) -> list[Word | Operator]:
        found: list[Word | Operator] = []
        while self._at < len(self._text):
            character = self._text[self._at]
            if self._text.startswith("\\\n", self._at):
                self._at += 2
            elif character in " \t":
                self._at += 1
            elif character == "#":
                self._skip_comment()
            elif match := _OPERATOR.match(self._text, self._at):
                found.append(Operator(match[0], self._line()))
                self._at = match.end()
            else:
                word = self._word()
                if not (word.bare and word.text.isdigit() and self._next() in "<>"):
                    found.append(word)
        return found

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1

    def _next(self) -> str:
        return self._text[self._at : self._at + 1] or " "

    def _skip_comment(self) -> None:
        end = self._text.find("\n", self._at)
        self._at = end if end >= 0 else len(self._text)

    def _word(self) -> Word:
        word, begin = Word(self._line()), self._at
        while self._next() not in " \t\n;&|()<>" and self._at < len(self._text):
            self._part(word)
        word.raw = self._text[begin : self._at]
        return word

    def _part(self, word: Word) -> None:
        character = self._next()
        if character == "'":
            word.text += self._until("'", self._at + 1)
        elif character == '"':
            self._at += 1
            self._quoted(word)
        elif character == "\\":
            if not self._text.startswith("\\\n", self._at):
                word.text += self._text[self._at + 1 : self._at + 2]
            self._at += 2
        elif character in "$`":
            self._expansion(word, quoted=False)
        else:
            word.text += UNKNOWN if character in "*?[{" and not word.text else character
            self._at += 1

    def _until(self, end: str, begin: int) -> str:
        """The text up to a character; what follows that is next."""
        stop = self._text.find(end, begin)
        if stop < 0:
            raise Unclear(f"a {end} that is never closed", self._line())
        self._at = stop + 1
        return self._text[begin:stop]

    def _quoted(self, word: Word) -> None:
        begin = self._line()
        while (character := self._next()) != '"':
            if self._at >= len(self._text):
                raise Unclear('a " that is never closed', begin)
            if character == "\\" and self._text[self._at + 1 : self._at + 2] in {*'$`"\\', "\n"}:
                word.text += self._text[self._at + 1].removeprefix("\n")
                self._at += 2
            elif character in "$`":
                self._expansion(word, quoted=True)
            else:
                word.text += character
                self._at += 1
        self._at += 1

    def _expansion(self, word: Word, *, quoted: bool) -> None:
        rest = self._text[self._at : self._at + 3]
        if rest.startswith("`"):
            word.inner.append(self._backticks())
        elif rest == "$((" and self._sum():
            pass
        elif rest.startswith("$("):
            word.inner.append(self._substitution())
        elif match := _BRACED.match(self._text, self._at) or _NAMED.match(self._text, self._at):
            self._at = match.end()
            word.splits |= match[0][-1] == "@" or match[0].startswith("${@")
        elif rest[1:2] in {"{", "'", '"'} and not (quoted and rest[1:2] == '"'):
            raise Unclear(f"the expansion {self._shown()}", self._line())
        else:
            word.text += "$"
            self._at += 1
            return
        word.text += UNKNOWN
        word.splits |= not quoted

    def _shown(self) -> str:
        return self._text[self._at :].split("\n", maxsplit=1)[0][:20]

    def _backticks(self) -> str:
        shown, line = self._shown(), self._line()
        inner = self._until("`", self._at + 1)
        if "\\" in inner:
            raise Unclear(f"the substitution {shown}", line)
        return inner

    def _sum(self) -> bool:
        """Pass over ``$((…))``; False when it is not plain arithmetic."""
        end = self._text.find("))", self._at)
        while end >= 0 and self._text.startswith(")", end + 2):
            end += 1
        inner = self._text[self._at + 3 : max(end, 0)]
        if end < 0 or not _SUMS.fullmatch(inner) or "$(" in inner:
            return False
        self._at = end + 2
        return True

    def _substitution(self) -> str:
        """The script in ``$(…)``."""
        begin, line, depth = self._at + 2, self._line(), 1
        self._at = begin
        while depth:
            if self._at >= len(self._text):
                raise Unclear("a $( that is never closed", line)
            character = self._next()
            if character in _SPECIAL:
                self._part(Word(line))
            elif character == "#" and self._text[self._at - 1] in " \t\n;(":
                self._skip_comment()
            else:
                depth += {"(": 1, ")": -1}.get(character, 0)
                self._at += 1
        return self._text[begin : self._at - 1]
