"""What is said of a web server's configuration, case by case, and of texts that make no sense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsnb.core.doctor import Finding
from opsnb.core.webconfig import Directive, apache, matches, nginx, patterns
from opsnb.core.webserver import Files, examine

MAIN, APACHE = "/etc/nginx/nginx.conf", "/etc/apache2/apache2.conf"
PLACES = ("/srv/real/shop", "/var/www/shop")


def found(
    text: str, main: str = MAIN, after: tuple[str, ...] = (), more: Mapping[str, str] | None = None
) -> list[Finding]:
    return examine(Files({main: text, **(more or {})}, (), PLACES, (main,)), after)


@dataclass(frozen=True)
class Case:
    """A server block, and the lines that are to be written instead; none when it is well."""

    name: str
    server: str
    hints: tuple[str, ...] = ()
    says: str = ""
    http: str = ""


ROOT = "root /var/www/shop/current/public;"
PASS = "fastcgi_pass unix:/run/php.sock;"
REAL = (
    "fastcgi_param SCRIPT_FILENAME $realpath_root$fastcgi_script_name; "
    "fastcgi_param DOCUMENT_ROOT $realpath_root;"
)
SCRIPT = "fastcgi_param SCRIPT_FILENAME $realpath_root$fastcgi_script_name;"
DOCUMENT = "fastcgi_param DOCUMENT_ROOT $realpath_root;"
LINK = "fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;"

CASES = [
    Case("well", ROOT, says="of shop.example.com goes through current"),
    Case("current itself", "root /var/www/shop/current;"),
    Case("a slash at the end", "root /var/www/shop/current/;"),
    Case("in quotes", 'root "/var/www/shop/current/a b";'),
    Case("as the server resolves it", "root /srv/real/shop/current;"),
    Case("elsewhere", "root /var/www/other;", says="nothing of what could be read"),
    Case("a name that only begins alike", "root /var/www/shopping;", says="nothing of what"),
    Case("no root", "return 301 https://shop.example.com;", says="nothing of what"),
    Case("relative", "root html;", says="nothing of what"),
    Case(
        "deploy_to itself",
        "root /var/www/shop;",
        ("root /var/www/shop/current;",),
        "does not go through current",
    ),
    Case("a folder of it", "root /var/www/shop/web;", ("root /var/www/shop/current/web;",)),
    Case(
        "one release for ever",
        "root /var/www/shop/releases/20260101000000/web;",
        ("root /var/www/shop/current/web;",),
    ),
    Case(
        "an old release, resolved",
        "root /srv/real/shop/releases/1;",
        ("root /var/www/shop/current;",),
    ),
    Case(
        "dots that lead out of current",
        "root /var/www/shop/current/../web;",
        ("root /var/www/shop/current/web;",),
    ),
    Case(
        "a variable",
        "set $base /var/www/shop; root $base/web;",
        ("root /var/www/shop/current/web;",),
    ),
    Case("a variable in braces", "set $base /var/www/shop; root ${base}/current;"),
    Case("a variable that nobody knows", "root /var/www/$host/web;", says="nothing of what"),
    Case("shared is served beside it", f"{ROOT} location /u {{ alias /var/www/shop/shared/u; }}"),
    Case(
        "another folder in a location",
        f"{ROOT} location /x {{ root /var/www/shop/x; }}",
        ("root /var/www/shop/current/x;",),
    ),
    Case("a comment", f"# root /var/www/shop;\n{ROOT}"),
    Case("a word of a regular expression", f"{ROOT} location ~ '\\.(a{{2}}|b)$' {{ }}"),
    Case("a cache", f"{ROOT} open_file_cache max=9;", ("open_file_cache off;",), "up to 60s"),
    Case(
        "a cache further out, with its time",
        ROOT,
        ("open_file_cache off;",),
        "up to 5m",
        "open_file_cache max=9; open_file_cache_valid 5m;",
    ),
    Case("a cache that is off here", f"{ROOT} open_file_cache off;", http="open_file_cache max=9;"),
    Case("a cache of somebody else's", "root /var/www/other; open_file_cache max=9;"),
    Case(
        "a cache of shared alone",
        f"{ROOT} location /u {{ root /var/www/shop/shared; open_file_cache max=9; }}",
    ),
    Case("no links", f"{ROOT} disable_symlinks on;", ("disable_symlinks if_not_owner;",)),
    Case("links of one owner", f"{ROOT} disable_symlinks if_not_owner;"),
    Case("links below the root", f"{ROOT} disable_symlinks on from=$document_root;"),
    Case("the real path", f"{ROOT} location ~ \\.php$ {{ {PASS} {REAL} }}"),
    Case("the link", f"{ROOT} location ~ \\.php$ {{ {PASS} {LINK} }}", (SCRIPT,), "PHP remembers"),
    Case(
        "the link, from further out",
        f"{ROOT} {LINK} location ~ \\.php$ {{ {PASS} }}",
        (SCRIPT,),
    ),
    Case(
        "what is said inside replaces all that is said outside",
        f"{ROOT} {LINK} location ~ \\.php$ {{ {PASS} {REAL} }}",
    ),
    Case("of two the last one counts", f"{ROOT} location / {{ {LINK} {PASS} {REAL} }}"),
    Case(
        "the document root alone",
        f"{ROOT} location / {{ {PASS} {SCRIPT} fastcgi_param DOCUMENT_ROOT $document_root; }}",
        (DOCUMENT,),
    ),
    Case(
        "the path in full",
        f"{ROOT} {PASS} fastcgi_param SCRIPT_FILENAME /var/www/shop/current/index.php;",
        (SCRIPT,),
    ),
    Case("nothing is handed on", f"{ROOT} {LINK}"),
    Case(
        "everything at once",
        f"root /var/www/shop/web; open_file_cache max=9; location / {{ {PASS} {LINK} }}",
        ("root /var/www/shop/current/web;", "open_file_cache off;", SCRIPT),
    ),
    Case(
        "nothing of what is said outside is left, once something is said inside",
        f"{ROOT} fastcgi_param DOCUMENT_ROOT $document_root; location / {{ {PASS} {SCRIPT} }}",
    ),
    Case(
        "a cache in a location",
        f"{ROOT} location / {{ open_file_cache max=9; }}",
        ("open_file_cache off;",),
    ),
    Case(
        "Lua has a syntax of its own",
        "access_by_lua_block { if 'tis {} then } root /var/www/shop; # 'tis\n",
        ("root /var/www/shop/current;",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_nginx(case: Case) -> None:
    text = f"http {{ {case.http} server {{ server_name shop.example.com; {case.server} }} }}"
    told = found(text)
    assert tuple(one.hint for one in told if one.hint) == case.hints
    assert all(one.item == "web" for one in told)
    assert all(one.ok for one in told) is (not case.hints)
    assert case.says in " ".join(one.found for one in told)


APACHE_CASES = [
    ("DocumentRoot /var/www/shop/current", (), "goes through current"),
    ('documentroot "/var/www/shop/web"', ("DocumentRoot /var/www/shop/current/web",), "not go"),
    ("DocumentRoot \\\n /var/www/shop", ("DocumentRoot /var/www/shop/current",), "not go"),
    ("DocumentRoot /var/www/html", (), "nothing of what"),
    ("# DocumentRoot /var/www/shop", (), "nothing of what"),
]


@pytest.mark.parametrize(("line", "hints", "says"), APACHE_CASES)
def test_apache(line: str, hints: tuple[str, ...], says: str) -> None:
    for text in (
        f"<VirtualHost *:80>\nServerName shop\n{line}\n</VirtualHost>\n",
        f"ServerName main\n{line}\n<Directory />\nOptions None\n</Directory>\n",
    ):
        told = found(text, APACHE)
        assert tuple(one.hint for one in told if one.hint) == hints
        assert says in told[0].found


def test_apache_hands_php_the_link_unless_php_is_reloaded_after_each_switch() -> None:
    handler = (
        '<FilesMatch "\\.php$">\nSetHandler "proxy:unix:/run/php.sock|fcgi://x"\n</FilesMatch>'
    )
    text = f"<VirtualHost *:80>\nDocumentRoot /var/www/shop/current\n{handler}\n</VirtualHost>"
    (told,) = found(text, APACHE)
    assert not told.ok
    assert "after_publish" in told.hint
    (well,) = found(text, APACHE, after=("sudo systemctl reload php8.2-fpm",))
    assert well.ok


def test_what_is_included_stands_in_its_place() -> None:
    more = {
        "/etc/nginx/sites-enabled/shop": "server { root /var/www/shop/web; "
        "include snippets/php.conf; }",
        "/etc/nginx/snippets/php.conf": f"location / {{ {PASS} include fastcgi.conf; }}",
        "/etc/nginx/fastcgi.conf": LINK,
        "/etc/nginx/unused": "server { root /var/www/shop/unused; }",
    }
    told = found("http { include sites-enabled/*; }", more=more)
    assert [one.hint for one in told] == ["root /var/www/shop/current/web;", SCRIPT]


def test_the_patterns_of_what_is_included_are_absolute() -> None:
    text = "include mime.types; http { include /srv/*.conf; server { include ../x; } }"
    assert patterns(text, nginx, "/etc/nginx") == ["/etc/nginx/mime.types", "/srv/*.conf", "/etc/x"]
    text = "Include ports.conf\n<IfModule a>\nIncludeOptional sites/*.conf\n</IfModule>"
    assert patterns(text, apache, "/etc/apache2") == [
        "/etc/apache2/ports.conf",
        "/etc/apache2/sites/*.conf",
    ]


@pytest.mark.parametrize(
    ("path", "pattern", "does"),
    [
        ("/a/b.conf", "/a/*.conf", True),
        ("/a/b/c.conf", "/a/*.conf", False),
        ("/a/.b.conf", "/a/*", False),
        ("/a/.b", "/a/.b", True),
        ("/a/b", "/a/b", True),
        ("/a/[b]", "/a/[b]", False),
    ],
)
def test_a_pattern_means_what_it_means_to_a_shell(path: str, pattern: str, does: bool) -> None:
    assert matches(path, pattern) is does


def test_nothing_that_can_be_read_is_no_fault_and_is_said() -> None:
    (nothing,) = examine(Files({}))
    assert nothing.ok
    assert "not looked at" in nothing.found
    (closed,) = examine(Files({}, (MAIN,)))
    assert closed.ok
    assert "may not be read" in closed.found
    (some,) = examine(Files({MAIN: f"server {{ {ROOT} }}"}, ("/x", "/y"), PLACES, (MAIN,)))
    assert "2 files may not be read" in some.found


def test_a_hostile_configuration_stays_text() -> None:
    evil = "\x1b]0;owned\x07<script>\u202e"
    told = found(f'server {{ server_name "{evil}"; root "/var/www/shop/{evil}"; }}')
    assert not told[0].ok
    for one in told:
        assert not set("\x1b\x07\u202e") & set(one.found + one.hint)


BOMB = "include *.conf; " * 10 + f"server {{ {ROOT} }} " * 20


@pytest.mark.parametrize(
    "texts",
    [
        {MAIN: "include nginx.conf; " * 1000},
        {MAIN: BOMB, **{f"/etc/nginx/{n}.conf": BOMB for n in range(30)}},
        {MAIN: "a{" * 300_000},
        {MAIN: "}" * 300_000 + f"server {{ {ROOT} }}"},
        {MAIN: "'\\" * 300_000},
        {MAIN: "\" ' " * 200_000},
        {MAIN: "x " * 500_000},
        {MAIN: "server { root /var/www/shop/a; } " * 20_000},
        {MAIN: f"set $a {'x' * 500_000}; server {{ root /var/www/shop{'$a' * 200_000}; }}"},
        {MAIN: f"server {{ server_name {'x' * 900_000}; {ROOT} }}"},
        {MAIN: "".join(f"server {{ server_name s{n}; {ROOT} }} " for n in range(5_000))},
        {MAIN: "".join(f"server {{ root /var/www/shop/{n}; }} " for n in range(5_000))},
    ],
    ids=[
        "itself",
        "bomb",
        "deep",
        "closed",
        "quote",
        "quotes",
        "words",
        "many",
        "value",
        "name",
        "names",
        "different",
    ],
)
def test_a_configuration_without_measure_is_read_in_measure(texts: dict[str, str]) -> None:
    told = examine(Files(texts, (), PLACES, (MAIN,)))
    assert 0 < len(told) <= 20
    assert max(len(one.found + one.hint) for one in told) < 3_000


@given(st.text("ab/$ \n;{}#'\"\\<>server root include_lua", max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_text_gives_a_tree(text: str) -> None:
    for parser in (nginx, apache):
        assert all(isinstance(one, Directive) for one in parser(text))
    assert found(text)
    assert found(text, APACHE)
