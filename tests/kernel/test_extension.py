"""The extension in each kernel: loaded, used, interrupted, unloaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kernel.session import Session
from tests.support.process import gone, runs

SCRIPT = """
import asyncio
async def main():
    await asyncio.sleep(0.05)
    return "ran"
print(asyncio.run(main()))
"""

DEMO = """
import opsnb
project = opsnb.demo()
server = project.server("demo")
server.deploy(project.site("v1")).wait()
v2 = project.site("v2")
"""


@pytest.fixture
def loaded(session: Session, tmp_path: Path) -> Session:
    """A kernel with the extension, beside a project whose ``web1`` is a folder."""
    (tmp_path / "srv/releases/1").mkdir(parents=True)
    (tmp_path / "srv/current").symlink_to("releases/1")
    (tmp_path / "opsnb.toml").write_text(f'[servers.web1]\nurl = "file://{tmp_path}/srv"\n')
    session.run("%load_ext opsnb")
    return session


def fails(session: Session, cell: str) -> str:
    """Run a cell that must fail.

    Returns:
        What it put out.
    """
    ran = session.end(session.begin(cell))
    assert ran.error, ran.text
    return ran.text


# --- script-style cells --------------------------------------------------------------------------


def test_the_control_without_the_extension_nothing_is_patched(session: Session) -> None:
    """asyncio.run in a cell, without it: raises, nothing is patched."""
    session.run("import opsnb")
    assert "cannot be called from a running event loop" in fails(session, SCRIPT)
    assert "not found" in session.run("%opsnb --version")
    said = session.run(
        "import asyncio, sys\n"
        "print(hasattr(asyncio, '_nest_patched'), 'opsnb.magics' in sys.modules)"
    )
    assert said == "False False\n"


def test_script_style_cells_run_and_other_cells_as_before(loaded: Session) -> None:
    """asyncio.run in a cell, with the extension."""
    assert loaded.run(SCRIPT) == "ran\n"
    assert loaded.run("print(await main())") == "ran\n"
    loop = "import asyncio\nloop = asyncio.get_event_loop()\n"
    assert loaded.run(f"{loop}print(loop.run_until_complete(main()))") == "ran\n"
    assert "ZeroDivisionError" in fails(loaded, "async def no(): 1/0\nasyncio.run(no())")
    assert loaded.run("print('next')") == "next\n"


def test_cells_that_were_sent_together_all_run(loaded: Session) -> None:
    """asyncio.run in two cells of three that were sent together: all run."""
    cells = [loaded.begin(cell) for cell in (SCRIPT, SCRIPT, "print('last')")]
    assert [loaded.end(cell).text for cell in cells] == ["ran\n", "ran\n", "last\n"]


def test_a_script_style_cell_can_deploy_and_a_change_goes_on_while_it_is_loaded(
    session: Session,
) -> None:
    """asyncio.run that awaits changes, loaded while one runs."""
    session.run(DEMO)
    session.run(
        "from opsnb.core.config import Settings\n"
        "server.settings = Settings.model_validate({'before_publish': ['sleep 1']})\n"
        "job = server.deploy(v2)"
    )
    session.run("%load_ext opsnb")
    said = session.run(
        "import asyncio\n"
        "async def main():\n"
        "    first = await job\n"
        "    second = await server.rollback()\n"
        "    return first.switched, second.live != first.live, len(server.look().releases)\n"
        "print(asyncio.run(main()))"
    )
    assert said.splitlines()[-1] == "(True, True, 2)"


def test_an_interrupt_ends_a_script_style_cell(loaded: Session) -> None:
    """asyncio.run in a cell, interrupted: cancelled and cleaned up."""
    waits = (
        "import asyncio\n"
        "async def main():\n"
        "    try:\n"
        "        print('begun')\n"
        "        await asyncio.sleep(60)\n"
        "    finally:\n"
        "        await asyncio.sleep(0.1)\n"
        "        print('cleaned up')\n"
        "asyncio.run(main())"
    )
    cell = loaded.says(loaded.begin(waits), "begun")
    loaded.interrupt()
    assert loaded.end(cell).error.startswith(("KeyboardInterrupt", "CancelledError"))
    assert "cleaned up" in cell.text
    assert loaded.run("print('next')") == "next\n"


def test_beside_nest_asyncio_it_says_so_and_leaves_asyncio_alone(session: Session) -> None:
    session.run("import asyncio\nasyncio._nest_patched = True  # as nest_asyncio leaves it")
    said = session.run("%load_ext opsnb")
    assert "nest_asyncio has patched asyncio" in said
    assert "Restart the kernel" in said
    assert "Traceback" not in said
    assert session.run("print(asyncio.run.__module__)") == "asyncio.runners\n"
    assert session.run("%opsnb --version").startswith("opsnb ")


def test_a_loop_that_cannot_be_patched_is_left_alone(session: Session) -> None:
    said = session.run(
        "import asyncio\n"
        "from opsnb.magics import scripts\n"
        "class Other(asyncio.AbstractEventLoop): pass  # as uvloop's is\n"
        "print(scripts.patch(Other()))\n"
        "print(hasattr(asyncio, '_nest_patched'))"
    )
    assert said.startswith("asyncio.run() in a cell: the kernel's loop (__main__.Other) cannot be")
    assert said.endswith("False\n")


def test_loaded_before_the_kernel_runs_its_loop_it_works_from_the_first_cell(
    kernel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loaded by IPython's configuration, before the loop runs."""
    from tests.support.kernels import write_specs

    profile = tmp_path / "ipython/profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_config.py").write_text(
        'c = get_config()\nc.InteractiveShellApp.extensions = ["opsnb"]\n'
    )
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    with Session(kernel, write_specs(tmp_path), tmp_path) as session:
        assert session.run(SCRIPT) == "ran\n"
        assert session.run("%opsnb --version").startswith("opsnb ")


