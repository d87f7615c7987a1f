"""The way of a fresh process to its first packet: what is loaded on it, and what is left undone."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import click
import pytest
from click.testing import CliRunner

from opsnb.cli import live
from opsnb.cli.border import Border
from opsnb.cli.brief import brief, settled
from opsnb.cli.main import VERBS, opsnb
from opsnb.core.events import Ended, Event, Outcome, Report, Started
from opsnb.embedded.sshd import EmbeddedServer
from opsnb.job import Job, Ran
from opsnb.loop import LOOP
from tests.cli.conftest import Shell

# Libraries that may be loaded before the connection is begun, with what they load themselves. Of
# those that asyncssh uses where they are installed, none is ours to keep out.
BEGUN = {
    "click": set(),
    "asyncssh": {
        "bcrypt",
        "cffi",
        "cryptography",
        "fido2",
        "gssapi",
        "pkcs11",
        "typing_extensions",
    },
}
# And afterwards, while the server is waited for: the configuration is checked, and a machine told.
TOLD = {**BEGUN, "pydantic": {"annotated_types", "pydantic_core", "typing_inspection"}}
ENDED = {**TOLD, "rich": {"markdown_it", "mdurl", "pygments"}}
CHANGED = {**ENDED, "pathspec": set(), "zstandard": set()}
# Modules of our own that may be loaded before the connection is begun.
OURS = {
    *("opsnb", "opsnb.errors", "opsnb.loop", "opsnb.project"),
    *(f"opsnb.server{name}" for name in ("", ".changes", ".here", ".link", ".planning", ".plans")),
    *("opsnb.server.opening", "opsnb.server.questions"),
    *("opsnb.notebook", "opsnb.notebook.mode"),
    *(f"opsnb.cli{name}" for name in ("", ".main", ".border", ".brief", ".options", ".streams")),
    *(
        "opsnb.cli.json_out",
        "opsnb.cli.look",
        "opsnb.cli.change",
        "opsnb.cli.ask",
        "opsnb.cli.live",
    ),
    *(
        f"opsnb.core{name}"
        for name in (
            "",
            ".address",
            ".layout",
            ".links",
            ".manifest",
            ".marks",
            ".numbers",
            ".release",
            ".written",
        )
    ),
    *("opsnb.core.text", "opsnb.core.unchecked", "opsnb.core.usage"),
}
REMOTE = "opsnb.remote"  # all of it: it is what connects

PROGRAM = """
import json, sys
from opsnb.cli.main import main
from opsnb.loop import LoopThread
submit, loaded = LoopThread.submit, []
def first(self, work):
    {on_the_way}
    loaded or loaded.append(sorted(sys.modules))
    return submit(self, work)
LoopThread.submit = first
place = sys.argv.pop(1)
try:
    main()
finally:
    loaded.append(sorted(sys.modules))
    with open(place, "w") as file:
        json.dump(loaded, file)
"""


@dataclass
class Cold:
    """Runs a verb as a fresh process that says what it has loaded."""

    shell: Shell
    server: EmbeddedServer

    def __call__(self, *args: str, on_the_way: str = "pass") -> tuple[set[str], set[str]]:
        """Modules that were loaded when the connection was begun, and at the end."""
        place = self.shell.folder / "loaded.json"
        program = PROGRAM.format(on_the_way=on_the_way)
        verb, *more = args
        site = f"ssh://{self.server.user}@127.0.0.1:{self.server.port}{self.shell.deploy_to}"
        python = [sys.executable, "-W", "error", "-c", program, str(place)]
        config = ["--ssh-config", str(self.server.ssh_config)]
        ran = self.shell.program(*python, *config, verb, site, *more)
        assert ran.returncode == 0, ran.stderr
        begun, ended = json.loads(place.read_text())
        return set(begun), set(ended)


@pytest.fixture
def cold(shell: Shell, sshd: EmbeddedServer) -> Cold:
    return Cold(shell, sshd)


def strays(loaded: Iterable[str], may: dict[str, set[str]]) -> set[str]:
    """Libraries among the loaded modules that are neither Python's own nor allowed."""
    allowed = {"opsnb", *may, *(part for parts in may.values() for part in parts)}
    tops = {name.partition(".")[0] for name in loaded}
    return {
        top for top in tops - allowed if top not in sys.stdlib_module_names and not _is_start(top)
    }


def _is_start(top: str) -> bool:
    """Whether it is there in every process: site's own, and compiled modules of libraries."""
    return top.startswith("_") or top in bare()


@cache
def bare() -> set[str]:
    program = "import sys; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return {name.partition(".")[0] for name in ran.stdout.decode().split()}


def ours(loaded: Iterable[str]) -> set[str]:
    """Modules of our own among the loaded ones that may not be there before the connection is."""
    return {
        name
        for name in loaded
        if name.partition(".")[0] == "opsnb"
        if name not in OURS and not name.startswith(REMOTE)
    }


def test_a_question_loads_nothing_it_does_not_need(cold: Cold) -> None:
    begun, ended = cold("releases")
    assert (strays(begun, BEGUN), ours(begun)) == (set(), set())
    assert "asyncssh" in begun
    assert strays(ended, ENDED) == set()
    assert not {name for name in ended if name.startswith(("opsnb.engine", "opsnb.cli.story"))}


@pytest.mark.parametrize("verb", ["deploy", "rollback"])
def test_a_change_loads_nothing_it_does_not_need(cold: Cold, verb: str) -> None:
    for name in ("v1", "v2"):
        begun, ended = cold("deploy", cold.shell.source(name), "--yes")
    if verb == "rollback":
        begun, ended = cold("rollback", "--yes")
    assert (strays(begun, BEGUN), ours(begun)) == (set(), set())
    assert strays(ended, CHANGED) == set()
    assert "opsnb.engine.change" in ended


