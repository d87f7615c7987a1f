"""A site on whose server everything that can be written is hostile text."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from opsnb.core import audit
from opsnb.server import Server
from tests.security.corpus import RAW, TEXTS, encoded, everything, names

SITE = "<img src=x onerror=window.pwned=1> \u202e$x$"
PLACE = b'"@@"'


@dataclass(frozen=True)
class Hostile:
    """Where it is.

    Attributes:
        root: The deployment path.
        source: A folder whose files have hostile names.
        lines: A file with every hostile text.
        releases: The names of releases that have a record.
    """

    root: Path
    source: Path
    lines: Path
    releases: tuple[str, ...]

    @property
    def url(self) -> str:
        """Its address."""
        return f"file://{quote(str(self.root))}"

    @property
    def hook(self) -> str:
        """A command that says every hostile text on both streams."""
        return f"cat {self.lines}; cat {self.lines} >&2; printf '\\033[2Jno line break'"

    def held(self, *, held: bool) -> None:
        """Whether somebody with a hostile name holds the server, for a hostile reason."""
        hold = self.root / ".opsnb/hold.json"
        hold.unlink(missing_ok=True)
        if held:
            said = " ".join(text for text in TEXTS.values() if len(text) < 1_000)
            told = {"who": said, "host": said, "since": said, "why": said, "token": 0, "pid": 0}
            hold.write_text(json.dumps(told))


def build(folder: Path) -> Hostile:
    """Make such a site: two real releases first, then what an enemy writes."""
    source, root, lines = folder / "source", folder / SITE, folder / "lines"
    source.mkdir()
    lines.write_bytes(b"\n".join(everything().values()) + b"\n")
    _fill(source)
    server = Server(f"file://{quote(str(root))}")
    first = server.deploy(source, revision=r"$x$ <b>pwned</b>").wait()
    for name in names().values():
        os.mkdir(os.fsencode(root) + b"/shared/" + b"in shared " + name[:200])
    (source / "index").write_text("two")
    second = server.deploy(source).wait()
    server.close()
    forged = tuple(_records(root))
    _foreign(root)
    _log(root)
    made = Hostile(root, source, lines, (first.release, second.release, *forged))
    made.held(held=True)
    return made


def _fill(source: Path) -> None:
    for name in names().values():
        path = os.fsencode(source) + b"/" + name
        with open(path, "wb") as file:
            file.write(name)


def _records(root: Path) -> list[str]:
    """Releases whose records are hostile; every second one is bad, with a reason."""
    made = []
    for number, text in enumerate(TEXTS.values()):
        name = f"20200101{number:06}"
        record: dict[str, object] = dict.fromkeys(("by", "host", "revision", "source", "at"), text)
        record |= {"name": name, "seq": 3 + number, "state": "good", "previous": text}
        if number % 2:
            verdict = {"by": text, "at": text, "why": text, "left": bool(number % 3)}
            record |= {"state": "bad", "verdict": verdict, "pinned": True}
        (root / "releases" / name).mkdir()
        _record(root, name).write_text(json.dumps(record))
        made.append(name)
    for number, raw in enumerate(RAW.values()):
        name = f"20200102{number:06}"
        text = json.dumps({"name": name, "seq": 900 + number, "state": "good", "by": "@@"})
        (root / "releases" / name).mkdir()
        _record(root, name).write_bytes(text.encode().replace(PLACE, b'"' + raw + b'"'))
    return made


def _record(root: Path, name: str) -> Path:
    return root / ".opsnb/records" / f"{name}.json"


def _foreign(root: Path) -> None:
    """Directories of somebody else's in releases/, and records that belong to nothing."""
    base = os.fsencode(root)
    for name in names().values():
        os.mkdir(base + b"/releases/" + name)
        with open(base + b"/.opsnb/records/" + name[:200] + b".json", "wb") as file:
            file.write(name)


def _log(root: Path) -> None:
    """Entries that an enemy wrote, well chained, and lines that are none."""
    log, last = [], b""
    for text in TEXTS.values():
        keys = ("at", "by", "host", "what", "release", "previous", "why", text[:50])
        line = audit.line(last, dict.fromkeys(keys, text))
        last = line.rstrip(b"\n")
        log.append(line)
    nested = {"removed": {encoded(text).decode("latin-1"): text for text in TEXTS.values()}}
    log.append(audit.line(last, {"what": nested, "at": 3, "by": [1, "\x1b[2J"], **nested}))
    log += [raw + b"\n" for raw in RAW.values()]
    (root / ".opsnb/audit.jsonl").write_bytes(b"".join(log))
