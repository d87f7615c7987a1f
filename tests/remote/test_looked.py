"""The agent's answer to a look becomes a site, or an error of ours; never anything else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsnb.core.marks import Holder, Intent
from opsnb.core.release import CurrentKind, Record, Site, State
from opsnb.errors import RemoteError
from opsnb.remote.looked import pairs, read_site

HERE = "/srv/shop"
GOOD = Record("20260325120000", 1, State.GOOD)
BAD = Record("20260325130000", 7, State.UNCONFIRMED)
HOLDER = Holder("ann", "desk", "now", "deploy", 4, 123)
INTENT = Intent("deploy", "20260325130000", "20260325120000", "ann", "now")

Fields = list[tuple[str, bytes]]
ROOM = ("room", b"250 4096 1000 ext2/ext3")


def answer(fields: Fields) -> bytes:
    return b"".join(key.encode() + b"\0" + value + b"\0" for key, value in fields)


def site(*fields: tuple[str, bytes]) -> Site:
    return read_site(answer([("above", HERE.encode()), ROOM, *fields]), HERE)


def records(*lines: bytes) -> tuple[str, bytes]:
    return ("records", b"".join(lines))


def stored(record: Record, name: str = "") -> bytes:
    return f".opsnb/records/{name or record.name}.json:".encode() + record.encode()


WHOLE: Fields = [
    ("missing", b"GNU tar\nsync -f\n"),
    ("user", b"deploy"),
    ("above", HERE.encode()),
    ROOM,
    ("writable", b"1"),
    ("in .", b"d 1.0 releases"),
    ("in .", b"l 1.0 current"),
    ("in .", b"f 1.0 odd\xff\nname"),
    ("current", b"ldreleases/20260325120000"),
    ("real", b"/srv/shop/releases/20260325120000"),
    ("base", b"/srv/shop/releases"),
    ("in releases/", b"d 1774447200.5 20260325120000"),
    ("in releases/", b"l 1.0 odd name"),
    ("in shared/", b"d 1.0 uploads"),
    ("in shared/", b"f 1.0 .env"),
    ("ours", b"1"),
    records(stored(GOOD), stored(BAD)),
    ("holder", HOLDER.encode()),
    ("hold", HOLDER.encode()),
    ("intent", INTENT.encode()),
    ("tail", b'{"what": "x"}'),
    ("in .opsnb/", b"f 1.0 tmp.1"),
    ("in .opsnb/trash/", b"d 1.0 20260325120000.4"),
]


def test_a_whole_answer_is_read() -> None:
    read = read_site(answer(WHOLE), HERE)
    assert (read.exists, read.ours, read.writable, read.user) == (True, True, True, "deploy")
    assert read.missing == ("GNU tar", "sync -f")
    assert (read.free_bytes, read.free_inodes, read.file_system) == (1_024_000, 1000, "ext2/ext3")
    assert read.entries == {b"releases": "d", b"current": "l", b"odd\xff\nname": "f"}
    assert read.shared == {b"uploads": "d", b".env": "f"}
    assert (read.current.kind, read.current.name) == (CurrentKind.RELEASE, "20260325120000")
    assert [(r.name, r.present, r.real, r.live) for r in read.releases] == [
        ("odd name", True, False, False),
        ("20260325120000", True, True, True),
        ("20260325130000", False, False, False),
    ]
    assert read.releases[1].mtime == 1774447200.5
    assert (read.counter, read.debris, read.broken) == (7, 2, ())
    assert (read.holder, read.hold, read.intent) == (HOLDER, HOLDER, INTENT)
    assert read.audit_tail == b'{"what": "x"}'


def test_a_path_that_is_not_there_is_known_by_what_is_above_it() -> None:
    read = read_site(answer([("above", b"/srv"), ROOM, ("writable", b"1")]), HERE)
    assert (read.exists, read.ours, read.writable) == (False, False, True)
    assert read.current.kind is CurrentKind.NONE


def test_writable_but_for_our_own_directory_is_not_writable() -> None:
    assert not site(("writable", b"1"), ("readonly", b"1")).writable
    assert not site().writable


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ([], CurrentKind.NONE),
        ([("current", b"dd")], CurrentKind.DIRECTORY),
        ([("current", b"ff")], CurrentKind.FILE),
        ([("current", b"pp")], CurrentKind.FILE),
        ([("current", b"lNreleases/gone")], CurrentKind.DANGLING),
        ([("current", b"lLcurrent")], CurrentKind.DANGLING),
        ([("current", b"lfreleases/x/index")], CurrentKind.DANGLING),
        ([("current", b"ldx"), ("real", b"/else/x"), ("base", b"/srv/r")], CurrentKind.ELSEWHERE),
        (
            [("current", b"ldx"), ("real", b"/srv/r/a/b"), ("base", b"/srv/r")],
            CurrentKind.ELSEWHERE,
        ),
        ([("current", b"ldx"), ("real", b"/srv/r"), ("base", b"/srv/r")], CurrentKind.ELSEWHERE),
        ([("current", b"ldx"), ("real", b"/x"), ("base", b"")], CurrentKind.ELSEWHERE),
        ([("current", b"ldx"), ("real", b"/srv/r/a"), ("base", b"/srv/r")], CurrentKind.RELEASE),
    ],
)
def test_what_stands_at_current_is_told_by_where_it_really_leads(
    fields: Fields, kind: CurrentKind
) -> None:
    assert site(*fields).current.kind is kind


@pytest.mark.parametrize("number", range(len(WHOLE)))
def test_an_answer_that_is_cut_short_inside_a_value_is_an_error(number: int) -> None:
    whole = answer(WHOLE)
    end = len(answer(WHOLE[: number + 1]))
    for cut in (end - 1, end - 2):
        with pytest.raises(RemoteError):
            read_site(whole[:cut], HERE)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("room", b"")],
        [("room", b"1 2 3")],
        [("room", b"1 2 x ext4")],
        [("room", b"\xff 2 3 ext4")],
        [ROOM, ("in .", b"")],
        [ROOM, ("in shared/", b"")],
        [ROOM, ("in releases/", b"")],
        [ROOM, ("in releases/", b"d 20260325120000")],
        [ROOM, ("in releases/", b"d now 20260325120000")],
        [ROOM, ("in releases/", b"\xff 1.0 20260325120000")],
        [ROOM, ("current", b"")],
        [ROOM, ("current", b"l")],
    ],
)
def test_an_answer_that_makes_no_sense_is_an_error_of_ours(fields: Fields) -> None:
    with pytest.raises(RemoteError):
        read_site(answer(fields), HERE)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_whatever_a_server_answers_it_is_a_site_or_an_error_of_ours(data: st.DataObject) -> None:
    keys = st.sampled_from(sorted({key for key, _ in WHOLE}))
    values = st.sampled_from([value for _, value in WHOLE]) | st.binary(max_size=12)
    fields = data.draw(st.lists(st.tuples(keys, values), max_size=6))
    raw = answer([ROOM, *fields]) if data.draw(st.booleans()) else data.draw(st.binary(max_size=40))
    try:
        read = read_site(raw, HERE)
    except RemoteError:
        return
    assert read.deploy_to == HERE
    assert read.state_id


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"not json",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"name": "20260325120000"}',
        json.dumps({**json.loads(GOOD.encode()), "revision": None}).encode(),
        Record("20260101000000", 1, State.GOOD).encode(),
    ],
)
def test_a_broken_record_is_named_and_its_release_counts_as_unrecorded(line: bytes) -> None:
    broken = b".opsnb/records/20260325120000.json:" + line.rstrip(b"\n") + b"\n"
    read = site(
        ("ours", b"1"), records(broken, stored(BAD)), ("in releases/", b"d 1.0 20260325120000")
    )
    assert read.broken == ("20260325120000",)
    found = read.find("20260325120000")
    assert found
    assert found.state is State.UNRECORDED
    assert read.find(BAD.name)


def test_a_record_of_many_lines_is_named_once() -> None:
    start = b".opsnb/records/20260325120000.json:"
    read = site(records(b"".join(start + line + b"\n" for line in (b"{", b'"seq": 1', b"}"))))
    assert read.broken == ("20260325120000",)


def test_a_holder_that_cannot_be_read_still_means_that_it_is_held() -> None:
    for torn in (b"", b'{"who": "a', b"\xff", b"[]", b'{"who": null, "host": "h"}'):
        assert site(("holder", torn)).holder is not None
    assert site(("holder", b"")).holder.who == "unknown"  # type: ignore[union-attr]
    assert site(("hold", b"torn")).hold is not None
    assert site(("hold", b"")).hold is None
    assert site().holder is None


def test_an_intent_that_was_torn_came_before_any_switch() -> None:
    assert site(("intent", INTENT.encode())).intent == INTENT
    assert site(("intent", INTENT.encode()[:20])).intent is None
    assert site(("intent", b"")).intent is None


def test_what_the_server_says_of_itself_is_made_safe() -> None:
    read = read_site(
        answer([("room", b"1 1 1 e\x1bt"), ("user", b"r\x1bt"), ("missing", b"a\x1bb\n")]), HERE
    )
    assert "\x1b" not in read.user + read.file_system + "".join(read.missing)


@pytest.mark.parametrize("raw", [b"a", b"a\0", b"a\0b", b"a\0b\0c\0"])
def test_a_key_without_a_value_is_an_error(raw: bytes) -> None:
    with pytest.raises(RemoteError, match="cut short"):
        list(pairs(raw))
