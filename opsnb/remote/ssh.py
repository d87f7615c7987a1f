"""SSH: one connection to a server, found and trusted as OpenSSH would.

Rule 1: asyncssh lives here, in ``sshpipes.py`` and nowhere else in the package (the embedded server
aside), and its errors become opsnb's here.
Rule 2: the host key is always checked. There is no option, and no configuration, that turns it off.
Rule 3: an object of asyncssh belongs to the loop that made it.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from opsnb.core.address import Address
from opsnb.core.text import safe
from opsnb.errors import ConnectError, HostKeyError, LoginError, NotReady, RemoteError
from opsnb.remote import named
from opsnb.remote.base import Line
from opsnb.remote.libraries import no_compiler
from opsnb.remote.near import host_and_port
from opsnb.remote.posix import PosixRemote
from opsnb.remote.shell import Pipes
from opsnb.remote.sshpipes import SshLine, SshPipes, said

with no_compiler():
    import asyncssh

# asyncssh would choose chacha20 first, which is half as fast as AES-GCM on a CPU with AES.
CIPHERS = [
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
]
KEEPALIVE = 15
PROMPT = 0.002  # seconds between two requests to acknowledge at once: each holds for a while only
RTT_AT = 68  # bytes into Linux's struct tcp_info: microseconds
TRIES = 3
MOST = 4  # connections to a server that allows few sessions on each
IGNORE = 2  # SSH_MSG_IGNORE
ALONE = "tinyssh"  # allows one, and never answers who asks for another
T = TypeVar("T")
SftpError = asyncssh.SFTPError
_BUSY = (ConnectionResetError, asyncssh.ConnectionLost)


@dataclass
class _Met:
    """The host key that a server showed and that was not trusted."""

    host: str = ""
    port: int = 0
    fingerprint: str = ""
    algorithm: str = ""


@dataclass(frozen=True)
class _Hop:
    """A host to connect to: the server, or one on the way to it."""

    host: str
    options: asyncssh.SSHClientConnectionOptions
    met: _Met
    through: asyncssh.SSHClientConnection | None


class _Client(asyncssh.SSHClient):
    """Remembers an untrusted host key, for the message. It never trusts one."""

    def __init__(self, met: _Met, made: Callable[[asyncssh.SSHClientConnection], None]) -> None:
        self._met = met
        self._made = made

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self._made(conn)

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        del addr
        self._met.host, self._met.port = host, port
        self._met.fingerprint = key.get_fingerprint("sha256")
        self._met.algorithm = key.get_algorithm()
        return False


class SshConnection:
    """The connection, made when it is first needed and again when it was lost.

    To a server that allows fewer sessions on it than are needed there are further ones.

    Args:
        address: Where the server is.
        ssh_config: The ssh_config file to read; None for the user's own.
        connect_timeout: Seconds until connecting has failed.
    """

    def __init__(self, address: Address, ssh_config: Path | None, connect_timeout: float) -> None:
        self._address = address
        self._ssh_config = ssh_config
        self._timeout = connect_timeout
        self._lines: list[asyncssh.SSHClientConnection] = []
        self._left: list[asyncssh.SSHClientConnection] = []
        self._taken: set[asyncssh.SSHClientConnection] = set()
        self._hops: dict[asyncssh.SSHClientConnection, list[asyncssh.SSHClientConnection]] = {}
        # Of each connection's sessions, whether they go on.
        self._goes_on: dict[asyncssh.SSHClientConnection, list[Callable[[], bool]]] = {}
        self._connecting = asyncio.Lock()
        self._prompt: set[asyncio.Task[None]] = set()

    async def dial(self, program: str = "") -> Pipes:
        """Open ``/bin/sh`` on the server, connecting first when there is no connection.

        Args:
            program: What it runs (``-c``), without a single quote; empty for what it then reads.

        Raises:
            HostKeyError: The host key is unknown, changed or revoked.
            LoginError: The server refused the login.
            ConnectError: It could not be reached.
        """
        command = f"exec /bin/sh -c '{program}'" if program else "exec /bin/sh -s"
        return SshPipes(await self._session(partial(self._shell, command)))

    async def _shell(
        self, command: str, line: asyncssh.SSHClientConnection
    ) -> asyncssh.SSHClientProcess[bytes]:
        process = await line.create_process(command, encoding=None)
        self._runs_on(line, lambda: not process.channel.is_closing())
        return process

    def _runs_on(self, line: asyncssh.SSHClientConnection, goes_on: Callable[[], bool]) -> None:
        """Remember a session of a connection, and no more those that have ended."""
        others = [other for other in self._goes_on.get(line, ()) if other()]
        self._goes_on[line] = [*others, goes_on]

    async def sftp(self) -> asyncssh.SFTPClient:
        """Begin an SFTP session on the server. It raises what :meth:`dial` does."""
        return await self._session(self._files)

    async def _files(self, line: asyncssh.SSHClientConnection) -> asyncssh.SFTPClient:
        client = await line.start_sftp_client()
        # It has no public way to ask.
        self._runs_on(line, lambda: client._handler._writer is not None)
        return client

    async def reach(self, address: str) -> Line:
        """Connect to what listens on the server, through the connection.

        Args:
            address: The absolute path of a socket, or ``host:port``.

        Raises:
            RemoteError: Nothing listens there, or the server forwards nothing for this login.
            ConnectError: The server could not be reached.
        """
        async with self._connecting:
            if not self._alive():
                self._lines.append(await self._connect())
            line = self._lines[0]
        try:
            async with asyncio.timeout(self._timeout):
                return SshLine(*await _through(line, address))
        except asyncssh.ChannelOpenError as error:
            raise RemoteError(
                f"the server gives no way to {safe(address)}: {safe(error.reason)}"
            ) from error
        except (TimeoutError, OSError, asyncssh.Error) as error:
            raise RemoteError(f"{safe(address)} was not reached: {said(error)}") from error

    async def _session(self, begin: Callable[[asyncssh.SSHClientConnection], Awaitable[T]]) -> T:
        """Begin a session on the server, connecting first when there is no connection."""
        self._tidy()
        for attempt in (1, 2):
            fresh = not self._alive()
            try:
                return await self._where_there_is_room(begin)
            except asyncssh.ChannelOpenError as error:
                raise ConnectError(
                    f"{self._name} opened no session: {safe(error.reason)}",
                    "Does the account have a shell, and how many sessions does sshd allow?",
                ) from error
            except (TimeoutError, OSError, asyncssh.Error) as error:
                self._set_aside()
                if fresh or attempt == 2:
                    raise ConnectError(
                        f"{self._name} closed the connection: {said(error)}"
                    ) from error
            finally:
                for task in self._prompt:
                    task.cancel()
        raise AssertionError("unreachable")

    def _set_aside(self) -> None:
        """Begin no more sessions on the connections that there are.

        Programs that run on one go on: it may be full of what a change sends, and no way for
        another session. One that has died is ended by the keepalives that it does not answer. One
        on which nothing runs is closed.
        """
        self._left, self._lines = [*self._left, *self._alive()], []
        self._tidy()

    def _tidy(self) -> None:
        """Close what was set aside and is of no more use."""
        left, self._left = self._left, []
        for line in left:
            if any(goes_on() for goes_on in self._goes_on.get(line, ())):
                self._left.append(line)
            else:
                self._drop(line)

    def _drop(self, line: asyncssh.SSHClientConnection) -> None:
        """Close a connection, and those of the jump hosts that it goes through."""
        self._goes_on.pop(line, None)
        _abort(*self._hops.pop(line, ()), line)

    def _alive(self) -> list[asyncssh.SSHClientConnection]:
        """The connections that are not known to have ended."""
        for line in self._lines:
            if line.is_closed():
                self._drop(line)
        self._lines = [line for line in self._lines if not line.is_closed()]
        self._taken &= set(self._lines)
        return self._lines

    async def _where_there_is_room(
        self, begin: Callable[[asyncssh.SSHClientConnection], Awaitable[T]]
    ) -> T:
        """Begin a session on the first connection that allows one more, or on a further one."""
        tried: set[asyncssh.SSHClientConnection] = set()
        while True:
            async with self._connecting:
                lines = [line for line in self._alive() if line not in tried | self._taken]
                fresh = not lines
                line = await self._connect() if fresh else lines[0]
                if fresh:
                    self._lines.append(line)
                if ALONE in str(line.get_extra_info("server_version")):
                    self._taken.add(line)
                    _suit_tinyssh(line)
            try:
                async with asyncio.timeout(self._timeout):
                    return await begin(line)
            except asyncssh.ChannelOpenError:
                # MaxSessions may be small; what is refused at the very first is refused for good.
                if fresh or len(self._lines) >= MOST:
                    raise
                tried.add(line)

    def _hurry(self, connection: asyncssh.SSHClientConnection) -> None:
        """Acknowledge what comes at once, until there is a session.

        sshd sends what is small only when the last of it was acknowledged (Nagle), and a system
        may take 40 ms for that, in which it hopes for something to send along.
        """
        sock = connection.get_extra_info("socket")
        option = getattr(socket, "TCP_QUICKACK", None)
        if sock is None or option is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
            return

        async def hurry() -> None:
            while sock.fileno() >= 0:
                sock.setsockopt(socket.IPPROTO_TCP, option, 1)
                await asyncio.sleep(PROMPT)

        task = asyncio.create_task(hurry())
        self._prompt.add(task)
        task.add_done_callback(self._prompt.discard)

    def round_trip(self) -> float | None:
        """Seconds to the server and back, as the system has it; None where it does not tell."""
        if self._lines and self._hops.get(self._lines[0]):
            # The system knows the way to the first of them only: the whole is further.
            return 1.0
        sock = self._lines[0].get_extra_info("socket") if self._lines else None
        option = getattr(socket, "TCP_INFO", None)
        if sock is None or option is None:
            return None
        told: bytes = sock.getsockopt(socket.IPPROTO_TCP, option, RTT_AT + 4)
        return (
            int.from_bytes(told[RTT_AT:], sys.byteorder) / 1e6 if len(told) == RTT_AT + 4 else None
        )

    async def hang_up(self) -> None:
        """Close every connection; the next use makes a new one."""
        lines, self._lines, self._left = [*self._left, *self._lines], [], []
        for line in lines:
            self._drop(line)
        for line in lines:
            with suppress(TimeoutError, OSError, asyncssh.Error):
                async with asyncio.timeout(5):
                    await line.wait_closed()

    @property
    def _name(self) -> str:
        return self._address.host

    async def _connect(self) -> asyncssh.SSHClientConnection:
        for attempt in range(1, TRIES + 1):
            try:
                return await self._connect_once()
            except _BUSY as error:
                # sshd drops connections at random while many are being made (MaxStartups).
                if attempt == TRIES:
                    raise ConnectError(
                        f"{self._name} closed the connection before the login: {said(error)}",
                        "sshd may be refusing connections (MaxStartups, fail2ban, TCP wrappers).",
                    ) from error
                await asyncio.sleep(0.3 * attempt)
        raise AssertionError("unreachable")

    async def _connect_once(self) -> asyncssh.SSHClientConnection:
        """Connect through every jump host, each checked as strictly as the server itself."""
        address = self._address
        target = await self._options(address.host, address.user, address.port, None)
        through: asyncssh.SSHClientConnection | None = None
        jumps = target.options.tunnel if isinstance(target.options.tunnel, str) else ""
        hops: list[asyncssh.SSHClientConnection] = []
        try:
            for jump in filter(None, jumps.split(",")):
                through = await self._reach(await self._options(*_jump(jump), through))
                hops.append(through)
            if through:
                target = await self._options(address.host, address.user, address.port, through)
            line = await self._reach(target)
        except BaseException:
            _abort(*hops)
            raise
        self._hops[line] = hops
        return line

    async def _reach(self, hop: _Hop) -> asyncssh.SSHClientConnection:
        options = hop.options
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncssh.connect(hop.host, options=options, tunnel=hop.through)
        except asyncssh.HostKeyNotVerifiable as error:
            raise _host_key_error(hop, error) from error
        except asyncssh.PermissionDenied as error:
            raise LoginError(
                f"{hop.host} refused the login of {safe(options.username)}: {safe(error.reason)}",
                "Check the user in the address, and that its key is in your agent or ~/.ssh.",
            ) from error
        except TimeoutError as error:
            raise ConnectError(
                f"{hop.host} did not answer within {self._timeout:g} s",
                "Is the host up, and is the port reachable from here?",
            ) from error
        except _BUSY:
            raise
        except (OSError, asyncssh.Error) as error:
            raise ConnectError(
                f"cannot connect to {hop.host}: {said(error)}",
                "Try `ssh` to the same address; opsnb reads the same ~/.ssh/config.",
            ) from error

    async def _options(
        self, host: str, user: str, port: int, through: asyncssh.SSHClientConnection | None
    ) -> _Hop:
        met = _Met()
        # Empty is the user's own. Left out, it would be read at the connecting alone, when what
        # it says is looked at no more: the way through jump hosts, a check that is switched off.
        given: dict[str, object] = {"config": [str(self._ssh_config)] if self._ssh_config else ()}
        if user:
            given["username"] = user
        if port:
            given["port"] = port
        make = partial(
            asyncssh.SSHClientConnectionOptions.construct,
            host=host,
            client_factory=lambda: _Client(met, self._hurry),
            encryption_algs=CIPHERS,
            keepalive_interval=KEEPALIVE,
            keepalive_count_max=3,
            connect_timeout=self._timeout,
            login_timeout=self._timeout,
            # A banner need be no UTF-8: many a legal notice is older than that.
            utf8_decode_errors="backslashreplace",
            **given,
        )
        options: asyncssh.SSHClientConnectionOptions
        try:
            # Without keys first: asyncssh fails at a file that is named and missing.
            options = await make(client_keys=None)
            files = named.known_hosts(options.config) | named.identities(options.config)
            options = await make(**files, **_known_as(options))
        except (asyncssh.Error, ValueError, OSError, RuntimeError) as error:
            raise ConnectError(f"ssh's configuration cannot be used: {said(error)}") from error
        if options.known_hosts is None:
            raise HostKeyError(
                f"ssh's configuration switches the host key check of {host} off "
                "(UserKnownHostsFile none)",
                "opsnb never connects unchecked. Name a known_hosts file there instead.",
            )
        return _Hop(host, options, met, through)


def _abort(*lines: asyncssh.SSHClientConnection) -> None:
    """Close connections, the last one first: it may go through those before it."""
    for line in reversed(lines):
        line.abort()


def _known_as(options: asyncssh.SSHClientConnectionOptions) -> dict[str, object]:
    """The name that the host key is looked up under: in small letters, as ssh does it."""
    host = options.host
    if options.host_key_alias or options.canonicalize_hostname or ":" in host:
        return {}
    return {} if host == host.lower() else {"host_key_alias": host.lower()}


def _suit_tinyssh(line: asyncssh.SSHClientConnection) -> None:
    """Leave out what TinySSH stumbles over.

    It never answers keepalives. After an IGNORE, which asyncssh puts before every packet against
    an attack on ciphers that neither has, it waits for more before it looks at what came with it.
    """
    line.set_keepalive(0)
    send = line.send_packet

    def send_packet(pkttype: int, *args: bytes, **handler: Any) -> None:
        if pkttype != IGNORE:
            send(pkttype, *args, **handler)

    line.send_packet = send_packet  # type: ignore[method-assign]


def _jump(text: str) -> tuple[str, str, int]:
    """Host, user and port of one part of ``ProxyJump``."""
    user, _, place = text.rpartition("@")
    host, colon, port = place.rpartition(":")
    if not colon or not port.isdigit():
        return place.strip("[]"), user, 0
    return host.strip("[]"), user, int(port)


def _host_key_error(hop: _Hop, error: Exception) -> HostKeyError:
    """Say that a host key is not trusted, whether another one is known, and what to do."""
    met = hop.met
    if not met.fingerprint:
        return HostKeyError(f"the host key of {hop.host} is not trusted: {said(error)}")
    shown = f"{met.algorithm} {met.fingerprint}"
    place = met.host if met.port == 22 else f"[{met.host}]:{met.port}"
    if _known(hop.options, met):
        return HostKeyError(
            f"the host key of {hop.host} has CHANGED: it now shows {shown}",
            "Nothing was sent. Either the server was set up anew or somebody stands between. "
            "Ask whoever runs it for the fingerprint; only if it is the one above, run "
            f"`ssh-keygen -R '{place}'` and connect once with ssh to accept the new one.",
        )
    return HostKeyError(
        f"the host key of {hop.host} is unknown: {shown}",
        "Nothing was sent. Ask whoever runs the server for the fingerprint; if it is the one "
        "above, connect once with ssh (same address) and accept it, then try again.",
    )


def _known(options: asyncssh.SSHClientConnectionOptions, met: _Met) -> bool:
    """Whether another key of that host is known."""
    try:
        known = options.known_hosts or str(Path("~/.ssh/known_hosts").expanduser())
        keys = asyncssh.match_known_hosts(known, met.host, "", met.port)
    except (OSError, ValueError):
        return False
    return bool(keys[0])


def abilities(sftp: asyncssh.SFTPClient) -> frozenset[str]:
    """Which of the extensions that opsnb needs an SFTP server has."""
    # asyncssh remembers them, and has no public way to ask.
    handler = sftp._handler
    known = {
        "posix-rename@openssh.com": handler._supports_posix_rename,
        "fsync@openssh.com": handler._supports_fsync,
        "statvfs@openssh.com": handler._supports_statvfs,
    }
    return frozenset(name for name, there in known.items() if there)


async def _through(
    line: asyncssh.SSHClientConnection, address: str
) -> tuple[asyncssh.SSHReader[bytes], asyncssh.SSHWriter[bytes]]:
    if address.startswith("/"):
        return await line.open_unix_connection(address, encoding=None)
    host, port = host_and_port(address)
    return await line.open_connection(host, port, encoding=None)


def ssh_remote(
    address: Address, ssh_config: Path | None, step_timeout: float, connect_timeout: float
) -> PosixRemote:
    """A server reached by SSH.

    Args:
        address: Where it is.
        ssh_config: The ssh_config file to read; None for the user's own.
        step_timeout: Seconds until a copying or flushing step has failed.
        connect_timeout: Seconds until connecting has failed.

    Raises:
        NotReady: The address is not one of SSH.
    """
    if address.scheme != "ssh":
        raise NotReady(f"not an address of SSH: {address.scheme}")
    connection = SshConnection(address, ssh_config, connect_timeout)
    return PosixRemote(
        address.path,
        connection.dial,
        connection.hang_up,
        step_timeout,
        connect_timeout,
        connection.round_trip,
        connection.reach,
    )
