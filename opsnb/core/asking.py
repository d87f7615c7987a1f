"""How a check is asked, from here and from the server itself. Pure.

Rule 1: the server only carries: which of its programs asks is decided here, by what a look told.
Rule 2: what may be a secret, and what a server told us to ask next, is never part of a script: it
goes as the value of a variable, which no list of processes shows.
Rule 3: every way answers alike: the head of an HTTP message as it came and the body, or a word on
what went wrong. Redirections are followed here, one question after the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from opsnb.core.answer import MOST, Answer, for_release
from opsnb.core.settings.health import Health, host_and_port
from opsnb.core.settings.web import SECRET, check_url
from opsnb.core.text import safe

AGENT = "opsnb"
LATE = b"no whole answer in time"
END = b"\nopsnb: the end of the answer\n"
REDIRECTS = 10
_HTTP, _TCP = ("python3", "curl", "wget"), ("python3", "bash", "nc")
_AGAIN = frozenset((301, 302, 303, 307, 308))
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked over HTTP, once.

    Attributes:
        url: The address.
        method: The method.
        headers: Names and values, secrets among them.
    """

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Script:
    """What the server runs to ask.

    Attributes:
        text: For ``/bin/sh``.
        given: Its variables.
        apart: Whether what its program complains of comes apart, behind a mark at the end.
    """

    text: str
    given: Mapping[str, str] = field(repr=False)
    apart: bool = False


def can_ask(tools: AbstractSet[str]) -> bool:
    """Whether one of a server's programs can ask over HTTP."""
    return not tools.isdisjoint(_HTTP)


def lacks(check: Health, tools: AbstractSet[str]) -> str:
    """What a server lacks that a check is to be asked from; empty for nothing."""
    if check.from_ != "server":
        return ""
    needed = _TCP if check.tcp else _HTTP
    if tools & {*needed}:
        return ""
    return f"one of {', '.join(needed)}, for the check {safe(check.asked)}"


def question(check: Health, release: str, secrets: Mapping[str, str]) -> Question:
    """What a check asks first.

    Args:
        check: One with a url.
        release: The release that it is about.
        secrets: Values for the names in its headers.
    """
    return Question(for_release(check.url, release), check.method, filled(check.headers, secrets))


