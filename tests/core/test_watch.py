"""What a watchdog is told, the lines of its log, and what a mark means to whoever finds it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from opsnb.core import audit, checks, watch
from opsnb.core.config import Settings
from opsnb.core.doctor import examine
from opsnb.core.marks import Intent, Watch
from opsnb.core.plan_rollback import plan_rollback
from opsnb.core.recovery import plan_recovery
from opsnb.core.release import Current, CurrentKind, Site, State
from opsnb.errors import ConfigError, NotReady
from tests.core.worlds import NOW, release

OLD, BEFORE, NEW = "20260325120000", "20260325130000", "20260325140000"
MARK = Watch(17, "deploy", NEW, BEFORE, 60, "ada", "laptop", "2026-03-25T14:00:00Z")


def site(live: str = NEW, *marks: Watch, state: State = State.UNCONFIRMED, **more: Any) -> Site:
    releases = (
        release(OLD, 1, live=live == OLD),
        release(BEFORE, 2, live=live == BEFORE),
        release(NEW, 3, state, live=live == NEW),
    )
    current = Current(CurrentKind.RELEASE, f"releases/{live}".encode(), live)
    tools = frozenset(("setsid", "curl"))
    made = Site("/srv/shop", exists=True, ours=True, releases=releases, current=current)
    return replace(made, watches=marks, tools=tools, **more)


# --- what it is told -----------------------------------------------------------------------------


def filled(told: dict[str, str], name: str, previous: bytes) -> bytes:
    """A line as ``entry`` of watchdog.sh makes it."""
    before = hashlib.sha256(previous).hexdigest()
    text = f"{told[name + '_at']}2026-03-25T14:01:00Z{told[name + '_prev']}{before}"
    text += told[name + "_self"]
    own = hashlib.sha256((text + told[name + "_rest"]).encode()).hexdigest()
    return f'{text}"self": "{own}", {told[name + "_rest"]}'.encode()


def test_the_lines_that_a_shell_puts_together_are_those_of_the_log() -> None:
    odd = replace(MARK, by='a"d\\a é\u202e', host="$(x) `y` 'z'")
    told = dict(watch.guarded(odd, None).told)
    first = audit.line(b"", {"what": "deploy.intent", "at": "x"}).rstrip(b"\n")
    second = filled(told, "begun", first)
    third = filled(told, "done", second)
    log = b"\n".join([first, second, third, b""])
    assert audit.verify(log) == []
    entries = audit.read(log)
    assert (entries[2]["what"], entries[2]["by"]) == ("deploy.restored", odd.by)
    assert (entries[2]["watchdog"], entries[2]["live"]) == (60, BEFORE)
    again = audit.line(second, {k: v for k, v in entries[2].items() if k not in ("prev", "self")})
    assert again == third + b"\n"
    # The control: of another line before it, it is no next one.
    assert audit.verify(b"\n".join([first, third, b""])) != []


def test_a_watchdog_is_told_lines_and_no_line_break() -> None:
    record = release(NEW, 3, State.UNCONFIRMED, source="a\nb").record
    told = watch.guarded(MARK, record).told
    assert all("\n" not in text and "\0" not in text for text in told.values())
    bad = json.loads(told["guard_bad"])
    assert (bad["state"], bad["verdict"]["why"]) == ("bad", "not confirmed within 60 s")
    intent = Intent.decode(told["guard_intent"])
    assert (intent.verb, intent.name, intent.previous) == ("restore", BEFORE, NEW)
    assert watch.guarded(MARK, None).told["guard_bad"] == ""


def test_a_mark_is_read_as_it_was_written() -> None:
    assert Watch.decode(MARK.encode(), fired=False, alive=True) == MARK
    for wrong in (b"", b"{}", b"[]", MARK.encode().replace(NEW.encode(), b"../../etc")):
        with pytest.raises(ValueError, match="mark"):
            Watch.decode(wrong, fired=False, alive=True)


# --- a mark that is found ------------------------------------------------------------------------

FIRED, DEAD = replace(MARK, fired=True), replace(MARK, alive=False)


@pytest.mark.parametrize(
    ("seen", "waiting", "died", "was_back"),
    [
        (site(NEW), False, False, False),
        (site(NEW, MARK), True, False, False),
        (site(NEW, FIRED), True, False, False),
        (site(NEW, replace(FIRED, alive=False)), True, False, False),
        (site(NEW, DEAD), False, True, False),
        (site(BEFORE, MARK), False, False, False),
        (site(BEFORE, FIRED), False, False, True),
        (site(OLD, MARK), False, False, False),
        (site(NEW, replace(MARK, previous="20200101000000")), False, True, False),
    ],
)
def test_a_mark_means_what_is_live_and_who_is_alive(
    seen: Site, waiting: bool, died: bool, was_back: bool
) -> None:
    found = (watch.waiting(seen), watch.died(seen), watch.was_put_back(seen))
    assert tuple(map(bool, found)) == (waiting, died, was_back)


def test_the_latest_mark_counts_and_all_are_cleared() -> None:
    seen = site(NEW, replace(MARK, token=3, release=OLD), MARK)
    assert seen.watch == MARK
    assert plan_recovery(seen, NOW).marks == tuple(
        f".opsnb/watch/{name}" for name in ("3", "3.fired", "17", "17.fired")
    )


def test_a_release_that_a_watchdog_put_back_is_kept_and_marked_bad() -> None:
    """Also when its record could not be written: it was live, so it is no debris."""
    intent = Intent("deploy", NEW, BEFORE, "ada", "now")
    recovery = plan_recovery(site(BEFORE, FIRED, intent=intent), NOW)
    assert recovery.discard == ()
    assert [(r.name, r.state) for r in recovery.records] == [(NEW, State.BAD)]
    # The control: one that never was live is cleared.
    assert plan_recovery(site(BEFORE, MARK, intent=intent), NOW).discard == (NEW,)


def test_who_looks_is_told() -> None:
    for seen, well, words in (
        (site(NEW, MARK), True, "awaits its confirmation"),
        (site(NEW, DEAD), False, "never confirmed"),
    ):
        finding = next(found for found in examine(seen) if found.item == "watchdog")
        assert (finding.ok, words in finding.found) == (well, True)
        assert any(words in said for said in checks.cautions(seen, Settings.model_validate({})))
    assert not [found for found in examine(site(NEW)) if found.item == "watchdog"]


# --- in a plan -----------------------------------------------------------------------------------


def test_a_plan_arms_the_watchdog_where_there_is_something_to_put_back() -> None:
    settings = Settings.model_validate({"watchdog": 60})
    plan = plan_rollback(site(NEW, state=State.GOOD), settings)
    assert plan.watchdog == 60
    assert checks.watchdog_shown(plan) == f"puts {NEW} back unless confirmed within 60 s"
    nothing = replace(site(NEW), current=Current())
    assert checks.armed(nothing, settings) == 0
    assert "no watchdog" in next(iter(checks.cautions(nothing, settings)))


def test_a_plan_says_when_the_checks_may_take_longer_than_the_watchdog_waits() -> None:
    check = {"command": "true", "timeout": 30, "retries": 3}
    settings = Settings.model_validate({"watchdog": 60, "health": [check]})
    assert any("123 s" in said for said in checks.cautions(site(NEW), settings))
    short = Settings.model_validate({"watchdog": 60, "health": [check | {"deadline": 30}]})
    assert not list(checks.cautions(site(NEW), short))


@pytest.mark.parametrize("seconds", [-1, 1, 4, 3601])
def test_a_watchdog_waits_for_5_to_3600_seconds(seconds: int) -> None:
    with pytest.raises(ValueError, match="watchdog"):
        Settings.model_validate({"watchdog": seconds})


def test_what_a_watchdog_needs_is_there_or_it_is_refused() -> None:
    settings = Settings.model_validate({"watchdog": 5})
    checks.refuse_checks(site(NEW), settings)
    with pytest.raises(NotReady, match="setsid"):
        checks.refuse_checks(replace(site(NEW), tools=frozenset()), settings)
    key = {"url": "http://a/", "headers": {"X": "${KEY}"}}
    with pytest.raises(ConfigError, match="KEY"):
        checks.refuse_checks(site(NEW), Settings.model_validate({"health": [key]}))
    listed = Settings.model_validate({"health": [key], "secrets": ["KEY"]})
    checks.refuse_checks(site(NEW), listed)
