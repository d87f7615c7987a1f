"""``opsnb check`` and a real nginx: what it calls wrong is, and what it says to write is right.

Debian's layout, in a folder that the login may read, over a real sshd.
"""

from __future__ import annotations

import http.client
from pathlib import Path

from opsnb.core.config import Settings
from opsnb.core.doctor import Finding
from opsnb.server import Server
from tests.downtime.load import read
from tests.downtime.operator import write
from tests.downtime.web import NGINX, answering, child, folder_of, php
from tests.support.ports import free_port
from tests.support.sshd import HOST, RealSshd, require

SITE = """server {{
    listen {host}:{port};
    server_name shop.example.com;
    root {root};
    location ~ \\.php$ {{ include snippets/fastcgi-php.conf; fastcgi_pass unix:{php}; }}
}}
"""
SNIPPET = """fastcgi_param REQUEST_METHOD $request_method;
fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
fastcgi_param DOCUMENT_ROOT $document_root;
"""


class Debian:
    """nginx as Debian lays it out, below a folder.

    Args:
        sshd: Whose user runs it.
        root: The document root.
        listening: PHP-FPM's socket.
    """

    def __init__(self, sshd: RealSshd, root: Path, listening: str) -> None:
        self._sshd = sshd
        self.port = free_port()
        self.folder = folder_of(sshd, "debian")
        self.main = self.folder / "nginx.conf"
        for name in ("sites-enabled", "snippets"):
            (self.folder / name).mkdir()
        frame = NGINX.format(folder=self.folder, host=HOST, port=0, root="/", more="")
        head, _, _ = frame.partition("server {")
        self.main.write_text(
            f"{head}open_file_cache max=9; include {self.folder}/sites-enabled/*;\n}}\n"
        )
        self.site = self.folder / "sites-enabled" / "shop"
        self.site.write_text(SITE.format(host=HOST, port=self.port, root=root, php=listening))
        (self.folder / "snippets" / "fastcgi-php.conf").write_text(SNIPPET)
        sshd.own(self.folder)

    def ask(self, path: str) -> tuple[int, set[str]]:
        """Start nginx, ask it for a page, and end it: the status, and the releases named."""
        program = require("nginx")
        argv = [program, "-e", f"{self.folder}/error.log", "-p", str(self.folder)]
        said = self.folder / "said.log"
        with child(self._sshd, [*argv, "-c", str(self.main)], said) as process:
            answering(process, (HOST, self.port), said)
            connection = http.client.HTTPConnection(HOST, self.port, timeout=20)
            connection.request("GET", path)
            answer = connection.getresponse()
            names = set(read(answer.read()))
            connection.close()
            return answer.status, names


def web(server: Server) -> list[Finding]:
    return [one for one in server.findings() if one.item == "web"]


def test_what_check_says_to_write_is_right_for_a_real_nginx(sshd: RealSshd, tmp_path: Path) -> None:
    site = sshd.home / "checked"
    with php(sshd, "php-checked") as listening:
        debian = Debian(sshd, site / "public", listening)
        settings = Settings.model_validate({"web_config": str(debian.main)})
        server = Server(sshd.url(site), ssh_config=sshd.ssh_config, settings=settings)
        server.deploy(write(tmp_path / "source", "r1")).wait()
        assert debian.ask("/page.html") == (404, set()), "nobody sees what was published"
        wrong = web(server)
        assert [one.ok for one in wrong] == [False] * 4
        assert [one.hint for one in wrong] == [
            f"root {site}/current/public;",
            "open_file_cache off;",
            "fastcgi_param SCRIPT_FILENAME $realpath_root$fastcgi_script_name;",
            "fastcgi_param DOCUMENT_ROOT $realpath_root;",
        ]

        # What it says is written; the releases have no folder public.
        root, cache, *params = (one.hint for one in wrong)
        was = debian.site.read_text()
        now = was.replace(f"root {site}/public;", f"{root.replace('/public', '')} {cache}")
        debian.site.write_text(now)
        (debian.folder / "snippets" / "fastcgi-php.conf").write_text(
            SNIPPET.splitlines()[0] + "\n" + "\n".join(params)
        )
        (well,) = web(server)
        assert well.ok
        assert "of shop.example.com goes through current" in well.found
        assert debian.ask("/page.html") == (200, {"r1"})
        assert debian.ask("/index.php") == (200, {"r1"})

        debian.site.write_text(now.replace(cache, f"{cache} disable_symlinks on;"))
        (links,) = web(server)
        assert "disable_symlinks on" in links.found
        assert debian.ask("/page.html")[0] in (403, 404), "and so it is"
        debian.site.write_text(now.replace(cache, f"{cache} {links.hint}"))
        assert web(server)[0].ok
        assert debian.ask("/page.html") == (200, {"r1"})
        server.close()


def test_what_may_not_be_read_is_said_and_is_no_fault(sshd: RealSshd, tmp_path: Path) -> None:
    closed = sshd.base / "closed.conf"
    closed.write_text("http { }")
    closed.chmod(0)
    for path, said in ((closed, "may not be read"), (tmp_path / "nothing", "not looked at")):
        settings = Settings.model_validate({"web_config": str(path)})
        server = Server(sshd.url(sshd.home / "new"), ssh_config=sshd.ssh_config, settings=settings)
        (told,) = web(server)
        assert told.ok
        assert said in told.found
        server.close()
