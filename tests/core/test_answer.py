"""An answer is judged here, wherever it was asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from opsnb.core.answer import MOST, Answer, fault
from opsnb.core.asking import (
    END,
    LATE,
    Question,
    http_script,
    lacks,
    question,
    read,
    redirected,
    tcp_script,
)
from opsnb.core.settings.health import Health, host_and_port
from opsnb.core.text import safe

RELEASE = "20260325140000"
URL = "http://shop.test/health"


def check(**said: Any) -> Health:
    return Health.model_validate({"url": URL} | said)


def answer(body: object = b"", status: int = 200, **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Answer(status, pairs, raw)


JUDGED = [
    ({}, answer(), ""),
    ({}, answer(status=503), "answered 503, not 200"),
    ({"status": [200, 204]}, answer(status=204), ""),
    ({"status": [200, 204]}, answer(status=301), "answered 301, not 200 or 204"),
    ({"status": 401}, answer(status=401), ""),
    ({"contains": "ok"}, answer(b"all ok"), ""),
    ({"contains": "ok"}, answer(b"no"), "does not contain 'ok'"),
    ({"contains": "at {release}"}, answer(f"at {RELEASE}".encode()), ""),
    ({"contains": "{release}"}, answer(b"20200101000000"), f"does not contain '{RELEASE}'"),
    ({"header": {"name": "X-Release"}}, answer(), "has no header X-Release"),
    ({"header": {"name": "x-release", "contains": "{release}"}}, answer(X_Release=RELEASE), ""),
    (
        {"header": {"name": "X-Release", "contains": "{release}"}},
        answer(X_Release="old\x1b[31m"),
        f"has X-Release: old\\x1b[31m, not '{RELEASE}'",
    ),
    ({"header": {"name": "Age", "matches": "^[0-9]+$"}}, answer(Age="12"), ""),
    ({"header": {"name": "Age", "matches": "^[0-9]+$"}}, answer(Age="x"), "has Age: x, not"),
    ({"json": {"path": "data.0.ok", "equals": True}}, answer({"data": [{"ok": True}]}), ""),
    ({"json": {"path": "data.0.ok", "equals": True}}, answer({"data": [{"ok": 1}]}), "has data.0"),
    ({"json": {"path": "data.1", "equals": 1}}, answer({"data": [1]}), "has no data.1 in its JSON"),
    ({"json": {"path": "a.b", "equals": 1}}, answer({"a": 1}), "has no a.b in its JSON"),
    ({"json": {"path": "a", "equals": 1}}, answer(b"<html>"), "is no JSON"),
    ({"json": {"path": "a", "equals": 1}}, answer(b"[" * 100_000), "is no JSON"),
    ({"json": {"path": "a", "equals": None}}, answer({"a": None}), ""),
    ({"json": {"path": "r", "equals": "{release}"}}, answer({"r": RELEASE}), ""),
    ({"json": {"path": "-1", "equals": 1}}, answer([1]), ""),
]


@pytest.mark.parametrize(("said", "got", "wanted"), JUDGED)
def test_an_answer_is_judged_by_what_the_check_says(
    said: dict[str, Any], got: Answer, wanted: str
) -> None:
    found = fault(check(**said), got, RELEASE)
    assert found.startswith(wanted)
    assert bool(found) == bool(wanted)
    assert safe(found) == found


def test_an_answer_that_was_cut_says_so() -> None:
    cut = Answer(200, (), b"x" * 2000, cut=True)
    assert fault(check(contains="ok"), cut, "") == "does not contain 'ok' in its first 2 kB"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "one of url, tcp and command"),
        ({"url": URL, "command": "true"}, "one of url"),
        ({"url": "ftp://a/"}, "http://"),
        ({"url": "http:///x"}, "name a host"),
        ({"url": "http://a/\nb"}, "plain ASCII"),
        ({"url": "http://me:secret@a/"}, "password"),
        ({"url": URL, "when": "before"}, "{release} in the address"),
        ({"tcp": "a:1", "when": "both"}, "{release} in the address"),
        ({"tcp": "a:0"}, "host:port"),
        ({"tcp": "-oProxyCommand=x:1"}, "host:port"),
        ({"command": "true", "from": "server"}, "leave `from` out"),
        ({"command": "true", "contains": "x"}, "contains is only for a url"),
        ({"tcp": "a:1", "json": {"path": "a", "equals": 1}}, "json is only for a url"),
        ({"url": URL, "method": "HEAD", "contains": "x"}, "HEAD"),
        ({"url": URL, "headers": {"a b": "x"}}, "no name of a header"),
        ({"url": URL, "headers": {"A": "x\r\nB: y"}}, "plain ASCII"),
        ({"url": URL, "headers": {"Host": "x"}}, "opsnb itself"),
        ({"url": URL, "header": {"contains": "x"}}, "no name of a header"),
        ({"url": URL, "header": {"name": "A", "matches": "("}}, "regular expression"),
        ({"url": URL, "json": {"path": "a"}}, "path"),
        ({"url": URL, "json": {"path": "a..b", "equals": 1}}, "path"),
        ({"url": URL, "status": 99}, "100 to 599"),
        ({"url": URL, "status": []}, "100 to 599"),
    ],
)
def test_a_check_that_makes_no_sense_is_refused(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match="(?s)" + why.replace("{", r"\{")):
        Health.model_validate(said)


def test_before_the_switch_an_address_names_the_release() -> None:
    asked = Health.model_validate({"url": "http://{release}.shop.test/", "when": "both"})
    assert question(asked, RELEASE, {}).url == f"http://{RELEASE}.shop.test/"
    assert (asked.is_asked("before"), asked.is_asked("after")) == (True, True)
    assert Health.model_validate({"command": "true", "when": "before"}).is_asked("before")


def test_host_and_port_may_be_of_either_kind() -> None:
    assert host_and_port("shop.test:80") == ("shop.test", 80)
    assert host_and_port("[::1]:8080") == ("::1", 8080)


# --- redirections ------------------------------------------------------------------------------


def moved(status: int, location: str) -> Answer:
    return Answer(status, (("Location", location),))


def test_a_redirection_within_the_origin_keeps_the_headers_and_no_other_does() -> None:
    asked = Question("https://a.test/x", "POST", (("Authorization", "Bearer s3cret"),))
    near = redirected(asked, moved(307, "/y?z#f"))
    assert near == Question("https://a.test/y?z", "POST", asked.headers)
    assert redirected(asked, moved(302, "/y")) == Question("https://a.test/y", "GET", asked.headers)
    for other in ("https://b.test/y", "http://a.test/y", "https://a.test:8443/y"):
        far = redirected(asked, moved(308, other))
        assert far is not None
        assert far.headers == ()
    assert redirected(asked, answer()) is None
    assert redirected(asked, Answer(302)) is None
    assert "s3cret" not in repr(asked)


@pytest.mark.parametrize("where", ["file:///etc/passwd", "http://a/\x00", "gopher://a", "//[x"])
def test_a_redirection_leads_to_an_address_or_nowhere(where: str) -> None:
    with pytest.raises(ValueError, match=r"address|URL"):
        redirected(Question(URL), moved(302, where))


# --- what the server's programs are told, and say ------------------------------------------------

SECRET = Question(URL, "GET", (("Authorization", "Bearer s3cret"), ("X-Odd", 'a"b\\c')))


@pytest.mark.parametrize("tool", ["python3", "curl", "wget"])
def test_no_script_holds_what_may_be_a_secret(tool: str) -> None:
    script = http_script(SECRET, frozenset((tool,)), 5)
    assert "s3cret" not in script.text
    assert URL not in script.text
    assert "s3cret" in "".join(script.given.values())
    assert "s3cret" not in repr(script)


def test_a_server_without_a_program_that_can_ask_is_told_of() -> None:
    there = check(**{"from": "server"})
    assert "python3, curl, wget" in lacks(there, frozenset(("bash",)))
    assert lacks(there, frozenset(("wget",))) == ""
    assert lacks(check(), frozenset()) == ""
    port = Health.model_validate({"tcp": "a:1", "from": "server"})
    assert "bash" in lacks(port, frozenset(("curl",)))
    assert lacks(port, frozenset(("nc",))) == ""
    assert "nc -z" in tcp_script("a", 1, frozenset(("nc",)), 5).text


@pytest.mark.parametrize(
    ("out", "wanted"),
    [
        (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody", Answer(200, (("A", "b"),), b"body")),
        (b"HTTP/1.0 200 OK\n\na\r\n\r\nb", Answer(200, (), b"a\r\n\r\nb")),
        (b"HTTP/2 204\nA: b:c\n\n", Answer(204, (("A", "b:c"),), b"")),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx", Answer(200, (), b"x")),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 500 no\r\n\r\n", None),
        (b"", "nothing was answered"),
        (b"curl: (7) no \x1b[0m way\nmore", "curl: (7) no \\x1b[0m way"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 2000 OK"),
    ],
)
def test_what_the_server_says_is_read_as_an_answer_or_as_what_went_wrong(
    out: bytes, wanted: Answer | str | None
) -> None:
    got = read(out)
    if wanted is None:
        assert isinstance(got, Answer)
        assert got.body.startswith(b"HTTP/1.1 500")
    else:
        assert got == wanted


@pytest.mark.parametrize(
    ("out", "wanted"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nx" + END, Answer(200, (), b"x")),
        (b"HTTP/1.1 200 OK\r\n\r\nx" + END + b"curl: (28) too late", "curl: (28) too late"),
        (b"x" + END + b"  HTTP/1.0 200 OK\n  A: b\n", Answer(200, (("A", "b"),), b"x")),
        (END + b"  HTTP/1.0 302 Found\n  Location: /y", Answer(302, (("Location", "/y"),), b"")),
        (b"x" + END + b"  HTTP/1.0 200 OK\n" + LATE, LATE.decode()),
        (b"x" + END + b"  HTTP/1.0 200 OK\n2026 URL: fine", Answer(200, (), b"x")),
        (END + b"failed: Connection refused.", "failed: Connection refused."),
        (END, "nothing was answered"),
        (b"", "nothing was answered"),
    ],
)
def test_complaints_that_come_apart_are_no_part_of_the_answer(
    out: bytes, wanted: Answer | str
) -> None:
    assert read(out, apart=True) == wanted


def test_an_answer_that_was_enough_is_one_whatever_its_program_says_of_the_end() -> None:
    out = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MOST + 9) + END + b"curl: (23) cannot write"
    got = read(out, apart=True)
    assert isinstance(got, Answer)
    assert (len(got.body), got.cut) == (MOST, True)
