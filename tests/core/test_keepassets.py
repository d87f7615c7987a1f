"""Old assets: which paths are meant, and what is believed of them."""

from __future__ import annotations

from hashlib import sha256

import pytest

from opsnb.core import config, keepassets
from opsnb.core.durations import seconds
from opsnb.errors import ConfigError


@pytest.mark.parametrize(
    ("pattern", "meant", "others"),
    [
        ("assets/", ["assets/a.js", "assets/deep/b"], ["assetsx/a", "x/assets/a"]),
        ("assets", ["assets", "assets/a.js"], ["assets.js"]),
        ("a/*.js", ["a/x.js"], ["a/b/x.js", "a/x.jsx", "a/x_js"]),
        ("a/?.js", ["a/x.js"], ["a/xy.js", "a//.js"]),
        ("**/hashed/", ["hashed/a", "a/hashed/b", "a/b/hashed/c/d"], ["xhashed/a"]),
        ("a/**/x", ["a/x", "a/b/c/x"], ["ax", "a/bx"]),
        ("a/**", ["a/x", "a/b/c"], ["b/x"]),
        ("(a|b)/", ["(a|b)/x"], ["a/x", "b/x"]),
    ],
)
def test_a_pattern_means_these_paths_and_no_others(
    pattern: str, meant: list[str], others: list[str]
) -> None:
    matches = keepassets.matching([pattern])
    assert [path for path in meant + others if matches(path.encode())] == meant


def test_without_a_pattern_nothing_is_meant() -> None:
    assert not keepassets.matching([])(b"assets/a.js")


@pytest.mark.parametrize(
    "pattern", ["", "/a", "a//b", "../a", "a/..", "!a", "[ab]", "a\\b", "a\nb"]
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    text = f"[project]\nkeep_assets = [{pattern!r}]\n".replace("'", '"')
    with pytest.raises(ConfigError, match=r"opsnb\.toml:2"):
        config.parse(text)


@pytest.mark.parametrize(
    ("text", "means"), [("45s", 45), ("10m", 600), ("12h", 43200), ("7d", 604800)]
)
def test_lengths_of_time(text: str, means: int) -> None:
    assert seconds(text) == means


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5h", "7 d", "7w", "9999d", "1e3s", "٧d"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a length of time"):
        seconds(text)
    with pytest.raises(ConfigError, match="keep_assets_for"):
        config.parse(f'[project]\nkeep_assets_for = "{text}"\n')


LEFT = {b"assets/a.js": 1774447200, b"assets/\xff\n b": 7}


def test_what_is_written_down_is_read_again_if_the_record_names_it() -> None:
    text = keepassets.encode(LEFT)
    assert keepassets.believed(text, keepassets.digest(LEFT)) == LEFT
    assert keepassets.believed(text + b"1 assets/b\n", keepassets.digest(LEFT)) == {}
    assert keepassets.digest({}) == ""


@pytest.mark.parametrize(
    "line",
    ["1 ../etc/passwd", "1 /etc", "-1 a", "x a", "1 a b", "1", "", "1 a\n1 b/../c", "1 a\nend"],
)
def test_what_a_server_made_up_is_not_believed(line: str) -> None:
    text = f"opsnb-assets 1\n{line}\n".encode()
    with pytest.raises(ValueError):  # noqa: PT011 - each says something else
        keepassets.decode(text)
    assert keepassets.believed(text, sha256(text).hexdigest()) == {}


def test_there_is_a_most_of_them() -> None:
    lines = "".join(f"1 a/{n}\n" for n in range(keepassets.MOST + 1))
    with pytest.raises(ValueError, match="not a list"):
        keepassets.decode(b"opsnb-assets 1\n" + lines.encode())