def filled(headers: Mapping[str, str], secrets: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Headers with the values of the secrets that they name."""
    return tuple(
        (name, SECRET.sub(lambda found: secrets[found[1]], text)) for name, text in headers.items()
    )


def target(check: Health, release: str) -> tuple[str, int]:
    """Host and port of a check that only connects."""
    return host_and_port(for_release(check.tcp, release))


def redirected(asked: Question, answer: Answer) -> Question | None:
    """What to ask next; None when that was the answer.

    Of another origin nothing is asked with headers that were meant for this one.

    Raises:
        ValueError: It leads to what is no address.
    """
    places = answer.values("location")
    if answer.status not in _AGAIN or not places:
        return None
    url = urljoin(asked.url, places[0].strip()).partition("#")[0]
    check_url(url)
    kept = asked.headers if origin(url) == origin(asked.url) else ()
    again = answer.status in (307, 308) or asked.method == "HEAD"
    return Question(url, asked.method if again else "GET", kept)


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an address."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme]


def read(out: bytes, *, apart: bool = False) -> Answer | str:
    """What the server's program said: an answer, or what went wrong, safe to show.

    Args:
        out: All of it.
        apart: As of the :class:`Script`.
    """
    if apart:
        out, _, said = out.rpartition(END)
        lines = said.split(b"\n")
        # wget tells the head there, each line of it indented, and how well it went.
        head = [line[2:] for line in lines if line.startswith(b"  ")]
        wrong = [line for line in lines if line.startswith(LATE) or (line and not head)]
        errors = b"\n".join(wrong)
        if head:
            out = b"\n".join(head) + b"\n\n" + out
        # Who is cut off after enough complains of that.
        if len(out) <= MOST and (errors or not out):
            return _said(errors)
    return _answer(out)


def _answer(out: bytes) -> Answer | str:
    while True:
        head, *rest = re.split(rb"\r?\n\r?\n", out, maxsplit=1)
        body = rest[0] if rest else b""
        lines = head.replace(b"\r", b"").split(b"\n")
        first = re.fullmatch(rb"HTTP/\d(?:\.\d)? (\d{3})(?: .*)?", lines[0], re.DOTALL)
        if not first:
            return _said(out)
        if not 100 <= int(first[1]) < 200:
            break
        out = body
    pairs = [line.decode("latin-1").partition(":") for line in lines[1:]]
    headers = tuple((name.strip(), value.strip()) for name, _, value in pairs)
    return Answer(int(first[1]), headers, body[:MOST], len(body) > MOST)


def _said(text: bytes) -> str:
    """The first line of a complaint."""
    return safe(text.strip().split(b"\n")[0].strip()[:200]) or "nothing was answered"


def http_script(asked: Question, tools: AbstractSet[str], limit: float) -> Script:
    """How the server asks over HTTP.

    Args:
        asked: The question.
        tools: Its programs; one of those that can is among them.
        limit: Seconds that it may take.
    """
    if "python3" in tools:
        told = {"url": asked.url, "method": asked.method, "headers": asked.headers}
        given = {"OPSNB_ASKED": json.dumps({**told, "limit": limit, "most": MOST})}
        return Script(_python(_PYTHON_HTTP), given)
    if "curl" in tools:
        return Script(_apart(_CURL), {"OPSNB_ASKED": _curl(asked, limit)}, apart=True)
    given = {"OPSNB_URL": asked.url, "OPSNB_METHOD": asked.method}
    given |= {f"OPSNB_H{at}": f"{name}: {text}" for at, (name, text) in enumerate(asked.headers)}
    return Script(_apart(_wget(len(asked.headers), limit)), given, apart=True)


def tcp_script(host: str, port: int, tools: AbstractSet[str], limit: float) -> Script:
    """How the server connects; it says ``open`` when that went well. The arguments are as above."""
    given = {"OPSNB_HOST": host, "OPSNB_PORT": str(port), "OPSNB_SECONDS": f"{limit:g}"}
    if "python3" in tools:
        return Script(_python(_PYTHON_TCP), given)
    if "bash" in tools:
        within = f"timeout --foreground {limit:g} " if "timeout" in tools else ""
        connect = """'exec 3<>"/dev/tcp/$OPSNB_HOST/$OPSNB_PORT" && echo open'"""
        return Script(f"exec {within}bash -c {connect}", given)
    whole = max(1, round(limit))
    return Script(f'nc -z -w {whole} "$OPSNB_HOST" "$OPSNB_PORT" </dev/null && echo open', given)


def command_script(line: str, tools: AbstractSet[str], limit: float) -> Script:
    """A command that the server itself ends with status 124 when its time is up."""
    if "timeout" not in tools:
        return Script(line, {})
    # In a group of its own, all of which is ended: by its time, or with whoever asks.
    within = f"timeout -k 2 {limit:g}"
    return Script(f"{within} /bin/sh -c '{_WITH_ITS_PARENT}' $$", {"OPSNB_CHECK": line})


# Its guard stands in no release: what is left of it for a moment must not seem to use that.
_WITH_ITS_PARENT = """
( cd /; while kill -0 "$0"; do sleep 0.5; done; kill -KILL 0 ) >/dev/null 2>&1 &
guard=$!
/bin/sh -c "$OPSNB_CHECK"
status=$?
kill "$guard"
exit "$status"
"""


def _python(program: str) -> str:
    return f"exec python3 -I -c '{program}'"


_PYTHON_HTTP = """
import http.client, json, math, os, signal, ssl, sys, urllib.parse
asked = json.loads(os.environ["OPSNB_ASKED"])
signal.signal(signal.SIGALRM, lambda *_: sys.exit(print("no answer in time")))
signal.setitimer(signal.ITIMER_REAL, asked["limit"])
url = urllib.parse.urlsplit(asked["url"])
try:
    kind, more = http.client.HTTPConnection, {}
    if url.scheme == "https":
        kind, more = http.client.HTTPSConnection, {"context": ssl.create_default_context()}
    line = kind(url.hostname, url.port, timeout=asked["limit"], **more)
    place = (url.path or "/") + ("?" + url.query if url.query else "")
    line.request(asked["method"], place, headers={"User-Agent": "opsnb", **dict(asked["headers"])})
    got = line.getresponse()
    body = got.read(asked["most"] + 1)
except (OSError, ValueError, http.client.HTTPException) as error:
    sys.exit(print(str(error) or type(error).__name__))
head = ["HTTP/1.1 %d" % got.status] + ["%s: %s" % pair for pair in got.getheaders()]
signal.setitimer(signal.ITIMER_REAL, 0)
out = sys.stdout.buffer
out.write(("\\r\\n".join(head) + "\\r\\n\\r\\n").encode("latin-1", "replace") + body)
"""
_PYTHON_TCP = """
import os, socket, sys
at = (os.environ["OPSNB_HOST"], int(os.environ["OPSNB_PORT"]))
try:
    socket.create_connection(at, float(os.environ["OPSNB_SECONDS"])).close()
except OSError as error:
    sys.exit(print(str(error) or type(error).__name__))
print("open")
"""

# -q comes first: no file of the account's may switch the verification of certificates off.
_CURL = """printf '%s' "$OPSNB_ASKED" | curl -q -K -"""


def _curl(asked: Question, limit: float) -> str:
    """What curl reads as its configuration, so that no header of a question is an argument."""
    said = [("url", asked.url), ("user-agent", AGENT), ("max-time", f"{limit:g}")]
    said += [("noproxy", "*"), ("proto", "=http,https")]
    if asked.method != "HEAD":
        said += [("request", asked.method)]
    said += [("header", f"{name}: {text}" if text else f"{name};") for name, text in asked.headers]
    lines = [f'{name} = "{_escaped(text)}"' for name, text in said]
    flags = ["silent", "show-error", "include", "globoff", *(["head"] * (asked.method == "HEAD"))]
    return "\n".join([*flags, *lines]) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _wget(headers: int, limit: float) -> str:
    """A question by GNU wget. It reads a file only, so its arguments are variables of the shell."""
    how = "--no-config -nv -S -O - --content-on-error --max-redirect=0 --tries=1 --no-proxy"
    more = "".join(f' --header="$OPSNB_H{at}"' for at in range(headers))
    asked = f'{how} -U {AGENT} --timeout={limit:g} --method="$OPSNB_METHOD"{more} "$OPSNB_URL"'
    late = f"case $? in 4 | 124) echo {LATE.decode()} >&2 ;; esac"
    return f"timeout --foreground {limit:g} wget {asked}; {late}"


def _apart(asking: str) -> str:
    """A program whose answer is cut when there is enough of it, and its complaints behind that."""
    enough = f"head -c {MOST + 65536} >&4"
    end = END.decode().strip()
    return (
        f"exec 4>&1; said=$( {{ {{ {asking}; }} 2>&3 | {enough}; }} 3>&1 ); "
        f"printf '\\n{end}\\n%s' \"$said\""
    )
