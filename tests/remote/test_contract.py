"""One contract for every kind of remote: a folder, the embedded server, a real sshd."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from opsnb.core import listing
from opsnb.core.config import Address
from opsnb.core.manifest import Entry, Kind
from opsnb.embedded.sshd import EmbeddedServer
from opsnb.errors import StepFailed
from opsnb.remote import tar
from opsnb.remote.local import local_remote
from opsnb.remote.ssh import ssh_remote
from tests.support.sshd import RealSshd

ONE, TWO = "20260101000000", "20260101000001"
NAMES = [b"new\nline", b"-rf", b"quote'\"$(x)", b"\xff", b" a ", b"n" * 255]


@pytest.fixture(params=["folder", "embedded", "sshd"])
def remote(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Any]:
    if request.param == "folder":
        yield local_remote(str(tmp_path / "site"), 60, 20)
    elif request.param == "embedded":
        with EmbeddedServer() as server:
            yield ssh_remote(Address.parse(server.url), server.ssh_config, 60, 20)
    else:
        with RealSshd() as sshd:
            yield ssh_remote(Address.parse(sshd.url()), sshd.ssh_config, 60, 20)


def record(name: str, seq: int) -> bytes:
    return f'{{"name": "{name}", "seq": {seq}, "state": "good"}}\n'.encode()


async def stream(files: dict[bytes, bytes]) -> AsyncIterator[bytes]:
    for path, content in sorted(files.items()):
        yield tar.header(Entry(path, Kind.FILE, 0o640, len(content)), 1_700_000_000)
        yield content + tar.padding(len(content))
    for end in tar.trailer():
        yield end


async def test_every_kind_of_remote_keeps_the_contract(remote: Any) -> None:
    held = await remote.lock("tester", "here", "now", "contract")
    assert await remote.lock("other", "here", "now", "contract") is None
    files = {name: name * 3 for name in NAMES} | {b"big": b"0123456789abcdef" * 400_000}
    await held.begin(ONE, record(ONE, 1))
    await held.unpack(ONE, stream(files))
    digests = await remote.hashes(ONE, list(files))
    assert digests == {path: hashlib.sha256(text).hexdigest() for path, text in files.items()}
    await held.link(ONE, [b"deep/up\nload", b"conf"])
    await held.modes(ONE, [(b"-rf", 0o600), (b"new\nline", 0o755)])
    seen = listing.read(await held.finish(ONE))
    assert {path: seen[path].entry.size for path in files} == {p: len(t) for p, t in files.items()}
    assert (seen[b"-rf"].entry.mode, seen[b"new\nline"].entry.mode) == (0o600, 0o755)
    assert seen[b"deep/up\nload"].entry.target == b"../../../shared/deep/up\nload"
    with pytest.raises(StepFailed):
        await held.unpack("29990101000000", stream(files))
    with pytest.raises(StepFailed):
        await held.publish("29990101000000", b"")
    await held.publish(ONE, b"")
    with pytest.raises(StepFailed):
        await held.publish(ONE, b"releases/other")
    await held.begin(TWO, record(TWO, 2))
    await held.copy(ONE, TWO, hardlink=True)
    await held.drop(TWO, [*NAMES[:3], b"deep", b"conf"])
    await held.unpack(TWO, stream({b"big": b"small"}))
    assert (await remote.hashes(ONE, [b"big"]))[b"big"] == digests[b"big"]
    changes = await remote.changes(ONE)
    assert changes.gone == b"" or changes.now, "linking an inode may touch its ctime only"
    said: list[bytes] = []
    status = await held.hook(
        f"releases/{TWO}", 'printf "$X\\n"; exit 3', {"X": "7"}, 20, said.append
    )
    assert (status, b"".join(said).strip()) == (3, b"7")
    await held.append_audit(b'{"what": "contract"}\n')
    assert await remote.audit() == b'{"what": "contract"}\n'
    with pytest.raises(StepFailed):
        await held.discard([ONE])
    await held.flush()
    await held.publish(TWO, f"releases/{ONE}".encode())
    assert await held.discard([ONE])
    site = await remote.look()
    assert [release.name for release in site.releases if release.present] == [TWO]
    assert site.current.name == TWO
    assert site.holder is not None
    assert {use.name for use in await remote.usage()} == {TWO, "shared"}
    await held.release()
    assert (await remote.look()).holder is None
    await remote.close()
