"""A server that lies: between opsnb and a real one, answers to one kind of call are altered.

Rule 1: a lie is a function of what was answered; it gives what is heard instead, in pieces.
Rule 2: what is not lied about is the real agent's work; nothing here acts on a server.
Rule 3: every path in a lie is that of a canary in the test's own folder, every process one's own.
"""

from __future__ import annotations

import asyncio
import os
import re
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from opsnb.remote.shell import Data, Pipes

MUCH = 700_000_000  # bytes of what never ends; whoever takes them all has no bound


class _Mark:
    """What is not said but done."""


END: Final = _Mark()
SILENCE: Final = _Mark()
Pieces = Iterable[bytes | _Mark]


@dataclass(frozen=True)
class Answer:
    """What the real agent answered to a call.

    Attributes:
        out: What it printed.
        status: Its exit status.
        nonce: What ends a reply.
        canary: A folder beside the site, which nobody was asked to touch.
    """

    out: bytes
    status: int
    nonce: bytes
    canary: bytes

    @property
    def up(self) -> bytes:
        """The canary, from a release."""
        return b"../../../" + self.canary.rpartition(b"/")[2]

    def whole(self, out: bytes | None = None, status: int | str | None = None) -> list[bytes]:
        """The reply as it is heard, with other words or another status."""
        said = self.out if out is None else out
        code = self.status if status is None else status
        return [said + b"\n%s %s\n" % (self.nonce, str(code).encode())]

    def fields(self) -> dict[bytes, bytes]:
        """A look's answer by key; of keys that come several times the last."""
        parts = self.out.split(b"\0")
        return dict(zip(parts[::2], parts[1::2], strict=False))

    def but(self, key: bytes, value: bytes) -> list[bytes]:
        """A look's reply with another value, or one more."""
        parts = self.out.split(b"\0")[:-1]
        pairs = [(k, v) for k, v in zip(parts[::2], parts[1::2], strict=True) if k != key]
        return self.whole(b"".join(k + b"\0" + v + b"\0" for k, v in [*pairs, (key, value)]))

    def more(self, *pairs: tuple[bytes, bytes]) -> list[bytes]:
        """A look's reply with more in it."""
        return self.whole(self.out + b"".join(k + b"\0" + v + b"\0" for k, v in pairs))

    def record(self, key: str, value: bytes) -> list[bytes]:
        """A look's reply in whose records a key has another value."""
        records = self.fields().get(b"records", b"")
        found = re.sub(rb'("%s": )(\[[^]]*\]|"[^"]*"|\w+)' % key.encode(), rb"\1@@", records)
        return self.but(b"records", found.replace(b"@@", value))

    def line(self, line: bytes) -> list[bytes]:
        """A listing of the live release with one line more."""
        return self.whole(self.out[:-1] + line + b"\0.")


Tell = Callable[[Answer], Pieces]


@dataclass(frozen=True)
class Lie:
    """A lie.

    Attributes:
        call: The agent's function that is lied about; ``ready`` is the first word of all, ``run``
            a command of the user's.
        tell: Gives what is heard instead of the answer.
        stream: 1 for standard output, 2 for standard error.
    """

    call: str
    tell: Tell
    stream: int = 1


LIES: dict[str, Lie] = {}


def enter(call: str, stream: int = 1, **lies: Tell) -> None:
    """Enter lies under their names."""
    LIES.update({name: Lie(call, tell, stream) for name, tell in lies.items()})


def ends(said: bytes) -> Pieces:
    """Say something, then leave, without an exit status."""
    return [said, END]


