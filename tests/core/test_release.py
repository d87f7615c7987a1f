"""Records, locks and intents: what is written can be read, and what cannot be read says so."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsnb.core.marks import Holder, Intent
from opsnb.core.release import (
    Current,
    CurrentKind,
    Record,
    Release,
    State,
    Verdict,
    of_commit,
    order,
    rollback_targets,
)
from tests.core import worlds

TEXT = st.text(max_size=8)
PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="/.%\0"), min_size=1, max_size=8)
COUNT = st.integers(0, 2**63 - 1)
VERDICTS = st.none() | st.builds(Verdict, TEXT, TEXT, TEXT, left=st.booleans())
STATES = st.sampled_from([state for state in State if state is not State.UNRECORDED])
RECORDS = st.builds(
    Record,
    name=PLAIN,
    seq=COUNT,
    state=STATES,
    at=TEXT,
    by=TEXT,
    host=TEXT,
    revision=TEXT,
    source=TEXT,
    author=TEXT,
    subject=TEXT,
    committed=TEXT,
    previous=TEXT,
    files=COUNT,
    size=COUNT,
    manifest=TEXT,
    links=st.lists(PLAIN, max_size=2).map(tuple),
    pinned=st.booleans(),
    adopted=st.booleans(),
    verdict=VERDICTS,
)
SWITCHES = st.sampled_from(["deploy", "rollback", "restore"])
INTENTS = st.builds(Intent, SWITCHES, PLAIN, st.just("") | PLAIN, TEXT, TEXT, TEXT)
HOLDERS = st.builds(Holder, TEXT, TEXT, TEXT, TEXT, COUNT, COUNT)
READABLE: list[type[Any]] = [Record, Holder, Intent]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(RECORDS | INTENTS | HOLDERS)
def test_reading_what_was_written_gives_the_same(made: Any) -> None:
    text = made.encode()
    assert type(made).decode(text) == made
    assert type(made).decode(text.decode()) == made
    assert text.endswith(b"\n")
    assert text.count(b"\n") == 1
    assert text.isascii()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(RECORDS | INTENTS | HOLDERS, st.data())
def test_what_was_cut_off_is_no_longer_readable(made: Any, data: st.DataObject) -> None:
    text = made.encode().rstrip(b"\n")
    with pytest.raises(ValueError, match=r"^not an? "):
        type(made).decode(text[: data.draw(st.integers(0, len(text) - 1))])


@pytest.mark.parametrize("kind", READABLE)
def test_what_a_later_version_wrote_besides_is_passed_over(kind: type[Any]) -> None:
    written: dict[type[object], Record | Holder | Intent] = {
        Record: Record("a", 1, State.GOOD, verdict=Verdict("a", "b", "c", True)),
        Holder: Holder("ann", "desk", "now", "why", 1, 2),
        Intent: Intent("deploy", "a", "b", "ann", "now"),
    }
    made = written[kind]
    data = json.loads(made.encode())
    data["later"] = {"deep": [1]}
    if kind is Record:
        data["verdict"]["later"] = 1
    assert kind.decode(json.dumps(data)) == made


@pytest.mark.parametrize("kind", READABLE)
@pytest.mark.parametrize("text", ["", "[]", "3", "null", '"x"', "{}", "{", "[" * 100_000, "\x00"])
def test_what_is_something_else_raises_a_value_error(kind: type[Any], text: str) -> None:
    with pytest.raises(ValueError, match=r"^not an? "):
        kind.decode(text)
    with pytest.raises(ValueError, match=r"^not an? "):
        kind.decode(text.encode() + b"\xff")


WHOLE = json.loads(Record("20260325120000", 1, State.BAD).encode())


@pytest.mark.parametrize(
    "wrong",
    [
        {"revision": None},
        {"by": 3},
        {"at": 5},
        {"seq": "1"},
        {"seq": -1},
        {"seq": True},
        {"seq": 1.5},
        {"files": "many"},
        {"size": 2**63},
        {"links": "abc" * 0 + "x", "pinned": "yes"},
        {"links": [1]},
        {"links": None},
        {"state": "splendid"},
        {"verdict": "bad"},
        {"verdict": {"by": "x"}},
        {"verdict": [1]},
        {"name": None},
    ],
)
def test_a_record_with_a_value_of_another_kind_is_no_record(wrong: dict[str, object]) -> None:
    Record.decode(json.dumps(WHOLE))
    with pytest.raises(ValueError, match="not a record"):
        Record.decode(json.dumps({**WHOLE, **wrong}))


def test_an_error_about_a_record_is_safe_to_show() -> None:
    with pytest.raises(ValueError, match="not a record") as caught:
        Record.decode(b'{"name": "\x1b[2J')
    assert "\x1b" not in str(caught.value)


def test_a_holder_is_shown_safely() -> None:
    assert str(Holder("a\x1b", "h\n", "now", "w\u202e")) == "a\\x1b@h\\x0a since now: w\\u202e"


def test_a_record_can_be_marked_bad_and_good_again() -> None:
    record = Record("a", 1, State.GOOD)
    bad = record.bad("ann", "now", "slow", left=True)
    assert (bad.state, bad.verdict) == (State.BAD, Verdict("ann", "now", "slow", True))
    assert bad.good() == record


def test_a_directory_alone_proves_nothing() -> None:
    stranger = Release("20260325120000")
    assert (stranger.state, stranger.seq, stranger.complete) == (State.UNRECORDED, 0, False)
    assert not stranger.pinned


@pytest.mark.parametrize("state", [*State])
def test_only_what_its_record_calls_complete_is_complete(state: State) -> None:
    if state is State.UNRECORDED:
        return
    made = worlds.release("a", 1, state)
    assert made.complete is (state is not State.UNFINISHED)
    assert not replace(made, present=False).complete


def test_releases_are_ordered_by_their_counter_and_strangers_come_first() -> None:
    listed = [worlds.release("b", 2), worlds.release("a", 3), worlds.release("c", 1)]
    strangers = [Release("10"), Release("9"), Release("z")]
    names = [release.name for release in order([*listed, *strangers])]
    assert names == ["z", "9", "10", "c", "b", "a"]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(STATES, st.booleans(), st.booleans()), max_size=6), st.data())
def test_rollback_targets_are_good_whole_and_before_the_live_one(
    drawn: list[tuple[State, bool, bool]], data: st.DataObject
) -> None:
    chosen = data.draw(st.integers(-1, len(drawn) - 1))
    releases = [
        replace(
            worlds.release(f"2026032512000{number}", number + 1, state, live=number == chosen),
            present=present or number == chosen,
            real=real,
        )
        for number, (state, present, real) in enumerate(drawn)
    ]
    site = worlds.site(*releases)
    targets = rollback_targets(site)
    assert [t.seq for t in targets] == sorted((t.seq for t in targets), reverse=True)
    for target in targets:
        assert target.state is State.GOOD
        assert target.present
        assert target.real
        assert not target.live
        assert site.live is None or target.seq < site.live.seq
    missed = [r for r in releases if r.state is State.GOOD and r.present and r.real and not r.live]
    before = [r for r in missed if site.live is None or r.seq < site.live.seq]
    assert len(before) == len(targets)


def test_whatever_a_plan_rests_on_changes_the_sites_state() -> None:
    site = worlds.site(worlds.release("a", 1), worlds.release("b", 2, live=True))
    others = [
        replace(site, current=Current(CurrentKind.RELEASE, name="a")),
        replace(site, current=Current(CurrentKind.DANGLING)),
        replace(site, releases=site.releases[:1]),
        replace(site, releases=(*site.releases, Release("x"))),
        worlds.site(worlds.failed("a", 1), worlds.release("b", 2, live=True)),
        worlds.site(worlds.release("a", 1, pinned=True), worlds.release("b", 2, live=True)),
        worlds.site(replace(site.releases[0], present=False), worlds.release("b", 2, live=True)),
    ]
    ids = [item.state_id for item in (site, *others)]
    assert len(set(ids)) == len(ids)
    assert replace(site, free_bytes=1, debris=3).state_id == site.state_id


@pytest.mark.parametrize(
    ("entries", "tool"),
    [
        ({b".dep": "d"}, "Deployer"),
        ({b"revisions.log": "f"}, "Capistrano"),
        ({b"repo": "d"}, "Capistrano"),
        ({}, "another tool"),
    ],
)
def test_whose_layout_it_is_is_told_by_what_stands_there(
    entries: dict[bytes, str], tool: str
) -> None:
    assert worlds.site(Release("1"), ours=False, entries=entries).made_by == tool
    assert worlds.site(ours=False, entries=entries).made_by == ""
    assert worlds.site(Release("1"), ours=True, entries=entries).made_by == "opsnb"


def test_a_record_of_an_older_opsnb_knows_no_commit() -> None:
    old = {
        key: value for key, value in WHOLE.items() if key not in ("author", "subject", "committed")
    }
    found = Record.decode(json.dumps(old))
    assert (found.author, found.subject, found.committed) == ("", "", "")
    assert of_commit(found) == {}
