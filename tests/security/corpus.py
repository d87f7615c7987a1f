"""Hostile text, and how one sees that it did harm.

Rule 1: whatever would run says ``pwned``: a script sets ``window.pwned`` or opens a dialog.
Rule 2: what looks for harm is told by a control that it finds it (test_hostile_text.py).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser

TEXTS: dict[str, str] = {
    "script": "<script>window.pwned=1</script>",
    "script upper": "<ScRiPt>window.pwned=1</sCrIpT >",
    "image": "<img src=x onerror=window.pwned=1>",
    "image, quoted": '"><img src="x" onerror="window.pwned=1">',
    "image, single quotes": "'><img src=x onerror='window.pwned=1'>",
    "vector": "<svg onload=window.pwned=1>",
    "attribute": '" autofocus onfocus="window.pwned=1" tabindex="0',
    "attribute, single": "' onmouseover='window.pwned=1' x='",
    "frame": "<iframe srcdoc='<script>parent.pwned=1</script>'>",
    "link": "<a href='javascript:window.pwned=1'>click</a>",
    "markdown": "[click](javascript:window.pwned=1) ![x](x:pwned)",
    "refresh": "<meta http-equiv=refresh content='0;url=data:text/html,pwned'>",
    "style": "<style>*{display:none}</style></style><b>pwned</b>",
    "end of a style": "</style><script>window.pwned=1</script>",
    "end of a text": "</textarea></title></script><script>window.pwned=1</script>",
    "comment": "--><script>window.pwned=1</script><!--",
    "entity": "&lt;script&gt;window.pwned=1&lt;/script&gt; &#x1b;[2J",
    "template": "{{constructor.constructor('window.pwned=1')()}} ${window.pwned=1}",
    "formula": r"$\href{javascript:window.pwned=1}{click}$ \(\unicode{x202e}\)",
    "rich markup": "[bold red]x[/bold red][link=javascript:pwned]y[/link]",
    "emoji name": ":skull: :heavy_check_mark:",
    "clear": "\x1b[2J\x1b[H",
    "colour": "\x1b[31;1;5mred",
    "erase the line above": "\x1b[1A\x1b[2K✓ all is well",
    "scroll region": "\x1b[1;1r\x1b[?1049h",
    "answer back": "\x1b[6n\x1b[c\x05",
    "title": "\x1b]0;pwned\x07",
    "title, ended by ST": "\x1b]2;pwned\x1b\\",
    "hyperlink": "\x1b]8;;http://pwned.example/\x1b\\here\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;cHduZWQ=\x07",
    "device control": "\x1bP$qm\x1b\\\x1b_Gf=100;pwned\x1b\\",
    "charset": "\x1b(0lqqk\x0e",
    "reset": "\x1bc",
    "escape at the end": "name\x1b",
    "C1 sequence": "\x9b31m\x9b2J",
    "C1 clipboard": "\x9d52;c;cHduZWQ=\x9c",
    "C1 string": "\x90pwned\x9c\x85\x84\x8d",
    "carriage return": "FAILED\rdone  ",
    "backspaces": "rm -rf /\b\b\b\b\b\b\b\bls      ",
    "bell and rubout": "\x07\x7f\x7f",
    "tab and feeds": "a\tb\x0bc\x0cd",
    "line breaks": "one\ntwo\r\nthree",
    "faked line": "x\n✓ web1: 20990101000000 is live",
    "Unicode line breaks": "a\u2028b\u2029c\x85d",
    "override": "\u202egnp.tnemucod",
    "embedding": "\u202a\u202bx\u202c",
    "isolates": "\u2066a\u2067b\u2068c\u2069",
    "marks": "\u200ea\u200fb\u061c",
    "zero width": "a\u200bb\u200cc\u200dd\u2060e\ufeff",
    "tags": "ok\U000e0070\U000e0077\U000e006e",
    "soft hyphen and filler": "a\xadb\u3164c\u034f",
    "interlinear": "\ufff9a\ufffab\ufffb",
    "combining": "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f" * 8,
    "long": "pwned " * 4_000,
    "long word": "A" * 20_000,
    "format": "%s%n%x {0} {name} {} %(x)s",
    "shell": "$(touch pwned) `touch pwned`; touch pwned & '\" \\",
    "JSON": '"}],"error":"","x":[{"a":"\\u001b[2J',
    "CSV": "=cmd|' /C pwned'!A0",
    "path": "../../../../etc/passwd",
    "not a number": "NaN",
    "surrogate": "\ud800x\udfff",
}
"""Hostile texts by what they are; none holds NUL."""

RAW: dict[str, bytes] = {
    "byte of Latin-1": b"caf\xe9",
    "no UTF-8": b"\xff\xfe\xc3\x28",
    "cut short": b"\xe2\x82",
    "overlong slash": b"\xc0\xaf\xe0\x80\xaf",
    "surrogate as UTF-8": b"\xed\xa0\x80\xed\xbf\xbf",
    "C1 as one byte": b"\x9b31m\x9d52;c;cHduZWQ=\x9c",
    "beyond Unicode": b"\xf4\x90\x80\x80",
    "NUL": b"a\0b",
}
"""Hostile bytes that no text of Python's can hold."""

