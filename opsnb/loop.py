"""The one event loop that owns every connection, in a thread of its own.

Whatever loop the caller has (a kernel's, none at all), connections belong to this one; callers
only submit to it. Nothing here nests loops.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from opsnb.errors import OpsnbError

T = TypeVar("T")
N = TypeVar("N")
GRACE = 2.0
BEAT = 0.2


class LoopThread:
    """An event loop that runs in a daemon thread from the first use to the end of the program."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._guard:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="opsnb", daemon=True
                )
                self._thread.start()
                atexit.register(self._stop)
            return self._loop

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine there.

        Args:
            work: The coroutine.

        Returns:
            Its future, which any thread may wait for.
        """
        return asyncio.run_coroutine_threadsafe(work, self._started())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for it; Ctrl-C cancels it, and leaves its clean-up to it.

        Args:
            work: The coroutine.

        Raises:
            OpsnbError: Called on the loop's own thread, which would wait for itself for ever.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise OpsnbError("a blocking call was made on opsnb's own thread")
        future = self.submit(work)
        try:
            return wait(future)
        except KeyboardInterrupt:
            try:
                future.cancel()
            finally:  # a second interrupt may come before that was done
                future.cancel()
            raise

    def follow(
        self,
        work: Callable[[Callable[[N], None]], Coroutine[Any, Any, T]],
        hear: Callable[[N], object],
    ) -> T:
        """Run what tells of itself, and hear of it on the caller's own thread until it has ended.

        An interrupt (Ctrl-C), and an error of the listener's, cancels it and waits for its
        clean-up; a second interrupt leaves at once. What goes wrong in the clean-up after an
        interrupt is raised in its place.

        Args:
            work: Makes the coroutine, from what it is to tell its news to.
            hear: Is told the news, in order.

        Raises:
            OpsnbError: Called on the loop's own thread, which would wait for itself for ever.
        """
        if threading.current_thread() is self._thread:
            raise OpsnbError("a blocking call was made on opsnb's own thread")
        loop = self._started()
        followed: _Followed[N, T] = _Followed()
        loop.call_soon_threadsafe(followed.start, work)
        try:
            return followed.wait(hear)
        except KeyboardInterrupt:
            # In this order: what is called on a loop from outside is carried out in order.
            try:
                loop.call_soon_threadsafe(followed.cancel)
                with suppress(asyncio.CancelledError):
                    followed.wait(hear)
            except KeyboardInterrupt:
                # It may have come before the first one had been passed on.
                loop.call_soon_threadsafe(followed.cancel_once)
                raise
            raise
        except BaseException:
            loop.call_soon_threadsafe(followed.cancel)
            with suppress(Exception, asyncio.CancelledError):
                followed.wait(lambda _: None)
            raise

    def _stop(self) -> None:
        """At the end of the program: cancel what runs, and give its clean-up two seconds."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None or not thread.is_alive():
            return
        ended = asyncio.run_coroutine_threadsafe(_cancel_all(), loop)
        try:
            ended.result(GRACE)
        except (TimeoutError, CancelledError):
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join(GRACE)
        if not loop.is_running():
            loop.close()


class _Followed(Generic[N, T]):
    """Work that runs on the loop, and the queue of its news, of which its end is the last."""

    def __init__(self) -> None:
        self._news: SimpleQueue[tuple[N] | None] = SimpleQueue()
        self._task: asyncio.Task[T]
        self._cancelled = self._over = False

    def start(self, work: Callable[[Callable[[N], None]], Coroutine[Any, Any, T]]) -> None:
        self._task = asyncio.get_running_loop().create_task(work(lambda it: self._news.put((it,))))
        self._task.add_done_callback(self._ended)

    def _ended(self, _: asyncio.Task[T]) -> None:
        self._over = True
        self._news.put(None)

    def cancel(self) -> None:
        self._cancelled = True
        self._task.cancel()

    def cancel_once(self) -> None:
        if not self._cancelled:
            self.cancel()

    def wait(self, hear: Callable[[N], object]) -> T:
        while True:
            try:
                news = self._news.get(timeout=BEAT)
            except Empty:
                if self._over and self._news.empty():  # an interrupt took the last one with it
                    return self._task.result()
                continue
            if news is None:
                self._news.put(None)  # it stays the last, for whoever waits again
                return self._task.result()
            hear(news[0])


def wait(
    future: Future[T], timeout: float | None = None, beat: Callable[[], None] = lambda: None
) -> T:
    """Wait for a future in steps, so that an interrupt is noticed on every platform.

    Args:
        future: What to wait for.
        timeout: Seconds to wait at most; None for ever.
        beat: Called after every step.

    Raises:
        TimeoutError: It was not done in time.
    """
    left = timeout
    while True:
        step = BEAT if left is None else min(BEAT, left)
        try:
            return future.result(step)
        except TimeoutError:
            if future.done():  # it ended as the step did, or the error is its own
                return future.result()
            if left is not None:
                left -= step
                if left <= 0:
                    raise
            beat()


async def _cancel_all() -> None:
    own = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not own]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


LOOP = LoopThread()