def test_what_a_machine_reads_needs_no_rich(cold: Cold) -> None:
    _, ended = cold("releases", "--json")
    assert strays(ended, TOLD) == set()


def test_the_control_what_is_not_needed_is_found(cold: Cold) -> None:
    begun, ended = cold("releases", on_the_way="import pandas, opsnb.engine.deploy")
    assert {"pandas", "numpy", "pathspec"} <= strays(begun, BEGUN)
    assert {"pandas", "numpy"} <= strays(ended, CHANGED)
    assert "opsnb.engine.deploy" in ours(begun)
    assert "rich" in strays(ended, BEGUN)


OFFERS = """
import os, sys
from opsnb.cli.main import main
asked = []
def note(event, args):
    if event == "open" and str(args[0]).endswith("entry_points.txt"):
        asked.append(args[0])
sys.addaudithook(note)
try:
    main()
finally:
    print(len(asked), os.environ.get("PYDANTIC_DISABLE_PLUGINS"), file=sys.stderr)
"""


@pytest.mark.parametrize("said", [None, "some-plugin"])
def test_no_package_is_asked_what_it_offers(shell: Shell, said: str | None) -> None:
    """Of many packages that takes longer than the rest; and a plugin would be others' code."""
    shell.deployed("v1")
    words = ("deploy", shell.server, shell.source("v2"), "--yes")
    more = {"PYDANTIC_DISABLE_PLUGINS": said} if said else {}
    ran = shell.program(sys.executable, "-c", OFFERS, *words, **more)
    assert ran.returncode == 0, ran.stderr
    # What the command starts is told what it was told itself.
    assert ran.stderr.splitlines()[-1] == f"0 {said}"


# --- the verbs ---------------------------------------------------------------------------------


def test_every_verb_is_found_where_it_is_said_to_be() -> None:
    context = click.Context(opsnb)
    assert opsnb.list_commands(context) == list(VERBS)
    for name in VERBS:
        command = opsnb.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.help
    assert opsnb.get_command(context, "nonsense") is None


def test_the_help_lists_every_verb_in_the_order_of_a_working_day(shell: Shell) -> None:
    lines = shell("--help").stdout.partition("Commands:")[2].split("\n")
    assert [line.split()[0] for line in lines if line.strip() and line[2] != " "] == list(VERBS)


@pytest.mark.parametrize("of", [[], ["lock"]])
def test_no_summary_of_a_verb_is_cut_at_80_columns(of: list[str]) -> None:
    said = CliRunner().invoke(opsnb, [*of, "--help"], terminal_width=80).stdout
    listed = [line.split() for line in said.partition("Commands:")[2].splitlines() if line]
    assert len(listed) >= 3
    cut = [words[0] for words in listed if words[-1].endswith("...")]
    assert cut == []


def test_a_group_of_commands_may_have_some_at_once_and_some_when_wanted() -> None:
    group = Border(name="both", verbs={"releases": VERBS["releases"]})
    group.add_command(click.Command("own"))
    context = click.Context(group)
    assert group.list_commands(context) == ["releases", "own"]
    assert group.commands.keys() == {"own"}
    assert group.get_command(context, "own") is not None
    assert group.get_command(context, "releases") is not None


# --- garbage -----------------------------------------------------------------------------------

COLLECTS = """
import atexit, gc, sys
from opsnb.cli.main import main
atexit.register(lambda: print(gc.isenabled(), gc.get_freeze_count() > 1000, file=sys.stderr))
main()
"""


@pytest.mark.parametrize(
    ("args", "collects"),
    [
        (["releases", "{server}"], False),
        (["deploy", "{server}", "v1", "--yes", "--force"], True),
        (["run", "no-such.ipynb"], True),
        (["demo", "--json"], True),
    ],
)
def test_only_what_is_over_in_a_moment_looks_for_no_garbage(
    shell: Shell, args: list[str], collects: bool
) -> None:
    shell.deployed("v1")
    words = [word.format(server=shell.server) for word in args]
    ran = shell.program(sys.executable, "-c", COLLECTS, *words)
    assert ran.stderr.splitlines()[-1] == f"{collects} True"


def test_in_somebody_elses_process_the_collector_is_left_alone(shell: Shell) -> None:
    frozen = gc.get_freeze_count()
    with pytest.raises(SystemExit):
        opsnb.main(["releases", shell.server, "--json"])
    assert (gc.isenabled(), gc.get_freeze_count()) == (True, frozen)
    settled()
    assert (gc.isenabled(), gc.get_freeze_count()) == (True, frozen)


def test_a_brief_command_that_settles_looks_for_garbage_again() -> None:
    try:
        with brief():
            assert not gc.isenabled()
            settled()
            assert gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()


# --- the end -----------------------------------------------------------------------------------


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)


def test_nobody_waits_for_more_after_the_last_event() -> None:
    """A job goes on for a moment after its last event: it closes its log."""
    let_go = asyncio.Event()
    report = Report("prune", "web1", Outcome.DONE)
    ended = Ended("web1", 2.0, report)

    async def work(tell: Any) -> Ran:
        tell(Started("web1", 1.0, "prune"))
        tell(ended)
        await let_go.wait()
        return report, None

    job, told = Job("prune", "web1", work), Told()
    assert live._listen(job, told) == 2  # type: ignore[arg-type]
    assert not job.done
    assert told.events[-1] is ended
    LOOP.submit(_set(let_go))
    job.wait(10)


async def _set(event: asyncio.Event) -> None:
    event.set()