_OURS = re.compile(r"\x1b\[(?:[0-9;]*m|\?25[lh]|[0-9]*[AK]|[0-9]*G)|[\r\n]")
_RUNS = {"script", "img", "svg", "iframe", "meta", "object", "embed", "link", "base", "form"}
_DIRECTIONS = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}


def encoded(text: str) -> bytes:
    """A text as a server sends it; surrogates, too."""
    return text.encode("utf-8", "surrogatepass")


def everything() -> dict[str, bytes]:
    """The whole corpus as bytes."""
    return {**{name: encoded(text) for name, text in TEXTS.items()}, **RAW}


def names() -> dict[str, bytes]:
    """The corpus as names of files: no slash, no NUL, at most 255 bytes, each one once."""
    made = {
        what: raw.replace(b"/", b"\xe2\x88\x95").replace(b"\0", b"")[:240]
        for what, raw in everything().items()
    }
    return {what: b"%02d " % number + raw for number, (what, raw) in enumerate(made.items())}


def controls(shown: str, lines: bool = True) -> list[str]:
    """The characters of a text that no person should be sent.

    Args:
        shown: What is shown.
        lines: Whether line breaks are our own.
    """
    return [char for char in shown if _unsafe(char) and not (lines and char == "\n")]


def _unsafe(char: str) -> bool:
    return (
        unicodedata.category(char) in ("Cc", "Cs", "Cf", "Zl", "Zp")
        or unicodedata.bidirectional(char) in _DIRECTIONS
        or char in "\u034f\u3164"
    )


def on_a_terminal(seen: str) -> list[str]:
    """What a terminal was sent that is not opsnb's own: see also :func:`sent_raw`."""
    return controls(_OURS.sub("", seen))


def sent_raw(seen: str) -> list[str]:
    """Which texts of the corpus came through with their controls as they are."""
    return [what for what, text in TEXTS.items() if controls(text, lines=False) and _in(text, seen)]


def _in(text: str, seen: str) -> bool:
    # A terminal turns each line feed into two bytes.
    return text in seen or text.replace("\n", "\r\n") in seen


class _Parser(HTMLParser):
    """Reads a page as a browser would, as far as this goes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.text: list[str] = []
        self._in = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in = tag
        said = {name: value or "" for name, value in attrs}
        for name, value in said.items():
            live = name.startswith("on") or name in ("srcdoc", "style", "href", "src", "action")
            if live and re.search(r"pwned|javascript:", value, re.IGNORECASE):
                self.found.append(f"<{tag} {name}={value[:60]}>")
            if controls(value):
                self.found.append(f"control in <{tag} {name}>")
        if tag in _RUNS - {"script"} and any("pwned" in value for value in said.values()):
            self.found.append(f"<{tag}>")

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in in ("script", "style"):
            # What our own page brings says nothing of the kind.
            self.found += [f"in <{self._in}>"] if "pwned" in data else []
        else:
            self.text.append(data)


def in_a_page(page: str, lines: bool = True) -> list[str]:
    """What of a page would run, or is a control character in its text.

    Args:
        page: HTML.
        lines: Whether its line breaks are our own.
    """
    parser = _Parser()
    parser.feed(page)
    parser.close()
    return parser.found + controls("".join(parser.text), lines)


def strings(data: object) -> Iterator[str]:
    """Every text in plain data, keys included."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from strings(key)
            yield from strings(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from strings(value)