def endless(piece: bytes) -> Iterator[bytes | _Mark]:
    """Say something again and again."""
    for _ in range(MUCH // len(piece)):
        yield piece
    yield END


NESTED = b"[" * 200_000
DEEP = b"[" * 960 + b"]" * 960
DIGITS = b"9" * 6_000
NAME = b"20260101000000"
IN = b"in releases/"

enter(
    "look",
    look_empty=lambda a: a.whole(b""),
    look_half=lambda a: a.whole(a.out[: len(a.out) // 2]),
    look_odd=lambda a: a.whole(a.out + b"more\0"),
    look_no_end=lambda a: a.whole(a.out + b"x"),
    look_only_nul=lambda a: a.whole(b"\0" * 100_001),
    look_not_utf8=lambda a: a.whole(bytes(range(1, 256)) * 9 + b"\0\xff\0"),
    look_failed=lambda a: a.whole(b"", 1),
    look_status_huge=lambda a: a.whole(a.out, 10**9),
    look_twice=lambda a: [*a.whole(), *a.whole()],
    look_with_replies_to_come=lambda a: a.whole() * 5,
    look_no_room=lambda a: a.but(b"room", b""),
    look_room_negative=lambda a: a.but(b"room", b"-5 4096 -1 ext4"),
    look_room_huge=lambda a: a.but(b"room", b"9" * 400 + b" " + b"9" * 400 + b" 1 ext4"),
    look_room_of_many_digits=lambda a: a.but(b"room", DIGITS + b" 1 1 ext4"),
    look_room_no_number=lambda a: a.but(b"room", b"nan inf 0x10 ext4"),
    look_room_other_digits=lambda a: a.but(b"room", "٣ ٣ ٣ x".encode()),
    look_room_signs=lambda a: a.but(b"room", b"+1_000 4_096 \xc2\xa01 x"),
    look_file_system_hostile=lambda a: a.but(b"room", b"9 9 9 \x1b[2J<script>"),
    look_elsewhere=lambda a: a.but(b"above", a.canary),
    look_above_not_utf8=lambda a: a.but(b"above", b"\xff\xfe"),
    look_releases_up=lambda a: a.more((IN, b"d 1.0 " + a.up)),
    look_releases_dots=lambda a: a.more((IN, b"d 1.0 .."), (b"in .", b"d 1.0 ..")),
    look_releases_absolute=lambda a: a.more((IN, b"d 1.0 " + a.canary)),
    look_releases_twice=lambda a: a.more((IN, b"d 1.0 " + NAME), (IN, b"l 2.0 " + NAME)),
    look_releases_short=lambda a: a.more((IN, b"d 1.0")),
    look_releases_no_kind=lambda a: a.more((IN, b" 1.0 x")),
    look_releases_odd_kind=lambda a: a.more((IN, b"\xff 1.0 x")),
    look_releases_nan=lambda a: a.more((IN, b"d nan " + NAME)),
    look_releases_inf=lambda a: a.more((IN, b"d 1e999 x"), (b"in .", b"d x y")),
    look_releases_year_9999=lambda a: a.more((IN, b"d 1 99991231235959")),
    look_releases_no_time=lambda a: a.more((IN, b"d 1 20269999999999")),
    look_releases_of_many_digits=lambda a: a.more((IN, b"d 1 " + DIGITS)),
    look_releases_many=lambda a: a.more(*((IN, b"d 1.0 %014d" % n) for n in range(30_000))),
    look_shared_up=lambda a: a.more((b"in shared/", b"d 1 .."), (b"in shared/", b"f 1 ../x")),
    look_shared_absolute=lambda a: a.more((b"in shared/", b"f 1 " + a.canary)),
    look_shared_dot=lambda a: a.more((b"in shared/", b"d 1 ."), (b"in shared/", b"d 1 a//b")),
    look_shared_loop=lambda a: a.more((b"in shared/", b"l 1 loop"), (b"in shared/", b"d 1 loop")),
    look_shared_odd=lambda a: a.more((b"in shared/", b"c 1 device"), (b"in shared/", b"p 1 fifo")),
    look_shared_not_utf8=lambda a: a.more((b"in shared/", b"f 1 \xff\xfe")),
    look_opsnb_is_a_link=lambda a: a.more((b"in .", b"l 1 .opsnb"), (b"in .", b"l 1 releases")),
    look_current_up=lambda a: a.but(b"current", b"ldreleases/" + a.up),
    look_current_nowhere=lambda a: a.but(b"real", b""),
    look_current_other=lambda a: a.but(b"real", a.canary + b"/" + NAME),
    look_current_dots=lambda a: a.but(b"real", a.fields().get(b"base", b"") + b"/.."),
    look_current_not_there=lambda a: a.but(b"real", a.fields().get(b"base", b"") + b"/2099"),
    look_current_short=lambda a: a.but(b"current", b"l"),
    look_current_empty=lambda a: a.but(b"current", b""),
    look_current_device=lambda a: a.but(b"current", b"bb"),
    look_records_none=lambda a: a.but(b"records", b""),
    look_records_no_json=lambda a: a.record("name", b"\xff\xfe{{{"),
    look_records_nested=lambda a: a.record("by", NESTED),
    look_records_deep=lambda a: a.record("by", DEEP),
    look_records_huge=lambda a: a.record("by", b'"' + b"x" * 4_000_000 + b'"'),
    look_records_null=lambda a: a.record("seq", b"null"),
    look_records_float=lambda a: a.record("seq", b"1e999"),
    look_records_nan=lambda a: a.record("size", b"NaN"),
    look_records_huge_number=lambda a: a.record("seq", DIGITS),
    look_records_large_number=lambda a: a.record("seq", b"9223372036854775807"),
    look_records_negative=lambda a: a.record("seq", b"-1"),
    look_records_same=lambda a: a.record("seq", b"1"),
    look_records_states=lambda a: a.record("state", b'"unrecorded"'),
    look_records_other_name=lambda a: a.record("name", b'"' + a.up + b'"'),
    look_records_other_time=lambda a: a.record("at", b'"99999-99-99T99"'),
    look_records_far_time=lambda a: a.record("at", b'"0001-01-01T00:00:00+14:00"'),
    look_records_links_up=lambda a: a.record("links", b'["' + a.up + b'"]'),
    look_records_links_absolute=lambda a: a.record("links", b'["' + a.canary + b'"]'),
    look_records_links_quoted=lambda a: a.record(
        "links", b'["' + a.up.replace(b"/", b"%2f") + b'"]'
    ),
    look_records_links_nul=lambda a: a.record("links", b'["a%00b", ""]'),
    look_records_links_number=lambda a: a.record("links", b"[3]"),
    look_records_manifest_up=lambda a: a.record("manifest", b'"' + a.up + b'/made"'),
    look_records_manifest_long=lambda a: a.record("manifest", b'"' + b"a" * 9_000 + b'"'),
    look_records_manifest_other=lambda a: a.record("manifest", b'"' + b"a" * 64 + b'"'),
    look_records_surrogate=lambda a: a.record("revision", b'"\\ud800"'),
    look_holder=lambda a: a.but(b"holder", b"\xff" * 300),
    look_holder_nested=lambda a: a.but(b"holder", NESTED),
    look_hold_numbers=lambda a: a.but(b"hold", b'{"who": 1, "host": [], "since": {}, "why": 1}'),
    look_intent=lambda a: a.but(b"intent", b'{"verb": "deploy", "name": "' + a.up + b'"}'),
    look_intent_whole=lambda a: a.but(
        b"intent",
        b'{"verb": "\\u001b[2J", "name": "%s", "previous": "..", "by": "", "at": ""}' % a.up,
    ),
    look_intent_up=lambda a: a.but(
        b"intent", b'{"verb": "deploy", "name": "%s", "previous": "", "by": "", "at": ""}' % a.up
    ),
    look_spare=lambda a: a.but(b"spare", b'{"name": "../..", "seq": 1, "state": "good"}'),
    look_tail_of_lines=lambda a: a.but(b"tail", b"\n\r\n" * 500_000),
    look_packers=lambda a: a.but(b"packers", b"$(touch %s/pwned) ../zstd zstd;id" % a.canary),
    look_missing=lambda a: a.but(b"missing", b"\x1b[2J\n" * 10_000),
    look_user=lambda a: a.but(b"user", b"\xff\n<script>"),
)
enter(
    "live",
    live_other_name=lambda a: a.whole(b"20990101000000" + a.out[a.out.find(b"\0") :]),
    live_name_up=lambda a: a.whole(a.up + a.out[a.out.find(b"\0") :]),
    live_no_end=lambda a: a.whole(a.out[:-1]),
    live_path_up=lambda a: a.line(b"f 644 1 1.0 1.0 1:1 " + a.up + b"/alive"),
    live_path_absolute=lambda a: a.line(b"f 644 1 1.0 1.0 1:1 " + a.canary + b"/alive"),
    live_path_empty=lambda a: a.line(b"f 644 1 1.0 1.0 1:1 "),
    live_short=lambda a: a.line(b"f 644 1"),
    live_mode=lambda a: a.line(b"f 999 1 1.0 1.0 1:1 x"),
    live_mode_negative=lambda a: a.line(b"f -7 1 1.0 1.0 1:1 x"),
    live_size_negative=lambda a: a.line(b"f 644 -9 1.0 1.0 1:1 x"),
    live_size_huge=lambda a: a.line(b"f 644 " + DIGITS + b" 1 1 1 x"),
    live_link_length=lambda a: a.line(b"l 0 99999 1.0 1.0 1 x/y"),
    live_link_negative=lambda a: a.line(b"l 0 -3 1.0 1.0 1 " + a.canary + b"/y"),
    live_link_loop=lambda a: a.line(b"l 0 4 1.0 1.0 1 loop/loop"),
    live_kind=lambda a: a.line(b"\xff 644 1 1.0 1.0 1:1 x"),
    live_unreadable=lambda a: a.line(b"! 0 0 0 0 0 unreadable"),
    live_twice=lambda a: a.line(b"f 644 1 1 1 1 x\0d 755 0 0 0 0 x"),
    live_tree_in_a_file=lambda a: a.line(b"f 644 1 1 1 1 x\0f 644 1 1 1 1 x/y"),
    live_all_gone=lambda a: a.line(b"\tf 644 3 1 1 1 index.html"),
)
enter(
    "aside",
    aside_garbage=lambda a: a.whole(b"\xff" * 1000),
    aside_up=lambda a: a.whole(
        a.out.split(b"\0")[0] + b'\0{"name": "..", "seq": 1, "state": "good"}\0f 644 1 1 ../x\0', 0
    ),
)
enter(
    "manifest",
    manifest_more=lambda a: a.whole(a.out + b"f 644 3 " + b"a" * 64 + b" " + a.up + b"\n"),
    manifest_garbage=lambda a: a.whole(b"\xff\0" * 10_000, 0),
    manifest_empty=lambda a: a.whole(b"", 0),
    manifest_absolute=lambda a: a.whole(a.out.replace(b"index.html", a.canary), 0),
    manifest_of_many_digits=lambda a: a.whole(a.out.replace(b" 3 ", b" " + DIGITS + b" "), 0),
    manifest_huge=lambda a: a.whole(b"x" * 30_000_000, 0),
)
enter(
    "hashes",
    hashes_short=lambda a: a.whole(b"abc\0"),
    hashes_other=lambda a: a.whole(b"\xff" * 64 + b"  " + a.up + b"\0"),
    hashes_none=lambda a: a.whole(b""),
    hashes_more=lambda a: a.whole(a.out * 1_000),
)
enter(
    "shared",
    shared_short=lambda a: a.whole(b""),
    shared_more=lambda a: a.whole(a.out + b"\0" * 5),
    shared_up=lambda a: a.whole(b"d..\0f" + a.up + b"\0" + a.out),
    shared_deep=lambda a: a.whole(b"dsame\0" + a.out),
)
enter(
    "usage",
    usage_words=lambda a: a.whole(b"x\tone\ttwo\tthree\tfour\n"),
    usage_negative=lambda a: a.whole(b"x\t-1\t-2\t-3\t-4\n"),
    usage_huge=lambda a: a.whole((b"x\t" + b"\t".join([b"9" * 20] * 4) + b"\n") * 5),
    usage_of_many_digits=lambda a: a.whole(b"x\t" + b"\t".join([DIGITS] * 4) + b"\n"),
    usage_nan=lambda a: a.whole(b"x\tnan\tinf\t1e5\t0x1\n"),
    usage_unknown=lambda a: a.whole((a.up + b"\t1\t1\t1\t1\n") * 3),
)
enter(
    "audit",
    audit_garbage=lambda a: a.whole(b"\xff\xfe\n\r\n{}\n[]\n" * 100),
    audit_nested=lambda a: a.whole(b'{"what": ' + NESTED + b"\n" + NESTED + b"\n"),
    audit_deep=lambda a: a.whole(b'{"what": %s, "why": %s, "self": 1}\n' % (DEEP, DEEP)),
    audit_keys=lambda a: a.whole(b'{"at": {}, "by": [], "what": 9e999, "release": null}\n'),
    audit_numbers=lambda a: a.whole(b'{"at": ' + DIGITS + b"}\n"),
    audit_long=lambda a: a.whole(b'{"what": "' + b"x" * 8_000_000 + b'"}\n'),
)
enter(
    "take",
    take_words=lambda a: a.whole(b"one two\n"),
    take_one=lambda a: a.whole(b"1\n"),
    take_three=lambda a: a.whole(b"1 2 3\n"),
    take_nothing=lambda a: a.whole(b""),
    take_negative=lambda a: a.whole(b"-1 %d\n" % os.getpid()),
    take_other_digits=lambda a: a.whole("٣ ٣\n".encode()),
    take_of_many_digits=lambda a: a.whole(DIGITS + b" %d\n" % os.getpid()),
    take_locked=lambda a: a.whole(b"", 91),
    take_closed=lambda a: ends(a.out),
)
enter(
    "finish",
    finish_up=lambda a: a.whole(b"f 644 1 1 1 1 " + a.up + b"/alive\0" + a.out),
    finish_nothing=lambda a: a.whole(b""),
    finish_more=lambda a: a.whole(a.out + b"f 644 1 1.0 backdoor.php\0"),
    finish_short=lambda a: a.whole(a.out[: len(a.out) // 2]),
    finish_garbage=lambda a: a.whole(b"\xff \xff \xff\0" * 100),
    finish_failed=lambda a: a.whole(b"", 97),
)
enter(
    "publish",
    publish_failed=lambda a: a.whole(b"", 1),
    publish_lost_lock=lambda a: a.whole(b"", 92),
    publish_closed=lambda _: ends(b""),
    publish_status=lambda a: a.whole(b"", 999_999_999),
)
enter("append", append_failed=lambda a: a.whole(b"", 1), append_closed=lambda _: ends(b""))
enter(
    "begin", begin_failed=lambda a: a.whole(b"x" * 5_000_000, 1), begin_closed=lambda _: ends(b"\n")
)
enter("unpack", unpack_failed=lambda a: a.whole(b"", 2), unpack_closed=lambda _: ends(b""))
enter("verify", verify_content=lambda a: a.whole(b"", 99), verify_odd=lambda a: a.whole(b"", 77))
enter(
    "ready",
    ready_nothing=lambda _: ends(b""),
    ready_noise=lambda _: ends(b"Welcome\n" * 1_000),
    ready_half=lambda a: ends(b"\n" + a.nonce[:10]),
    ready_no_status=lambda a: ends(b"\n" + a.nonce + b" \n"),
    ready_word=lambda a: ends(b"\n" + a.nonce + b" zero\n"),
    ready_negative=lambda a: ends(b"\n" + a.nonce + b" -1\n"),
    ready_of_many_digits=lambda a: [*a.whole(b"", DIGITS.decode()), END],
    ready_other_nonce=lambda _: ends(b"\n" + b"f" * 32 + b" 0\n"),
    ready_silent=lambda _: [SILENCE],
)
enter(
    "run",
    run_no_mark=lambda _: ends(b"hello\n"),
    run_no_second_mark=lambda a: ends(a.nonce + b" 0\nhello\n"),
    run_of_many_digits=lambda a: ends(a.nonce + b" " + DIGITS + b"\n"),
    run_many_marks=lambda a: ends((a.nonce + b" 0\n") * 1_000),
    run_status_huge=lambda a: ends(a.nonce + b" 0\n" + a.nonce + b" 9999999999\n"),
    run_huge_line=lambda a: ends(a.nonce + b" 0\n" + b"x" * 30_000_000),
)
enter(
    "look",
    endless_output=lambda _: endless(b"x" * 65536),
    endless_fields=lambda _: endless(b"in .\0d 1 x\0" * 6_000),
    endless_replies=lambda a: endless(a.whole(b"")[0] * 1_000),
)
enter(
    "look",
    2,
    endless_complaints=lambda _: endless(b"y" * 65536),
    endless_replies_of_complaints=lambda a: endless(b"\n%s 0\n" % a.nonce * 1_500),
    endless_stops=lambda a: endless(b"%s stop 9999999999\n" % a.nonce * 1_500),
    stop_of_many_digits=lambda a: [b"%s stop %s\n" % (a.nonce, DIGITS), *a.whole()],
)
enter("live", endless_listing=lambda _: endless(b"f 644 1 1 1 1 x\0" * 4_000))
enter("ready", endless_greeting=lambda _: endless(b"Welcome to this server.\n" * 2_000))
enter(
    "hook",
    endless_hook=lambda _: endless(b"a line of a hook\n" * 4_000),
    endless_line_of_a_hook=lambda _: endless(b"z" * 65536),
)
enter(
    "run",
    endless_command=lambda a: [a.nonce + b" 0\n", *([b"a line of a command\n" * 3_000] * 2_000)],
    endless_mark=lambda a: [a.nonce + b" 0\n" + a.nonce, *([b"9" * 60_000] * 2_000)],
)

ENDLESS = [name for name in LIES if name.startswith("endless")]


@dataclass
class Plot:
    """Which lie is told, and what of.

    Attributes:
        lie: Its name; empty for none.
        canary: A folder beside the site.
        told: How many answers were lied about.
    """

    lie: str = ""
    canary: bytes = b""
    told: int = 0

    def wrap(self, dial: Callable[[str], Awaitable[Pipes]]) -> Callable[[str], Awaitable[Pipes]]:
        """A way to the server on which is lied."""

        async def lying(program: str) -> Pipes:
            return Lying(await dial(program), self)

        return lying


@dataclass
class _Heard:
    """One stream of the server: what is to be heard, and what is not yet a whole reply."""

    queue: deque[Iterator[bytes | _Mark]] = field(default_factory=deque)
    rest: bytes = b""
    place: int = 0


class Lying:
    """The streams of a real server's shell, and one lie."""

    def __init__(self, real: Pipes, plot: Plot) -> None:
        self._real, self._plot = real, plot
        self._lie = LIES.get(plot.lie)
        self._heard = {1: _Heard(), 2: _Heard()}
        self._calls = ["ready"]
        self._nonce = b""
        self._over = False
        self._left, self._framed, self._line = 0, False, b""

    async def write(self, data: Data) -> None:
        """Pass on what the client says, and remember which functions it calls."""
        if not self._nonce:
            first, said = bytes(data).partition(b"\n")[::2]
            if first.startswith(b"exit"):
                first = zlib.decompress(said.partition(b"\n")[2], wbits=31)
            found = re.match(rb"(?:N|opsnb_nonce)='?(\w+)", first)
            assert found
            self._nonce = found[1]
            if bytes(data).startswith(b"opsnb_"):
                self._calls = ["run"]
        elif self._calls[0] != "run":
            self._line = self._after_calls(self._line + bytes(data))
        await self._real.write(data)

    def _after_calls(self, data: bytes) -> bytes:
        while data:
            if self._left:
                taken = min(self._left, len(data))
                self._left, data = self._left - taken, data[taken:]
                continue
            line, found, after = data.partition(b"\n")
            if not found:
                return data
            data = after
            if self._framed:
                self._left = int(line) if line != b"x" else 0
                self._framed = self._left > 0
            else:
                words = line.removeprefix(b"& ")
                self._framed = words.startswith(b"< ")
                self._calls.append(words.removeprefix(b"< ").split(b" ", 1)[0].decode())
        return b""

    async def read_out(self) -> bytes:
        """What is heard on standard output."""
        return await self._read(1, self._real.read_out)

    async def read_err(self) -> bytes:
        """What is heard on standard error."""
        return await self._read(2, self._real.read_err)

    async def _read(self, stream: int, read: Callable[[], Awaitable[bytes]]) -> bytes:
        heard = self._heard[stream]
        while not self._over:
            if heard.queue:
                piece = next(heard.queue[0], None)
                if piece is None:
                    heard.queue.popleft()
                elif isinstance(piece, bytes):
                    await asyncio.sleep(0)
                    if piece:
                        return piece
                elif piece is SILENCE:
                    await asyncio.sleep(3_600)
                else:
                    self._over = True
                    await self._real.close()
                continue
            data = await read()
            if not data:
                self._over = True
                return heard.rest
            self._hear(stream, heard, data)
        return b""

    def _hear(self, stream: int, heard: _Heard, data: bytes) -> None:
        if self._lie is None or self._lie.stream != stream:
            heard.queue.append(iter([data]))
            return
        heard.rest += data
        if self._calls[0] == "run":
            alone = Answer(heard.rest, 0, self._nonce, self._plot.canary)
            heard.queue.append(self._told(alone, "run"))
            heard.rest = b""
            return
        while found := re.search(rb"\n" + self._nonce + rb" (\d+)\n", heard.rest):
            out = heard.rest[: found.start()]
            heard.rest = heard.rest[found.end() :]
            made = Answer(out, int(found[1]), self._nonce, self._plot.canary)
            heard.queue.append(self._told(made, self._calls[heard.place]))
            heard.place += 1

    def _told(self, made: Answer, call: str) -> Iterator[bytes | _Mark]:
        if self._lie is None or self._lie.call != call:
            return iter(made.whole())
        self._plot.told += 1
        return iter(self._lie.tell(made))

    async def close(self) -> None:
        """Close the real ones."""
        await self._real.close()
