"""Values that must be shown nowhere: kept so that nothing prints them, and masked where others do.

Rule 1: what holds a value tells its name alone.
Rule 2: a value is masked as it is, per-cent-encoded, in JSON, in hexadecimal and in base64, however
the output is cut into pieces. What a program makes of it otherwise (a digest, a part) is not.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping

from opsnb.core.text import safe
from opsnb.errors import ConfigError

MASK = "***"
LEAST = 6  # characters: a shorter value would be masked in half of all words, and so be known
_BREAKS = (b"", b"\n", b"\r\n")
_ESCAPED = re.compile(r"[^\w@%+=:,./-]")
_GAPS = (b"", b" ", b":", b"\n")

# What comes one after the other, each in any of some ways.
Form = tuple[tuple[bytes, ...], ...]


class Secrets(Mapping[str, str]):
    """Values by their names; shown as the names alone.

    Args:
        values: The values.
    """

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Secrets {', '.join(self._values)}>"

    def beside(self, others: Mapping[str, str]) -> Secrets:
        """These and other values; all of them are hidden as these are."""
        return Secrets({**self._values, **others})

    def masker(self) -> Masker:
        """What masks these values."""
        return Masker(self._values.values())


def chosen(names: Iterable[str], environment: Mapping[str, str]) -> Secrets:
    """The secrets of those names.

    Args:
        names: Names of variables.
        environment: The operator's own.

    Raises:
        ConfigError: One is not set, or so short that it could not be masked.
    """
    values = {}
    for name in names:
        value = environment.get(name, "")
        if not value:
            raise ConfigError(
                f"the secret {name} is not set in your environment",
                "`secrets` in opsnb.toml names it. Nothing was done.",
            )
        if len(value) < LEAST:
            raise ConfigError(
                f"the secret {name} is shorter than {LEAST} characters, and could not be masked",
                "Take a longer one, or give it to the hook in another way. Nothing was done.",
            )
        values[name] = value
    return Secrets(values)


class Masker:
    """Masks values in what comes in pieces.

    Args:
        values: The values.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        found = dict.fromkeys(form for value in _parts(values) for form in _forms(value))
        self._forms = sorted(found, key=len, reverse=True)
        self._starts: dict[int, list[Form]] = {}
        for form in self._forms:
            for first in {way[0] for way in form[0]}:
                self._starts.setdefault(first, []).append(form)
        self._longest = max((_length(form) for form in self._forms), default=0)
        whole = b"|".join(b"".join(_either(part) for part in form) for form in self._forms)
        self._pattern = re.compile(whole) if self._forms else None
        self._rest = b""

    def __repr__(self) -> str:
        return "<Masker>"

    def feed(self, data: bytes) -> bytes:
        """Take a piece; what can be told of it and of those before it, masked."""
        if self._pattern is None:
            return data
        data = self._rest + data
        until = self._open(data)
        for match in self._pattern.finditer(data):
            if match.start() < until < match.end():
                until = match.start()
        self._rest = data[until:]
        return self._masked(data[:until])

    def end(self) -> bytes:
        """No more will come: what was held back, masked."""
        rest, self._rest = self._rest, b""
        return self._masked(rest)

    def text(self, text: str) -> str:
        """A whole text, masked."""
        if self._pattern is None:
            return text
        raw = text.encode("utf-8", "surrogatepass")
        return self._masked(raw).decode("utf-8", "surrogatepass")

    def _masked(self, data: bytes) -> bytes:
        return self._pattern.sub(MASK.encode(), data) if self._pattern else data

    def _open(self, data: bytes) -> int:
        """Where something begins at the end that may yet become a value."""
        for at in range(max(0, len(data) - self._longest), len(data)):
            if any(_begins(form, data, at) for form in self._starts.get(data[at], ())):
                return at
        return len(data)


def _parts(values: Iterable[str]) -> Iterator[bytes]:
    """Values, and those lines of them that are long enough to be told apart."""
    for value in values:
        raw = value.encode("utf-8", "surrogateescape")
        yield raw
        yield from (line for line in raw.splitlines() if LEAST <= len(line) < len(raw))


def _forms(value: bytes) -> Iterator[Form]:
    yield tuple(_ways(byte) for byte in value)
    text = value.decode("utf-8", "backslashreplace")
    # In JSON, as a shell tells of it (`set`, `set -x`, `%q`), and as we would show it.
    jsons = [json.dumps(text, ensure_ascii=only)[1:-1] for only in (True, False)]
    quotes = [text.replace("'", other) for other in ("'\\''", "'\"'\"'", "\\'")]
    for other in dict.fromkeys([*jsons, *quotes, _ESCAPED.sub(r"\\\g<0>", text), safe(value)]):
        if other != text:
            yield tuple((bytes([byte]),) for byte in other.encode())
    yield tuple(
        tuple(gap + way % byte for gap in (_GAPS if at else (b"",)) for way in (b"%02x", b"%02X"))
        for at, byte in enumerate(value)
    )
    yield tuple((bytes([char]),) for char in base64.b64encode(value))
    for before in range(3):
        yield tuple(
            tuple(gap + way for gap in (_BREAKS if at else (b"",)) for way in _urlsafe(char))
            for at, char in enumerate(_base64(value, before))
        )


def _ways(byte: int) -> tuple[bytes, ...]:
    """A byte as it is, and per-cent-encoded."""
    plus = (b"+",) if byte == ord(" ") else ()
    return (bytes([byte]), b"%%%02X" % byte, b"%%%02x" % byte, *plus)


def _base64(value: bytes, before: int) -> bytes:
    """What of its base64 does not depend on what stands around it.

    Args:
        value: What is encoded.
        before: How many bytes stand before it in its group of three.
    """
    text = base64.b64encode(bytes(before) + value)
    padding = -(before + len(value)) % 3
    return text[(0, 2, 3)[before] : len(text) - (0, 2, 3)[padding]]


def _urlsafe(char: int) -> tuple[bytes, ...]:
    other = {ord("+"): b"-", ord("/"): b"_"}.get(char)
    return (bytes([char]), other) if other else (bytes([char]),)


def _either(ways: tuple[bytes, ...]) -> bytes:
    # Each once: a pattern that can match in two ways tries all of them, for every byte.
    return b"(?:" + b"|".join(map(re.escape, sorted({*ways}, key=len, reverse=True))) + b")"


def _length(form: Form) -> int:
    return sum(max(map(len, ways)) for ways in form)


def _begins(form: Form, data: bytes, at: int) -> bool:
    """Whether all of the data from a place on is a beginning of a form, and not the whole."""
    places = {at}
    for ways in form:
        reached = set()
        for place in places:
            rest = data[place : place + 8]
            for way in ways:
                if rest.startswith(way):
                    reached.add(place + len(way))
                elif way.startswith(rest):
                    return True
        if not reached:
            return False
        places = reached
    return False
