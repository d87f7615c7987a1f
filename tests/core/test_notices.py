"""What is told of a change, and to whom."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from opsnb.core import notices
from opsnb.core.config import Settings, default_file, parse
from opsnb.core.events import Outcome, Report
from opsnb.core.notices import About
from opsnb.core.settings.notices import Notice
from opsnb.errors import ConfigError

AT = "2026-03-25T14:00:00Z"
ABOUT = About("web1", "production", "ann@laptop")
TOKEN = "T0KEN/very/secret"
DONE = Report(
    "deploy",
    "web1",
    Outcome.DONE,
    release="20260325140000",
    previous="20260325120000",
    live="20260325140000",
    switched=True,
    seconds=3.21,
    revision="r1",
)
FAILED = Report("deploy", "web1", Outcome.NOT_DONE, error="no room", hint="prune", exit_status=20)


def notice(**said: object) -> Notice:
    return Notice.model_validate({"url_env": "HOOK", **said})


def test_the_end_of_a_deploy_is_told_with_all_that_one_wants_to_know() -> None:
    message = notices.ended(ABOUT, DONE, AT)
    assert message.title == "✓ deploy on web1 (production): done"
    assert message.lines == (
        "20260325140000 is live",
        "by ann@laptop",
        "20260325120000 → 20260325140000",
        "revision r1",
        "took 3.2 s",
    )
    assert message.data["report"] == DONE.to_dict()
    assert (message.data["opsnb"], message.data["event"]) == (1, "success")


def test_a_failure_is_told_with_its_error_and_what_to_do_and_no_control_character() -> None:
    report = Report("deploy", "w\x1b[31m", Outcome.NOT_DONE, error="no\nroom", hint="prune")
    message = notices.ended(About("w\x1b", "", "a"), report, AT)
    assert "error: no\\x0aroom" in message.text
    assert "next: prune" in message.text
    assert "\x1b" not in message.title + message.text


def test_a_very_long_error_is_cut() -> None:
    report = Report("deploy", "web1", Outcome.NOT_DONE, error="x" * 100_000)
    assert len(notices.ended(ABOUT, report, AT).text) < 5000


@pytest.mark.parametrize(
    ("report", "occasion"),
    [
        (DONE, "success"),
        (Report("promote", "w", Outcome.DONE), "success"),
        (Report("rollback", "w", Outcome.DONE), "rollback"),
        (Report("rollback", "w", Outcome.NOT_DONE, error="x"), "failure"),
        (FAILED, "failure"),
        (Report("deploy", "w", Outcome.NOT_RESTORED, error="x"), "failure"),
        (Report("deploy", "w", Outcome.UNKNOWN, error="x"), "failure"),
        (Report("deploy", "w", Outcome.RESTORED, error="x"), "restore"),
    ],
)
def test_an_end_is_told_as_what_it_is(report: Report, occasion: str) -> None:
    assert notices.occasion(report) == occasion
    message = notices.ended(ABOUT, report, AT)
    assert notices.wanted(notice(on=[occasion]), message, report)
    others = {"start", "success", "failure", "restore", "rollback"} - {occasion}
    assert not notices.wanted(notice(on=sorted(others)), message, report)


def test_a_beginning_is_told_to_who_asks_for_it_alone() -> None:
    message = notices.started(ABOUT, "deploy", AT)
    assert notices.wanted(notice(on=["start"]), message, None)
    assert not notices.wanted(notice(), message, None)


def test_where_there_was_nothing_to_do_only_they_hear_of_it_who_heard_it_begin() -> None:
    report = Report("deploy", "w", Outcome.NOTHING, live="x")
    message = notices.ended(ABOUT, report, AT)
    assert not notices.wanted(notice(), message, report)
    assert notices.wanted(notice(on=["start", "success"]), message, report)


def test_what_switches_nothing_is_not_told_of() -> None:
    assert [verb for verb in ("deploy", "promote", "rollback") if notices.tells_of(verb)] == [
        "deploy",
        "promote",
        "rollback",
    ]
    assert not any(map(notices.tells_of, ("pin", "hold", "freeze", "prune", "adopt")))


# --- addresses ---------------------------------------------------------------------------------


def test_an_address_comes_from_the_environment() -> None:
    environment = {"HOOK": f" https://x/{TOKEN}\n", "PART": TOKEN}
    whole, part = notice(), Notice.model_validate({"url": "slack://${PART}/#x"})
    assert notices.address(whole, environment) == f"https://x/{TOKEN}"
    assert notices.address(part, environment) == f"slack://{TOKEN}/#x"
    assert (notices.origin(whole), notices.origin(part)) == ("HOOK", "PART")
    assert notices.address(whole, {}) == notices.address(part, {"PART": ""}) == ""
    hidden = notices.hidden((whole, part), environment).masker()
    assert TOKEN not in hidden.text(f"a https://x/{TOKEN} b slack://{TOKEN}/#x c {TOKEN}")


def test_an_address_is_shown_by_nothing_that_is_configured() -> None:
    text = f'[project]\n[[project.notices]]\nurl = "https://x/{TOKEN}"\n'
    config = parse(text)
    for shown in (config, config.project, config.project.notices, config.model_dump()):
        assert TOKEN not in f"{shown!r} {shown}"
    assert TOKEN not in config.model_dump_json()
    # The control: it is there.
    assert notices.address(config.project.notices[0], {}) == f"https://x/{TOKEN}"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "give either url or url_env"),
        (f'url = "https://x/{TOKEN}"\nurl_env = "HOOK"', "give either url or url_env"),
        (f'url_env = "https://x/{TOKEN}"', "the name of a variable"),
        (f'url = "https://x/{TOKEN}"\non = ["sometimes"]', "start"),
        (f'url = "https://x/{TOKEN}"\nto = "me"', "no such key"),
        (f'url = ["{TOKEN}"]', "must be text"),
    ],
)
def test_what_is_wrong_is_said_without_the_address(lines: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse(f"[[project.notices]]\n{lines}\n")
    assert TOKEN not in str(caught.value)
    assert "project.notices.0" in str(caught.value)


def test_notices_are_inherited_and_the_nearest_list_wins() -> None:
    config = parse("""
[[project.notices]]
url_env = "ALL"
[[environments.production.notices]]
url_env = "LIVE"
on = ["failure"]
[servers.a]
url = "file:///srv/a"
[servers.b]
url = "file:///srv/b"
environment = "production"
[servers.c]
url = "file:///srv/c"
environment = "production"
notices = []
""")
    told = {name: [n.url_env for n in config.settings(name).notices] for name in "abc"}
    assert told == {"a": ["ALL"], "b": ["LIVE"], "c": []}


def test_the_default_file_tells_of_notices() -> None:
    assert "# [[project.notices]]" in default_file()
    assert "# url_env = " in default_file()


def test_settings_are_made_of_settings() -> None:
    """What is merged is validated anew, and a hidden value goes through that."""
    first = Settings.model_validate({"notices": [{"url": f"https://x/{TOKEN}"}]})
    again = Settings.model_validate(first.model_dump(by_alias=True))
    assert notices.address(again.notices[0], {}) == f"https://x/{TOKEN}"
    with pytest.raises(ValidationError):
        Notice.model_validate({"url": ""})
