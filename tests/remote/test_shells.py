"""Every login shell, with rc files and banners that print: the whole cycle works."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsnb.server import Server
from tests.support.sshd import LOGIN_SHELLS, NOISE, NOISE_BANNER, RealSshd


@pytest.mark.parametrize("shell", sorted(LOGIN_SHELLS))
def test_a_noisy_login_shell_changes_nothing(shell: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / 'it\'s a "file"\nwith $(touch pwned) `x` \\').write_text("one")
    with RealSshd(shell=shell, rc=NOISE, banner=NOISE_BANNER) as sshd:
        url = sshd.url(f"{sshd.home}/a 'site' of $HOME; touch pwned")
        server = Server(url, ssh_config=sshd.ssh_config)
        assert all(finding.ok for finding in server.findings())
        first = server.deploy(source).wait()
        (source / "second").write_text("two")
        second = server.deploy(source, revision="$(touch pwned)'\"").wait()
        assert (first.files, second.files) == (1, 2)
        assert server.rollback(why="`touch pwned`").wait().live == first.release
        assert server.look().current.name == first.release
        assert [str(release.state) for release in server.look().releases] == ["good", "bad"]
        assert server.verify_log() == []
        assert not server._remote()._plain  # type: ignore[union-attr]  # none had to do without
        server.close()
        assert not list(sshd.home.rglob("pwned"))
        assert sshd.as_user("id", "-u").strip() == str(sshd.uid).encode()
