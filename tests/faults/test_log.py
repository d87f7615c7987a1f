"""What a power cut leaves of the audit log's last line is put aside, and nothing looks forged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from opsnb.core import audit
from opsnb.core.doctor import examine
from opsnb.engine.manage import PinWork
from tests.faults.guarantees import live
from tests.faults.lab import Lab, change

TORN = {
    "empty of what it said": b"\0" * 200,
    "begun": b'{"at": "20260325140000Z", "by": "te',
    "begun, then empty": b'{"at": "20260325' + b"\0" * 90,
    "empty, then its end": b"\0" * 90 + b'"hash": "00"}\n',
    "whole but for its line break": b'{"at": "20260325140000Z"}',
}


@pytest.mark.parametrize("torn", TORN.values(), ids=TORN)
async def test_a_torn_last_line_is_put_aside_before_the_next_one(
    tmp_path: Path, torn: bytes
) -> None:
    lab = Lab(tmp_path)
    await lab.build()
    site = await lab.anew("site")
    log = site / ".opsnb" / "audit.jsonl"
    before = log.read_bytes()
    log.write_bytes(before + torn)
    assert audit.verify(log.read_bytes()), "the control: it looks forged"
    assert await said_by_the_next_change(lab, site) == [audit.MENDED]
    assert "audit.torn" in await said_by_check(lab, site)
    assert await lab.next_deploy(site) == []
    after = log.read_bytes()
    told = [entry for entry in audit.read(after) if entry["what"] == "log.mended"]
    assert [entry["why"] for entry in told] == [audit.MENDED]
    assert after.startswith(before)
    assert len(after) > len(before)
    assert list(audit.verify(after)) == []
    assert torn.strip(b"\n") in (site / ".opsnb" / "audit.torn").read_bytes()


async def said_by_the_next_change(lab: Any, site: Path) -> list[str]:
    """The warnings of a change, which pins the live release."""
    remote = lab.remote(site)
    report, error = await change(remote, "pin", PinWork(live(site), pinned=True))
    await remote.close()
    assert error is None
    return list(report.warnings)


async def said_by_check(lab: Any, site: Path) -> str:
    """What is found about the log; nothing when nothing is."""
    remote = lab.remote(site)
    found = {finding.item: finding.found for finding in examine(await remote.look())}
    await remote.close()
    return found.get("audit log", "")


async def test_a_whole_log_is_left_as_it_is(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    await lab.build()
    site = await lab.anew("site")
    assert await lab.next_deploy(site) == []
    assert not (site / ".opsnb" / "audit.torn").exists()
    assert await said_by_the_next_change(lab, site) == []
    assert await said_by_check(lab, site) == ""


@pytest.mark.parametrize("torn", [b"", b"\0" * 90, b'{"name": "2026'], ids=["empty", "nul", "cut"])
async def test_a_record_that_a_power_cut_has_torn_is_forgotten(tmp_path: Path, torn: bytes) -> None:
    """Its release is not there: its directory is made after the record is on the disk."""
    lab = Lab(tmp_path)
    await lab.build()
    site = await lab.anew("site")
    await torn_record_is_forgotten(lab, site, torn)


async def torn_record_is_forgotten(lab: Any, site: Path, torn: bytes) -> None:
    """It is seen, is no trouble, and the next change removes it; not that of a release there is."""
    records = site / ".opsnb" / "records"
    there = sorted(path.stem for path in records.iterdir())[0]
    whole = (records / f"{there}.json").read_bytes()
    (records / "20250101000000.json").write_bytes(torn)
    (records / f"{there}.json").write_bytes(b"")
    remote = lab.remote(site)
    seen = await remote.look()
    await remote.close()
    assert sorted(seen.broken) == ["20250101000000", there]
    assert seen.remains == ("20250101000000",)
    assert await said_by_the_next_change(lab, site) == []
    assert not (records / "20250101000000.json").exists()
    assert (records / f"{there}.json").read_bytes() == b""
    assert (site / "releases" / there).is_dir()
    (records / f"{there}.json").write_bytes(whole)
    assert await lab.next_deploy(site) == []
