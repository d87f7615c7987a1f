"""Following work on the one loop: its news in order, on the caller's thread, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from opsnb.errors import OpsnbError
from opsnb.loop import LOOP, _Followed, wait


def test_news_comes_in_order_on_the_callers_thread_before_the_result() -> None:
    heard: list[tuple[int, str]] = []

    async def work(tell: Callable[[int], None]) -> str:
        assert threading.current_thread().name == "opsnb"
        for number in range(1000):
            tell(number)
            if number == 500:
                await asyncio.sleep(0)
        return "result"

    def hear(number: int) -> None:
        heard.append((number, threading.current_thread().name))

    assert LOOP.follow(work, hear) == "result"
    assert heard == [(number, "MainThread") for number in range(1000)]


def test_what_goes_wrong_there_is_raised_here_after_the_news() -> None:
    heard: list[str] = []

    async def work(tell: Callable[[str], None]) -> None:
        tell("last words")
        raise OpsnbError("over")

    with pytest.raises(OpsnbError, match="over"):
        LOOP.follow(work, heard.append)
    assert heard == ["last words"]


class Slow:
    """Work that says what becomes of it; its clean-up takes a moment and says so."""

    def __init__(self, cleanup: float = 0.2) -> None:
        self.end = ""
        self._cleanup = cleanup

    async def __call__(self, tell: Callable[[str], None]) -> None:
        tell("begun")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(self._cleanup)
            tell("cleaned up")
            self.end = "cleaned up"
            raise


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_cancels_it_and_waits_for_its_clean_up() -> None:
    work, heard = Slow(), []

    def hear(news: str) -> None:
        heard.append(news)
        if news == "begun":
            threading.Timer(0.1, interrupt).start()

    with pytest.raises(KeyboardInterrupt):
        LOOP.follow(work, hear)
    assert work.end == "cleaned up"
    assert heard == ["begun", "cleaned up"]


def test_what_goes_wrong_in_the_clean_up_after_an_interrupt_is_said() -> None:
    async def work(tell: Callable[[str], None]) -> None:
        tell("begun")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise OpsnbError("not cleaned up") from None

    def hear(_: str) -> None:
        threading.Timer(0.1, interrupt).start()

    with pytest.raises(OpsnbError, match="not cleaned up"):
        LOOP.follow(work, hear)


def test_a_second_interrupt_leaves_at_once() -> None:
    work = Slow(cleanup=5)

    def hear(_: str) -> None:
        threading.Timer(0.1, interrupt).start()
        threading.Timer(0.6, interrupt).start()

    with pytest.raises(KeyboardInterrupt):
        LOOP.follow(work, hear)
    assert work.end == ""


def test_a_second_interrupt_before_the_first_was_passed_on_loses_neither(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work, loop = Slow(), LOOP._started()
    really, calls = loop.call_soon_threadsafe, []

    def interrupted(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:  # the first begins the work
            raise KeyboardInterrupt
        return really(*args)

    def hear(_: str) -> None:
        threading.Timer(0.1, interrupt).start()

    monkeypatch.setattr(loop, "call_soon_threadsafe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        LOOP.follow(work, hear)
    monkeypatch.undo()
    for _ in range(200):
        if work.end:
            break
        time.sleep(0.02)
    assert work.end == "cleaned up"


def test_an_error_of_the_listener_cancels_it_too_and_it_is_told_no_more() -> None:
    work, heard = Slow(), []

    def hear(news: str) -> None:
        heard.append(news)
        raise ValueError("the listener")

    with pytest.raises(ValueError, match="the listener"):
        LOOP.follow(work, hear)
    assert (work.end, heard) == ("cleaned up", ["begun"])


def test_an_interrupt_before_it_has_begun_is_no_different() -> None:
    work = Slow()
    blocked = LOOP.submit(_blocking())
    threading.Timer(0.1, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        LOOP.follow(work, lambda _: None)
    blocked.result()
    assert work.end == ""


async def _blocking() -> None:
    time.sleep(0.5)  # noqa: ASYNC251 - the loop itself is held up


def test_it_is_refused_on_the_loops_own_thread() -> None:
    async def inside() -> None:
        LOOP.follow(Slow(), lambda _: None)

    with pytest.raises(OpsnbError, match="own thread"):
        LOOP.submit(inside()).result()


class EndsWithTheStep(Future[str]):
    """A future that is done between the end of a step of the waiting and the look at it."""

    def __init__(self, end: Callable[[EndsWithTheStep], None]) -> None:
        super().__init__()
        self._end = end

    def result(self, timeout: float | None = None) -> str:
        try:
            return super().result(timeout)
        except TimeoutError:
            if not self.done():
                self._end(self)
            raise


@pytest.mark.parametrize("timeout", [None, 0.01], ids=["for ever", "the last step"])
def test_what_ends_just_after_a_step_of_the_waiting_is_not_late(timeout: float | None) -> None:
    ends = EndsWithTheStep(lambda it: it.set_result("result"))
    assert wait(ends, timeout) == "result"


def test_a_time_limit_of_the_work_itself_is_raised() -> None:
    ends = EndsWithTheStep(lambda it: it.set_exception(TimeoutError("the work's own")))
    with pytest.raises(TimeoutError, match="the work's own"):
        wait(ends)


def test_work_that_is_not_done_in_time_is_late() -> None:
    with pytest.raises(TimeoutError):
        wait(Future[str](), 0.01)


def test_a_last_word_that_an_interrupt_took_with_it_is_not_waited_for() -> None:
    followed: _Followed[str, str] = _Followed()

    async def begin() -> None:
        async def work() -> str:
            return "result"

        followed.start(lambda _: work())
        await followed._task

    LOOP.run(begin())
    assert followed._news.get(timeout=20) is None
    heard: list[str] = []
    assert followed.wait(heard.append) == "result"
    assert heard == []
