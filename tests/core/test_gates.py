"""What holds a change back: freezes, hours, and what was placed by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from opsnb.core import moments
from opsnb.core.config import Settings, parse
from opsnb.core.gates import Gates, examine, held_back
from opsnb.core.marks import FREEZE, Holder
from opsnb.core.release import Site
from opsnb.errors import ConfigError
from tests.core.worlds import NOW

SMALL = ("rollback", "pin", "unpin", "hold", "release", "freeze", "unfreeze")
LARGE = ("deploy", "promote", "prune", "adopt", "whatever comes later")


def gates(outside: str = "", **said: object) -> Gates:
    return Gates("web1", Settings.model_validate(said), outside)


@pytest.mark.parametrize("verb", SMALL)
def test_a_rollback_and_what_is_small_pass_a_freeze_and_the_hours(verb: str) -> None:
    assert gates(freeze="sale", windows=["Mon 00:00-00:01"]).refusal(verb, NOW) is None


@pytest.mark.parametrize("verb", LARGE)
def test_everything_else_is_held_back_by_a_freeze(verb: str) -> None:
    refusal = gates(freeze="sale\x1b[31m").refusal(verb, NOW)
    assert refusal
    assert "frozen: sale" in refusal.message
    assert "\x1b" not in refusal.message
    assert gates().refusal(verb, NOW) is None


def test_the_hours_hold_deploys_and_promotes_back_and_say_when_they_begin() -> None:
    office = gates(windows=["Mon-Fri 09:00-16:00"], timezone="Europe/Berlin")
    late = datetime(2026, 3, 27, 16, 0, tzinfo=UTC)
    for verb in ("deploy", "promote"):
        refusal = office.refusal(verb, late)
        assert refusal
        assert refusal.window
        assert "opens Mon 2026-03-30 09:00 CEST" in refusal.message
        assert "--outside-window" in refusal.hint
        assert office.refusal(verb, late - timedelta(hours=3)) is None
    for verb in ("prune", "adopt"):
        assert office.refusal(verb, late) is None


def test_a_reason_passes_the_hours_and_no_freeze() -> None:
    windows = ["Mon 09:00-09:01"]
    assert gates("the shop is down", windows=windows).refusal("deploy", NOW) is None
    assert gates("", windows=windows).refusal("deploy", NOW)
    assert gates("the shop is down", windows=windows, freeze="sale").refusal("deploy", NOW)


@pytest.mark.parametrize(
    ("kind", "passes"),
    [("", set()), (FREEZE, set(SMALL) - {"hold"}), ("of a later version", set())],
)
def test_a_hold_stops_all_and_a_freeze_lets_a_rollback_pass(kind: str, passes: set[str]) -> None:
    hold = Holder("ann", "laptop", "2026-03-25T12:00:00Z", "sale", kind=kind)
    for verb in (*SMALL, *LARGE):
        refusal = held_back(hold, verb, "web1")
        assert (refusal is None) == (verb in passes)
        assert held_back(None, verb, "web1") is None
        if refusal:
            assert "sale" in refusal.message


# --- what lies on the server -------------------------------------------------------------------


def test_a_plain_hold_is_written_as_it_always_was_and_an_old_one_can_be_read() -> None:
    old = {"who": "ann", "host": "laptop", "since": "2026", "why": "w", "token": 0, "pid": 0}
    assert json.loads(Holder("ann", "laptop", "2026", "w").encode()) == old
    read = Holder.decode(json.dumps(old))
    assert (read.kind, read.until, read.freezes) == ("", "", False)
    frozen = Holder("ann", "laptop", "2026", "w", kind=FREEZE, until="2026-12-27T09:00:00Z")
    assert Holder.decode(frozen.encode()) == frozen
    with pytest.raises(ValueError, match="not a holder"):
        Holder.decode(json.dumps({**old, "until": 5}))


@pytest.mark.parametrize(
    ("until", "over"),
    [
        ("", False),
        ("2026-03-25T14:00:01Z", False),
        ("2026-03-25T14:00:00Z", True),
        ("2020-01-01T00:00:00Z", True),
        ("2020-01-01T00:00:00", False),  # in no zone: nobody knows when
        ("never", False),
    ],
)
def test_a_hold_ends_by_itself_at_its_time_and_at_no_other(until: str, over: bool) -> None:
    hold = Holder("ann", "laptop", "2026", "w", until=until)
    seen = Site("/srv", hold=hold).at(NOW)
    assert (seen.hold, seen.lapsed) == ((None, hold) if over else (hold, None))


def test_when_it_ends_is_told_with_it() -> None:
    hold = Holder("ann", "l", "2026", "sale\n", kind=FREEZE, until="2026-12-27T09:00:00Z")
    assert hold.words == "frozen by ann@l since 2026 until 2026-12-27T09:00:00Z: sale\\x0a"


# --- what is configured ------------------------------------------------------------------------


def test_gates_are_inherited_and_the_nearest_wins() -> None:
    config = parse("""
[project]
freeze = "sale"
windows = ["Mon-Fri 09:00-16:00"]
timezone = "Europe/Berlin"
[environments.staging]
freeze = ""
windows = []
[servers.a]
url = "file:///srv/a"
[servers.b]
url = "file:///srv/b"
environment = "staging"
read_only = true
""")
    a, b = config.settings("a"), config.settings("b")
    assert (a.freeze, a.read_only, len(a.windows)) == ("sale", False, 1)
    assert (b.freeze, b.read_only, b.windows, b.timezone) == ("", True, (), "Europe/Berlin")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('windows = ["Mon-Foo 09:00-16:00"]', "no day of the week"),
        ('timezone = "Europe/Atlantis"', "no time zone"),
    ],
)
def test_a_wrong_key_is_named_with_file_line_and_key(line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse(f"[project]\n{line}\n")
    assert str(caught.value).startswith("opsnb.toml:2: project.")


def test_a_doctor_tells_of_gates_where_there_are_any() -> None:
    assert examine(gates(), "", NOW) == []
    found = examine(gates(freeze="sale", windows=["Wed 13:00-15:00"]), "it says so", NOW)
    assert [(one.item, one.ok) for one in found] == [
        ("gates", True),
        ("freeze", False),
        ("windows", True),
    ]
    assert "open now" in found[2].found
    (closed,) = examine(gates(windows=["Thu 13:00-15:00"]), "", NOW)
    assert "Thu 2026-03-26 13:00" in closed.found


# --- times as people write them ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2h", NOW + timedelta(hours=2)),
        ("1d12h 30m", NOW + timedelta(days=1, hours=12, minutes=30)),
        ("2026-12-27", datetime(2026, 12, 27, tzinfo=UTC)),
        ("2026-12-27 09:00", datetime(2026, 12, 27, 9, tzinfo=UTC)),
        ("2026-12-27T09:00+01:00", datetime(2026, 12, 27, 8, tzinfo=UTC)),
    ],
)
def test_a_time_is_a_length_or_a_moment(text: str, at: datetime) -> None:
    assert moments.until(text, UTC, NOW) == at


@pytest.mark.parametrize(
    "text", ["soon", "2x", "0m", "-2h", "2020-01-01", "2099-01-01", "9999999w", ""]
)
def test_what_is_no_time_or_over_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        moments.until(text, UTC, NOW)
