"""Where a server is, as a configuration says it before it is checked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsnb.core import config
from opsnb.core.address import Address, Way
from opsnb.core.unchecked import tables, way
from opsnb.errors import ConfigError

WHOLE = """\
[project]
connect_timeout = 3
step_timeout = 50

[environments.production]
step_timeout = 60.5

[environments.look]
read_only = true

[servers.web1]
url = "ssh://deploy@web1.example.com/var/www/shop"
environment = "production"
connect_timeout = 4

[servers.web2]
url = "sftp://web2/srv"

[servers.web3]
url = "ssh://web3/srv"
environment = "look"

[servers.here]
url = "file:///srv/shop"
"""


def test_the_way_is_the_one_that_the_check_will_find() -> None:
    read = config.parse(WHOLE)
    for name in ("web1", "web2", "web3"):
        settings = read.settings(name)
        address = Address.parse(read.servers[name].url)
        checked = Way(address, settings.step_timeout, settings.connect_timeout)
        assert way(tables(WHOLE, "x"), name) == checked
    assert way(tables(WHOLE, "x"), "web1") == Way(
        Address.parse("ssh://deploy@web1.example.com/var/www/shop"), 60.5, 4
    )


def test_an_address_needs_no_table_and_has_what_the_project_says() -> None:
    url = "ssh://elsewhere/srv"
    assert way(tables(WHOLE, "x"), url) == Way(Address.parse(url), 50, 3)
    assert way({}, url) == Way(Address.parse(url))


def test_to_this_machine_and_to_nowhere_there_is_no_way() -> None:
    for name in ("here", "web4", "production", "file:///srv", "ssh://", "ssh://host"):
        assert way(tables(WHOLE, "x"), name) is None


def test_what_is_only_looked_at_is_connected_to_for_a_look() -> None:
    said = tables(WHOLE, "x")
    assert way(said, "web3")
    assert way(said, "web3", changes=True) is None
    assert way(said, "web1", changes=True)


@pytest.mark.parametrize(
    "text",
    [
        "servers = 3",
        "[servers]\nweb1 = 3",
        "[servers.web1]\nurl = 3",
        "[servers.web1]\nurl = ['ssh://web1/srv']",
        "[servers.web1]\nurl = 'ssh://user:secret@web1/srv'",
        "[servers.web1]\nurl = 'ssh://web1/srv'\nconnect_timeout = 'long'",
        "[servers.web1]\nurl = 'ssh://web1/srv'\nconnect_timeout = 0",
    ],
)
def test_of_what_is_odd_nothing_is_known(text: str) -> None:
    assert way(tables(text, "x"), "web1") is None
    with pytest.raises(ConfigError):
        config.parse(text)


@pytest.mark.parametrize("text", ["project = 3", "[servers.web1]\nenvironment = ['a']"])
def test_what_is_odd_elsewhere_is_left_to_the_check(text: str) -> None:
    assert way(tables(text, "x"), "ssh://web1/srv") == Way(Address.parse("ssh://web1/srv"))
    assert way(tables(text, "x"), "web1") is None


@given(
    st.recursive(
        st.none() | st.text() | st.integers() | st.floats(),
        lambda more: (
            st.lists(more)
            | st.dictionaries(
                st.sampled_from(
                    ["project", "servers", "environments", "web1", "url", "environment"]
                )
                | st.text(),
                more,
            )
        ),
    ),
    st.text(),
)
def test_nothing_is_too_odd(said: object, name: str) -> None:
    tree = said if isinstance(said, dict) else {"servers": {name: said}}
    for asked in (name, "web1"):
        found = way(tree, asked)
        assert found is None or isinstance(found, Way)
