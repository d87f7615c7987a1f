"""The whole log of a change is in a file, and a log that cannot be kept stops nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import opsnb
from opsnb import joblog
from opsnb.core.events import Log, Warned
from opsnb.joblog import JobLog


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for logs that is not there yet."""
    folder = tmp_path / "a" / "logs"
    monkeypatch.setenv("OPSNB_LOGS", str(folder))
    return folder


def test_only_its_owner_can_read_it(logs: Path) -> None:
    log = JobLog("deploy", "web1")
    log.add(Log("web1", 0.0, "said", "hook"))
    # Before it is closed: what a killed process had said is there.
    assert log.path is not None
    assert log.path.read_text() == "00:00:00.000 │ said\n"
    log.close()
    assert log.path.stat().st_mode & 0o777 == 0o600
    assert logs.stat().st_mode & 0o777 == 0o700


def test_a_name_of_a_server_cannot_lead_elsewhere(logs: Path) -> None:
    log = JobLog("deploy", "../../etc/passwd\n" + "x" * 300)
    assert log.path is not None
    assert log.path.parent == logs
    assert "\n" not in log.path.name
    log.close()


def test_the_oldest_go(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblog, "KEPT", 3)
    made = []
    for _ in range(5):
        log = JobLog("deploy", "web1")
        log.close()
        made.append(log.path)
    (logs / "notes.txt").write_text("somebody's own")
    JobLog("deploy", "web1").close()
    left = sorted(logs.glob("*.log"))
    assert len(left) == 3
    assert made[-1] in left
    assert made[0] not in left
    assert (logs / "notes.txt").exists()


def test_a_folder_that_cannot_be_made_is_said_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OPSNB_LOGS", str(tmp_path / "file" / "logs"))
    source = tmp_path / "source"
    source.mkdir()
    (source / "index.html").write_text("x")
    server = opsnb.Server(f"file://{tmp_path}/srv")
    job = server.deploy(source)
    assert job.wait().outcome is opsnb.Outcome.DONE
    assert job.log_file is None
    told = [event.text for event in job.events if isinstance(event, Warned)]
    assert sum("the log is not kept in a file: Not a directory" in text for text in told) == 1
    server.close()


def test_a_disk_that_fills_up_is_said_once_and_stops_nothing(logs: Path) -> None:
    log = JobLog("deploy", "web1")
    assert log._file is not None
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, log._file.fileno())
    os.close(full)
    log.add(Log("web1", 0.0, "said", "hook"))
    assert log.fault == "the log is not kept in a file: No space left on device"
    assert log.path is None
    log.add(Log("web1", 0.0, "more", "hook"))
    log.close()


def test_the_log_holds_every_line_of_a_change(logs: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "index.html").write_text("x")
    server = opsnb.Server(f"file://{tmp_path}/srv")
    job = server.deploy(source)
    report = job.wait()
    assert job.log_file is not None
    assert job.log_file.parent == logs
    text = job.log_file.read_text()
    for word in ("deploy on local begins", "current -> ", "publish done in", report.sentence):
        assert word in text
    server.close()