# --- %opsnb --------------------------------------------------------------------------------------


def test_verbs_answer_and_change_in_cells(loaded: Session, tmp_path: Path) -> None:
    """%opsnb: a question and a deploy."""
    assert "● live" in loaded.run("%opsnb releases web1")
    loaded.run("!rm -r srv; mkdir site; echo one > site/index")
    said = loaded.run("%opsnb deploy web1 site --yes")
    assert said.count("publish") == 1, "told of twice"
    assert (tmp_path / "srv/current/index").read_text() == "one\n"


def test_a_change_without_yes_is_refused_and_stops_run_all(loaded: Session) -> None:
    loaded.run("!rm -r srv; mkdir site; echo one > site/index")
    cells = [loaded.begin(cell) for cell in ("%opsnb deploy web1 site", "print('after')")]
    said = loaded.end(cells[0])
    assert "--yes" in said.text
    assert "Traceback" not in said.text
    assert said.text.rstrip().endswith("opsnb: exit status 2")
    assert loaded.end(cells[1]).text == "", "it stops at what failed"


def test_an_interrupt_aborts_a_deploy_and_says_what_is_live(
    loaded: Session, tmp_path: Path
) -> None:
    """%opsnb deploy, interrupted: aborted, says what is live."""
    loaded.run("!rm -r srv; mkdir site; echo one > site/index")
    with (tmp_path / "opsnb.toml").open("a") as config:
        config.write('before_publish = ["echo hook begins; sleep 60"]\n')
    cell = loaded.says(loaded.begin("%opsnb deploy web1 site --yes"), "hook begins")
    loaded.interrupt()
    said = loaded.end(cell).text
    assert "exit status 130" in said
    assert "the live release is untouched" in said
    assert not (tmp_path / "srv/current").exists()
    assert loaded.run("print('next')") == "next\n"


# --- %%remote ------------------------------------------------------------------------------------


def test_lines_come_while_the_command_runs(loaded: Session, tmp_path: Path) -> None:
    """%%remote: lines come while it runs."""
    wait = "echo first\nuntil [ -e go ]; do sleep 0.05; done\necho second"
    cell = loaded.says(loaded.begin(f"%%remote web1 --in .\n{wait}"), "first\n")
    assert "second" not in cell.text
    (tmp_path / "srv/go").touch()
    assert "first\nsecond\nexit status 0 · " in loaded.end(cell).text


def test_an_interrupt_ends_everything_it_has_started_on_the_server(loaded: Session) -> None:
    """%%remote, interrupted: all that it started is gone."""
    loaded.run(DEMO)
    cell = loaded.begin("%%remote demo\nsleep 1000 & echo begun $! $$ .\nsleep 1000")
    loaded.says(cell, " .\n")
    pids = [int(word) for word in cell.text.partition("begun ")[2].split()[:2]]
    assert [runs(pid) for pid in pids] == [True, True]
    loaded.interrupt()
    assert "interrupted: the command on demo was ended" in loaded.end(cell).text
    assert "Traceback" not in cell.text
    assert gone(pids)
    assert "visit" in loaded.run("%%remote demo\nls")


def test_a_kernel_that_is_killed_takes_its_command_with_it(loaded: Session) -> None:
    """%%remote, kernel killed: all that it started is gone."""
    cell = loaded.begin("%%remote web1\nsleep 1000 & echo begun $! $$ .\nsleep 1000")
    loaded.says(cell, " .\n")
    pids = [int(word) for word in cell.text.partition("begun ")[2].split()[:2]]
    loaded.restart(now=True)
    assert gone(pids, 15)


def test_after_unloading_the_magics_are_gone(loaded: Session) -> None:
    assert loaded.run("%%remote web1\necho here").splitlines()[1] == "here"
    loaded.run("%unload_ext opsnb")
    assert "not found" in loaded.run("%opsnb --version")
    assert "not found" in loaded.run("%%remote web1\nls")
