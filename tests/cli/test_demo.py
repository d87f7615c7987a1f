"""The story in a terminal: it tells what happened, and only what happened."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Callable
from io import StringIO

from opsnb.cli import scene, show
from opsnb.cli.story import STEPS
from opsnb.project import demo
from tests.cli.conftest import COLOR, CONTROL, Shell, Terminal


def test_the_story_comes_true_and_is_told_without_a_terminal(shell: Shell) -> None:
    ran = shell("demo")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    assert not CONTROL.search(ran.stdout)
    for said in ("0 failed", "0 mixed", "✕ bad", "● live", "put back", "All of it came true"):
        assert said in ran.stdout
    assert all(step.title in ran.stdout for step in STEPS.values())
    assert max(map(len, ran.stdout.split("What is there now")[0].splitlines())) <= 120


def test_the_facts_are_one_document_and_keep_leaves_the_site_running_until_an_interrupt(
    shell: Shell,
) -> None:
    process = shell.start("demo", "--keep", "--json")
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "}\n")
    told = json.loads("".join(lines) + "}")
    assert told["as_told"]
    assert [step["report"]["outcome"] for step in told["steps"]] == [
        "done", "done", "restored", "done"
    ]  # fmt: skip
    assert [step["live_version"] for step in told["steps"]] == ["v1", "v2", "v2", "v1"]
    visitors = told["visitors"]
    assert visitors["served"] > 20
    assert (visitors["failed"], visitors["mixed"]) == (0, 0)
    assert len(told["releases"]) == 3
    with urllib.request.urlopen(told["web_url"], timeout=5) as answer:
        assert b"end v1" in answer.read()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")


def test_the_command_for_pasting_is_one_line_however_narrow_the_terminal_is() -> None:
    page = show.Page(file=StringIO(), force_terminal=True, width=40, color_system=None)
    with demo() as project:
        page.lines(scene.staying(project))
        page.lines(["  " + "word " * 20])
        config, url = project.embedded.ssh_config, project.server("demo").url
    lines = page.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert f"  opsnb --ssh-config {config} releases {url}" in lines
    # The control: what is no command goes on below.
    assert max(len(line) for line in lines if "word" in line) <= 40


def test_the_story_on_a_terminal_is_coloured_fits_and_ends_with_an_interrupt(
    shell: Shell, terminal: Callable[..., Terminal]
) -> None:
    story = terminal("demo", TMPDIR=str(shell.folder))
    story.until(" is live")
    story.type("\x03")
    assert story.end() == 130
    assert COLOR.search(story.seen)
    assert max(map(len, story.text.splitlines())) <= 80
    assert list(shell.folder.iterdir()) == []
