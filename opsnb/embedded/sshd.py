"""An SSH server inside this process, for demonstrations and tests.

It **runs commands as you, in this folder; it is not a sandbox**: a command, and SFTP as well,
can read and write whatever you can. What keeps others out is that the server listens on the
loopback address only and lets in one key, which was made for this run and lies in a private
directory.

Rule 1: the server has an event loop and a daemon thread of its own; nothing of it runs on the
        caller's loop, and its callers need no loop at all.
Rule 2: ``stop`` ends every command, every connection and the thread, and removes what ``start``
        made. A command that leaves its process group (``setsid``) is not followed.
Rule 3: SFTP and commands see the same paths; a relative path begins at ``root`` in both.
Rule 4: whoever connects checks the host key for real: ``known_hosts`` holds it.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import tempfile
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import asyncssh

from opsnb.embedded.command import serve
from opsnb.errors import OpsnbError

HOST = "127.0.0.1"
USER = "demo"
STOP_TIMEOUT = 10.0  # seconds
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class _Keys:
    """The two keys of one run."""

    host: asyncssh.SSHKey
    client: asyncssh.SSHKey

    @classmethod
    def generate(cls) -> _Keys:
        return cls(*(asyncssh.generate_private_key("ssh-ed25519") for _ in range(2)))


@dataclass(frozen=True)
class _Place:
    """Where one run lives."""

    root: Path
    private: Path
    port: int

    @property
    def client_key(self) -> Path:
        return self.private / "client_key"

    @property
    def known_hosts(self) -> Path:
        return self.private / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        return self.private / "ssh_config"

    def write(self, keys: _Keys) -> None:
        """Write what a client needs."""
        _write_private(self.client_key, keys.client.export_private_key())
        host_key = keys.host.export_public_key().decode("ascii")
        _write_private(self.known_hosts, f"[{HOST}]:{self.port} {host_key}".encode("ascii"))
        _write_private(self.ssh_config, self._config().encode())

    def _config(self) -> str:
        settings = {
            "Port": str(self.port),
            "User": USER,
            "IdentityFile": _quoted(self.client_key),
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": _quoted(self.known_hosts),
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
        }
        lines = (f"    {key} {value}\n" for key, value in settings.items())
        return f"Host {HOST}\n" + "".join(lines)


class EmbeddedServer:
    """An SSH server on the loopback address, with a folder, a user and a key of its own.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`; both may be called
    again at any time. It is stopped at the interpreter's exit at the latest. The attributes
    below describe the run that :meth:`start` began; after :meth:`stop` they describe the last.

    Args:
        root: The home and working directory of every command. By default a new private
            directory, which :meth:`stop` removes; one that is given is made when it is
            missing, and stays.
        banner: Text that every command prints before its own output, as a talkative rc file
            does; for tests. SFTP is not disturbed.
        shell: The login shell, an absolute path; a command is run by ``shell -c COMMAND``.
        env: Variables added to the small environment of every command.

    Attributes:
        host: ``127.0.0.1``.
        user: ``demo``.
    """

    host = HOST
    user = USER

    def __init__(
        self,
        root: Path | None = None,
        *,
        banner: str | None = None,
        shell: str = "/bin/sh",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._given_root = root
        self._banner = (banner or "").encode()
        self._shell = shell
        self._env = dict(env or {})
        self._switching = threading.RLock()
        self._last: _Place | None = None
        self._run: _Run | None = None

    @property
    def running(self) -> bool:
        """Whether the server can be connected to."""
        return self._run is not None

    @property
    def root(self) -> Path:
        """The home and working directory of every command, an absolute real path."""
        return self._place.root

    @property
    def port(self) -> int:
        """The TCP port on :attr:`host`."""
        return self._place.port

    @property
    def deploy_to(self) -> Path:
        """The deployment path: an empty directory at first."""
        return self.root / "shop"

    @property
    def url(self) -> str:
        """The server as opsnb names it, ``ssh://demo@127.0.0.1:PORT/…/shop``."""
        return f"ssh://{USER}@{HOST}:{self.port}{quote(str(self.deploy_to))}"

    @property
    def client_key(self) -> Path:
        """The private key that is let in; mode 0600, outside :attr:`root`."""
        return self._place.client_key

    @property
    def known_hosts(self) -> Path:
        """A known_hosts file with this server's host key."""
        return self._place.known_hosts

    @property
    def ssh_config(self) -> Path:
        """A file for ``ssh -F`` and ``opsnb --ssh-config`` that says all of the above."""
        return self._place.ssh_config

    def start(self) -> Self:
        """Start listening; returns when clients can connect.

        Returns:
            The server itself.

        Raises:
            OSError: There is no free port, or no room for the temporary directories.
        """
        with self._switching:
            if self._run is None:
                self._run = _Run(self._given_root, self._shell, self._banner, self._env)
                atexit.register(self.stop)
                try:
                    self._last = self._run.begin()
                except BaseException:
                    self.stop()
                    raise
        return self

    def stop(self) -> None:
        """End every command and connection, and remove what :meth:`start` made.

        Raises:
            OpsnbError: The server's thread did not end within 10 seconds.
        """
        with self._switching:
            run, self._run = self._run, None
            atexit.unregister(self.stop)
            if run is not None:
                run.end()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _place(self) -> _Place:
        if self._last is None:
            raise OpsnbError("The embedded server has not been started.", "Call start() first.")
        return self._last


class _Run:
    """From one start to the next stop: the directories, the thread, the loop."""

    def __init__(
        self, root: Path | None, shell: str, banner: bytes, env: Mapping[str, str]
    ) -> None:
        self._pid = os.getpid()
        self._keeps_root = root is not None
        self._shell = shell
        self._banner = banner
        self._keys = _Keys.generate()
        self._root = _make_root(root)
        self._private = Path(tempfile.mkdtemp(prefix="opsnb-key-")).resolve()
        self._env = {**_environment(self._root, shell), **env}
        self._ready: Future[int] = Future()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._commands: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._work, name="opsnb-embedded", daemon=True)

    def begin(self) -> _Place:
        """Listen, and say where."""
        (self._root / "shop").mkdir(exist_ok=True)
        self._thread.start()
        place = _Place(self._root, self._private, self._ready.result())
        place.write(self._keys)
        return place

    def end(self) -> None:
        """Undo ``begin``, however far it came."""
        if os.getpid() != self._pid:
            return  # a forked child owns neither the thread nor the directories
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(STOP_TIMEOUT)
        if self._thread.is_alive():
            raise OpsnbError(f"The embedded server did not stop within {STOP_TIMEOUT:.0f} s.")
        self._loop.close()
        _remove(self._private)
        if not self._keeps_root:
            _remove(self._root)

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())

    async def _serve(self) -> None:
        try:
            acceptor = await self._listen()
        except BaseException as error:  # noqa: BLE001 - start() raises it
            self._ready.set_exception(error)
            return
        self._ready.set_result(acceptor.get_port())
        await self._stopping.wait()
        acceptor.close()
        for connection in tuple(self._connections):
            connection.abort()
        await acceptor.wait_closed()
        if self._commands:
            await asyncio.wait(self._commands)
        await _cancel_the_rest()

    async def _listen(self) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            HOST,
            0,
            server_factory=lambda: _Gate(self._keys.client, self._connections),
            server_host_keys=[self._keys.host],
            process_factory=self._command,
            sftp_factory=lambda channel: _Sftp(channel, self._root),
            encoding=None,
            allow_pty=False,
            line_editor=False,
            agent_forwarding=False,
            password_auth=False,
            kbdint_auth=False,
            gss_host=None,
        )

    async def _command(self, client: asyncssh.SSHServerProcess[bytes]) -> None:
        client.stdout.write(self._banner)
        argv = [self._shell] if client.command is None else [self._shell, "-c", client.command]
        command = asyncio.create_task(serve(client, argv, self._root, self._env))
        self._commands.add(command)
        command.add_done_callback(self._commands.discard)
        await command


class _Gate(asyncssh.SSHServer):
    """Lets in one user with one key, and remembers who is connected."""

    def __init__(
        self, client_key: asyncssh.SSHKey, connections: set[asyncssh.SSHServerConnection]
    ) -> None:
        self._public = client_key.public_data
        self._connections = connections

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == USER and key.public_data == self._public


class _Sftp(asyncssh.SFTPServer):
    """SFTP over the same paths as the commands: absolute ones as they are, others from root."""

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], root: Path) -> None:
        super().__init__(channel)
        self._root = os.fsencode(root)

    def map_path(self, path: bytes) -> bytes:
        return os.path.join(self._root, path)  # noqa: PTH118 - these are bytes


async def _cancel_the_rest() -> None:
    """End what else runs on the loop: what asyncssh began for connections that are gone."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _make_root(root: Path | None) -> Path:
    if root is None:
        return Path(tempfile.mkdtemp(prefix="opsnb-demo-")).resolve()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root.resolve()


def _environment(root: Path, shell: str) -> dict[str, str]:
    """The environment that a login would give, and nothing of ours but the language."""
    return {
        "PATH": os.environ.get("PATH", DEFAULT_PATH),
        "HOME": str(root),
        "USER": USER,
        "LOGNAME": USER,
        "SHELL": shell,
        "LC_ALL": os.environ.get("LC_ALL", "C"),
    }


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(content)


def _quoted(path: Path) -> str:
    """A path as ssh_config reads it: quoted, with no token to expand."""
    return '"' + str(path).replace("%", "%%") + '"'


def _remove(tree: Path) -> None:
    """Remove a tree, read-only directories and late writers included."""
    try:
        shutil.rmtree(tree)
    except FileNotFoundError:
        return
    except OSError:
        for path, folders, _ in os.walk(tree):
            for folder in (Path(path) / name for name in folders):
                if not folder.is_symlink():
                    folder.chmod(0o700)
        shutil.rmtree(tree)
