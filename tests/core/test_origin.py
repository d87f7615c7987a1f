"""What commits say of themselves, and what a configuration may ask git and a build for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from opsnb.core import facts, origin
from opsnb.core.config import Settings, parse
from opsnb.core.origin import Commit, Origin, Past
from opsnb.errors import ConfigError
from tests.core import worlds

ID, OTHER = "a" * 40, "b" * 40


def told(*commits: tuple[str, str, str, str]) -> bytes:
    return "\n".join("\0".join(parts) + "\0" for parts in commits).encode()


def test_what_git_tells_of_commits_is_read() -> None:
    assert origin.commits(told((ID, "Ada", "0", "One"), (OTHER, "", "x", ""))) == (
        Commit(ID, "Ada", "1970-01-01T00:00:00Z", "One"),
        Commit(OTHER),
    )
    assert origin.commits(b"") == ()


@pytest.mark.parametrize("text", [b"x\0", told(("HEAD", "Ada", "0", "One"))])
def test_what_makes_no_sense_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="git told of"):
        origin.commits(text)


def test_an_endless_subject_is_cut_and_an_odd_time_is_none() -> None:
    (commit,) = origin.commits(told((ID, "a" * 999, "9" * 30, "s" * 999)))
    assert (len(commit.author), len(commit.subject), commit.at) == (200, 200, "")


@pytest.mark.parametrize(
    ("revision", "commit", "short"),
    [
        (ID, ID, "a" * 10),
        (f"{ID}-dirty", ID, "a" * 10 + "-dirty"),
        ("v1.2", "", "v1.2"),
        ("", "", ""),
    ],
)
def test_a_revision_may_name_a_commit(revision: str, commit: str, short: str) -> None:
    assert origin.commit_of(revision) == commit
    assert origin.short(revision) == short


@pytest.mark.parametrize(
    ("url", "shown", "login"),
    [
        ("https://token@example.com/a@b.git", "https://example.com/a@b.git", "token"),
        ("https://example.com/a@b.git", "https://example.com/a@b.git", ""),
        ("ssh://git@example.com/a", "ssh://git@example.com/a", ""),
        ("git@example.com:a", "git@example.com:a", ""),
        ("/srv/a@b", "/srv/a@b", ""),
    ],
)
def test_who_logs_in_by_http_is_not_shown(url: str, shown: str, login: str) -> None:
    assert origin.without_login(url) == shown
    assert origin.login(url) == login


@pytest.mark.parametrize(
    ("past", "words"),
    [
        (Past(ID, "same"), "none: it is aaaaaaaaaa, too"),
        (Past(ID, "on", (Commit(OTHER),), 3), "4 commits since aaaaaaaaaa"),
        (Past(ID, "back", (Commit(ID),), 0, 1), "goes back: without 1 commit of aaaaaaaaaa"),
        (
            Past(ID, "apart", (Commit(OTHER),), 0, 2),
            "1 commit more than aaaaaaaaaa, but without 2 commits of it",
        ),
        (Past("v1\x1b", "unknown"), "not known: v1\\x1b, which is live, is not in the repository"),
    ],
)
def test_the_way_is_told_in_words(past: Past, words: str) -> None:
    first, *listed = facts.past_lines(past)
    assert first == words
    assert len(listed) == len(past.commits) + bool(past.more)


def test_a_plan_tells_its_commit_its_past_and_its_build() -> None:
    evil = Commit(ID, "\x1b[31mAda", "2026-03-25T12:00:00Z", "\u202eOpen\n")
    made = Origin(
        evil, build=("npm \x07ci",), isolation="not isolated: x", seconds=2, notes=("n\x00",)
    )
    plan = replace(
        worlds.deploy(worlds.tree(worlds.file("a"))), origin=made, past=Past(OTHER, "on", (evil,))
    )
    found = {fact.title: fact.text for fact in facts.plan_facts(plan)}
    assert found["source"] == "aaaaaaaaaa \\u202eOpen\\x0a (\\x1b[31mAda, 2026-03-25)"
    assert found["build"] == "npm \\x07ci (not isolated: x, 2.0 s)"
    assert found["commits"] == "1 commit since bbbbbbbbbb"
    text = facts.plan_text(plan, "web1")
    assert not {"\x1b", "\u202e", "\x07", "\x00"} & set(text)


# --- settings ----------------------------------------------------------------------------------


def settings(**said: Any) -> Settings:
    return Settings.model_validate(said)


def test_what_may_stand_alone_is_a_list_of_one() -> None:
    found = settings(build="make", cache={"paths": ["a/"]})
    assert found.build == ("make",)
    assert found.cache[0].paths == ("a",)
    assert settings(output="./dist/").output == "dist"
    assert settings(output="./").output == "."
    assert settings(subdirectory="web/").subdirectory == "web"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"source": "a", "git": "b"}, "either source or git"),
        ({"output": "../out"}, "not a path inside"),
        ({"subdirectory": "/etc"}, "not a path inside"),
        ({"cache": {"paths": []}}, "at least 1 item"),
        ({"cache": {"paths": ["../x"]}}, "not a path inside"),
        ({"cache": {"paths": ["a", "a/b"]}}, "cached twice"),
        ({"cache": [{"paths": ["a"]}, {"paths": ["a"]}]}, "cached twice"),
        ({"env": {"LD_PRELOAD": "x"}}, "no variable of a build"),
        ({"env": {"OPSNB_REVISION": "x"}}, "no variable of a build"),
        ({"env": {"a-b": "x"}}, "no variable of a build"),
        ({"build_secrets": ["HOME"]}, "no name for a variable"),
        ({"build": [""]}, "at least 1 character"),
        ({"container": "--privileged"}, "no image of a container"),
        ({"network": False, "isolation": "none"}, "network = false needs isolation"),
        ({"build_timeout": 0}, "greater than 0"),
        ({"isolation": "much"}, "Input should be"),
    ],
)
def test_what_does_not_fit_is_refused(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        settings(**said)


def test_the_nearest_source_wins_whatever_its_kind() -> None:
    config = parse(
        '[project]\nsource = "dist"\n[environments.live]\ngit = "."\n'
        '[servers.one]\nurl = "file:///a"\n[servers.two]\nurl = "file:///b"\nenvironment = "live"\n'
        '[servers.three]\nurl = "file:///c"\nenvironment = "live"\nsource = "other"\n'
    )
    found = [config.settings(name) for name in ("one", "two", "three")]
    assert [(one.source, one.git) for one in found] == [("dist", ""), ("", "."), ("other", "")]


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="a password does not belong") as caught:
        parse('[project]\ngit = "https://ann:hunter2hunter2@example.com/a.git"\n')
    assert "hunter2" not in str(caught.value)
