"""The audit log shows every tampering but a cut at its end, which the server's file shows."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsnb.core import audit

QUICK = settings(max_examples=150, deadline=None, derandomize=True)
ENTRIES = st.fixed_dictionaries(
    {"what": st.sampled_from(["deploy.begin", "deploy.done"]), "why": st.text(max_size=6)},
    optional={"removed": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2)},
)


@st.composite
def logs(draw: st.DrawFn, least: int = 0) -> list[bytes]:
    """The lines of a log, each with its line break and its time, so that no two are the same."""
    lines: list[bytes] = []
    for number, entry in enumerate(draw(st.lists(ENTRIES, min_size=least, max_size=6))):
        tail = lines[-1].rstrip(b"\n") if lines else b""
        lines.append(audit.line(tail, {**entry, "at": number}))
    return lines


@QUICK
@given(logs())
def test_a_log_as_it_was_written_has_no_fault_and_every_entry_is_read(lines: list[bytes]) -> None:
    assert audit.verify(b"".join(lines)) == []
    assert [entry["at"] for entry in audit.read(b"".join(lines))] == list(range(len(lines)))


@QUICK
@given(logs(2), st.data())
def test_a_changed_line_is_found(lines: list[bytes], data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(lines) - 2))
    entry = json.loads(lines[number])
    entry["why"] += "!"
    changed = json.dumps(entry, ensure_ascii=True, sort_keys=True).encode() + b"\n"
    faults = audit.verify(b"".join([*lines[:number], changed, *lines[number + 1 :]]))
    assert [fault.number for fault in faults] == [number + 1, number + 2]


def _changed(line: bytes) -> bytes:
    entry = json.loads(line) | {"why": "another reason"}
    return json.dumps(entry, ensure_ascii=True, sort_keys=True).encode() + b"\n"


@QUICK
@given(logs(1))
def test_a_change_of_the_last_line_is_found(lines: list[bytes]) -> None:
    faults = audit.verify(b"".join([*lines[:-1], _changed(lines[-1])]))
    assert [fault.number for fault in faults] == [len(lines)]


def _as_before(entries: list[str]) -> list[bytes]:
    """A log of an older opsnb, whose lines have no digest of their own."""
    lines, last = [], b""
    for what in entries:
        entry = {"what": what, "prev": audit.digest(last)}
        last = json.dumps(entry, ensure_ascii=True, sort_keys=True).encode()
        lines.append(last + b"\n")
    return lines


def test_the_log_of_an_older_version_holds_and_is_gone_on_with() -> None:
    """The control: of such a log a change of the last line is not found."""
    lines = _as_before(["deploy.begin", "deploy.done"])
    assert audit.verify(b"".join(lines)) == []
    assert audit.verify(lines[0] + _changed(lines[1])) == []
    assert len(audit.verify(_changed(lines[0]) + lines[1])) == 1
    more = audit.line(lines[-1].rstrip(b"\n"), {"what": "rollback.done", "why": ""})
    assert audit.verify(b"".join([*lines, more])) == []
    assert len(audit.verify(b"".join([*lines, _changed(more)]))) == 1


def test_a_line_without_a_digest_of_its_own_does_not_follow_one_that_has_it() -> None:
    first = audit.line(b"", {"what": "deploy.begin"})
    bare = {"what": "deploy.done", "prev": audit.digest(first.rstrip(b"\n"))}
    line = json.dumps(bare, ensure_ascii=True, sort_keys=True).encode() + b"\n"
    assert [fault.number for fault in audit.verify(first + line)] == [2]


@QUICK
@given(logs(1), st.data())
def test_a_changed_byte_is_found(lines: list[bytes], data: st.DataObject) -> None:
    lines = [*lines, audit.line(lines[-1].rstrip(b"\n"), {"what": "end"})]
    log = bytearray(b"".join(lines))
    last = len(b"".join(lines[:-1]))
    place = data.draw(st.integers(0, last - 1))
    log[place] ^= data.draw(st.sampled_from([1, 2, 4, 32, 128]))
    assert audit.verify(bytes(log))


@QUICK
@given(logs(2), st.data())
def test_a_dropped_line_is_found(lines: list[bytes], data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(lines) - 2))
    assert audit.verify(b"".join(lines[:number] + lines[number + 1 :]))


@QUICK
@given(logs(2), st.data())
def test_swapped_lines_are_found(lines: list[bytes], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(lines) - 2))
    second = data.draw(st.integers(first + 1, len(lines) - 1))
    lines[first], lines[second] = lines[second], lines[first]
    assert audit.verify(b"".join(lines))


@QUICK
@given(logs(1), st.data())
def test_an_inserted_or_repeated_line_is_found(lines: list[bytes], data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(lines) - 1))
    forged = data.draw(st.sampled_from([lines[number], b"\n", b"{}\n", b"[]\n", b"junk\n"]))
    assert audit.verify(b"".join([*lines[:number], forged, *lines[number:]]))


def test_a_line_that_was_cut_off_is_found_and_read_as_unreadable() -> None:
    whole = audit.line(b"", {"what": "deploy.begin"})
    torn = whole + audit.line(whole.rstrip(b"\n"), {"what": "deploy.done"})[:20]
    assert [fault.number for fault in audit.verify(torn)] == [2]
    assert [entry["what"] for entry in audit.read(torn)] == ["deploy.begin", "unreadable"]


@pytest.mark.parametrize("line", [b"[" * 100_000, b"\xff\xfe", b"3", b"null", b'"x"'])
def test_a_line_made_to_break_the_reader_is_a_fault(line: bytes) -> None:
    assert [fault.number for fault in audit.verify(line + b"\n")] == [1]
    assert audit.read(line + b"\n") == [{"what": "unreadable"}]


def test_a_line_is_ascii_so_that_no_text_of_an_entry_can_break_it() -> None:
    line = audit.line(b"", {"why": "a\n\r\u2028\x85 é"})
    assert line.isascii()
    assert len(line.splitlines()) == 1
