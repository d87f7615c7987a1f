"""Which hooks run, which do not, and what is said of both."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from opsnb.core.config import Settings, parse
from opsnb.core.hooks import DEPLOY, ROLLBACK, at, deploy_hooks, due, users
from opsnb.core.settings.hooks import Hook
from opsnb.errors import ConfigError


def settings(**said: object) -> Settings:
    return Settings.model_validate(said)


def told(config: Settings, **how: object) -> list[tuple[str, str]]:
    return [(item.point, item.told) for item in due(config, DEPLOY, **how)]  # type: ignore[arg-type]


def test_hooks_are_in_the_order_of_their_points() -> None:
    config = settings(
        on_failure=["d"], after_publish=["c"], before_publish=["b"], before_deploy=["a"]
    )
    assert told(config) == [
        ("before_deploy", "run a"),
        ("before_publish", "run b"),
        ("after_publish", "run c"),
        ("on_failure", "run d"),
    ]


def test_a_rollback_runs_after_publish_and_then_its_own() -> None:
    config = settings(after_publish=["a"], after_rollback=["b"], before_publish=["never"])
    assert [item.hook.text for item in due(config, ROLLBACK)] == ["a", "b"]


@pytest.mark.parametrize(
    ("on", "first", "said"),
    [
        ("all", True, "run x"),
        ("all", False, "run x"),
        ("first", True, "run x"),
        ("first", False, "not run, only on the first deploy: x"),
        ("after_first", True, "not run, not on the first deploy: x"),
        ("after_first", False, "run x"),
    ],
)
def test_a_hook_may_be_for_the_first_deploy_or_for_all_others(
    on: str, first: bool, said: str
) -> None:
    config = settings(before_publish=[{"command": "x", "on": on}])
    assert told(config, first=first) == [("before_publish", said)]


def test_what_runs_once_is_left_to_the_first_server() -> None:
    config = settings(before_publish=[{"command": "migrate", "once": True}])
    assert told(config) == [("before_publish", "run migrate")]
    elsewhere = due(config, DEPLOY, once_at="web1")
    assert [item.told for item in elsewhere] == ["not run, once, on web1: migrate"]
    assert at(elsewhere, "before_publish") == ()


def test_where_and_as_whom_is_said() -> None:
    config = settings(
        before_publish=[
            {"command": "x", "where": "local"},
            {"command": "y\x1b[31m", "run_as": "www-data"},
        ]
    )
    assert [text for _, text in told(config)] == [
        "run x on this machine",
        "run y\\x1b[31m as www-data",
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('before_publish = [{ command = "x", file = "y" }]', "either command or file"),
        ("before_publish = [{ timeout = 3 }]", "either command or file"),
        ('before_publish = [{ command = "x", run_as = "a b" }]', "no name of a user"),
        ('before_publish = [{ command = "x", run_as = "-u" }]', "no name of a user"),
        ('after_publish = [{ command = "x", run_as = "a", where = "local" }]', "runs as you"),
        ('before_build = [{ command = "x", where = "server" }]', "where cannot be server"),
        ('after_publish = [{ command = "x", on = "never" }]', "after_publish"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_line(line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        parse(f"[project]\n{line}\n")
    assert "opsnb.toml:2: project." in str(refused.value)


def test_a_hook_of_a_build_runs_on_this_machine() -> None:
    config = settings(before_build=["x", {"command": "y"}])
    assert [hook.where for hook in config.before_build] == ["local", "local"]


def test_what_is_inherited_stays_what_it_was() -> None:
    text = (
        '[project]\nbefore_build = ["x"]\nafter_publish = [{ file = "a.sh", once = true }]\n'
        '[servers.web1]\nurl = "file:///srv/shop"\n'
    )
    config = parse(text).settings("web1")
    assert config.before_build == (Hook(command="x", where="local"),)
    assert config.after_publish == (Hook(file="a.sh", once=True),)


def test_hooks_of_a_build_are_left_out_where_nothing_is_built() -> None:
    config = settings(**{"before_build": ["make"], "before_publish": ["x"]})
    told = [item.told for item in deploy_hooks(config, built=False, first=True, once_at="")]
    assert told == ["not run, nothing is built: make on this machine", "run x"]
    # Where it was built they have run; also where hooks alone were run.
    told = [item.told for item in deploy_hooks(config, built=True, first=True, once_at="")]
    assert told == ["run x"]


@pytest.mark.parametrize("how", [{"once": True}, {"on": "first"}])
def test_a_build_is_of_no_server(how: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="of no server: leave on and once out"):
        settings(**{"before_build": [{"command": "make", **how}]})


def test_whom_hooks_run_as_is_each_of_them_once() -> None:
    hooks = [{"command": "x", "run_as": user} for user in ("app", "db", "app")]
    left_out = {"command": "x", "run_as": "never", "on": "first"}
    config = settings(**{"before_publish": [*hooks, "y", left_out]})
    assert users(due(config, ["before_publish"])) == ("app", "db")
