"""Work on very many paths, beside Python's search for garbage."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

from opsnb.engine.steady import uncollected


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Whatever a test leaves it in, the next one finds it on."""
    gc.enable()
    yield
    gc.enable()


def test_no_garbage_is_looked_for_until_the_last_of_them_has_ended() -> None:
    begun, end = threading.Event(), threading.Event()

    def work() -> None:
        with uncollected():
            begun.set()
            assert end.wait(10)

    beside = threading.Thread(target=work)
    with uncollected():
        beside.start()
        assert begun.wait(10)
        assert not gc.isenabled()
    assert not gc.isenabled()
    end.set()
    beside.join()
    assert gc.isenabled()


def test_it_is_looked_for_again_after_a_failure() -> None:
    with pytest.raises(ValueError, match="lost"), uncollected():
        raise ValueError("lost")
    assert gc.isenabled()


def test_who_has_switched_it_off_finds_it_off() -> None:
    gc.disable()
    with uncollected():
        assert not gc.isenabled()
    assert not gc.isenabled()
