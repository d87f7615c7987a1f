"""nginx and PHP-FPM, as children on loopback with a configuration of the tests' own.

Rule 1: they run as the server's ordinary user, in the foreground, in a folder of their own.
Rule 2: whoever began one ends it, by its number, and what it had begun goes with it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port
from tests.support.sshd import HOST, RealSshd, absent, require

SECONDS = 20.0

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 2;
events {{ worker_connections 256; }}
http {{
    access_log off;
    default_type text/html;
    sendfile on;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {host}:{port} sndbuf=32k;
        root {root};
        {more}
    }}
}}
"""

PHP = """
location ~ \\.php$ {{
    fastcgi_pass unix:{socket};
    fastcgi_param REQUEST_METHOD $request_method;
    fastcgi_param QUERY_STRING $query_string;
    fastcgi_param SCRIPT_FILENAME {root}$fastcgi_script_name;
    fastcgi_param DOCUMENT_ROOT {root};
}}
"""

FPM = """
[global]
error_log = {folder}/fpm.log
daemonize = no
[www]
listen = {socket}
pm = static
pm.max_children = 4
catch_workers_output = yes
php_admin_value[opcache.enable] = 1
php_admin_value[opcache.validate_timestamps] = 0
php_admin_value[display_errors] = 0
"""


@contextmanager
def child(sshd: RealSshd, argv: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs as the server's user until the end of the block."""
    owner = {"user": sshd.uid, "group": sshd.gid, "extra_groups": []} if os.geteuid() == 0 else {}
    with log.open("ab") as out:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            **owner,  # type: ignore[call-overload]
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(SECONDS)
        finally:
            process.kill()
            process.wait()


def answering(process: subprocess.Popen[bytes], address: object, log: Path) -> None:
    """Wait until somebody listens there."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    deadline = time.monotonic() + SECONDS
    while True:
        with socket.socket(family) as probe, contextlib.suppress(OSError):
            probe.connect(address)  # type: ignore[arg-type]
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"it does not listen: {log.read_text(errors='replace')}")
        time.sleep(0.02)


def folder_of(sshd: RealSshd, name: str) -> Path:
    """A folder that the server's user may write to."""
    folder = sshd.base / name
    folder.mkdir()
    return sshd.own(folder)


@contextmanager
def nginx(sshd: RealSshd, root: Path, more: str = "", name: str = "nginx") -> Iterator[int]:
    """nginx with a document root, until the end of the block; its port.

    Args:
        sshd: Whose user runs it.
        root: The document root.
        more: What else the server block says.
        name: The name of its folder.
    """
    program = require("nginx")
    folder, port = folder_of(sshd, name), free_port()
    config, log = folder / "nginx.conf", folder / "error.log"
    values = {"folder": folder, "host": HOST, "port": port, "root": root, "more": more}
    config.write_text(NGINX.format(**values))
    argv = [program, "-e", str(log), "-p", str(folder), "-c", str(config)]
    with child(sshd, argv, folder / "said.log") as process:
        answering(process, (HOST, port), folder / "said.log")
        yield port


def php_program() -> str:
    """PHP-FPM's path; Debian's name has a version in it."""
    found = sorted(Path("/usr/sbin").glob("php-fpm*"))
    if not found:
        absent("php-fpm is not here: apt-get install php-fpm")
    return str(found[-1])


@contextmanager
def php(sshd: RealSshd, name: str) -> Iterator[str]:
    """PHP-FPM with its opcode cache, until the end of the block; its socket.

    Args:
        sshd: Whose user runs it.
        name: The name of its folder.
    """
    program = php_program()
    folder = folder_of(sshd, name)
    config, listening, log = folder / "fpm.conf", f"{folder}/fpm.sock", folder / "said.log"
    config.write_text(FPM.format(folder=folder, socket=listening))
    with child(sshd, [program, "-F", "-y", str(config)], log) as process:
        answering(process, listening, log)
        yield listening
