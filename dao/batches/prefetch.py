"""Prefetch: a thread that works ahead of the consumer, by a bounded number of items."""

from __future__ import annotations

import atexit
import os
import queue
import threading
import time
import weakref
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dao.errors import GeneratorStoppedError
from dao.forks import job, waiting, working
from dao.stopping import carried, stopping

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

__all__ = ["Prefetcher", "one_ahead"]

P = TypeVar("P")
T = TypeVar("T")
_END = object()
_POLL_SECONDS = 0.1
_ENDED = "The thread that reads ahead has ended. Make a new iterator."
_running: weakref.WeakSet[Prefetcher[Any]] = weakref.WeakSet()


class Prefetcher(Generic[T]):
    """Iterate over what ``make`` returns in a thread of its own, at most ``depth`` items ahead.

    The thread ends with the source, on `close`, when the prefetcher is garbage collected,
    and at exit of the interpreter. An error of the source is raised by `__next__`.

    Parameters
    ----------
    make
        Makes the source, which is used by the thread alone, and closed there if it can be closed.
        It is given a function that waits until all items were taken, for sources that would
        rather have their memory back before they go on.
    depth
        Finished items that may wait.
    """

    def __init__(self, make: Callable[[Callable[[], None]], Iterator[T]], depth: int) -> None:
        self._ready = _Ready(depth)
        self._closed = False
        self.waited = 0.0
        # The thread must not know this object, or it could never be collected.
        self._thread = threading.Thread(
            target=_work, args=(make, self._ready), name="dao-prefetch", daemon=True
        )
        self._thread.start()
        _running.add(self)

    def __iter__(self) -> Prefetcher[T]:
        return self

    def __next__(self) -> T:
        if self._closed:
            raise StopIteration
        began = time.perf_counter()
        item = self._get()
        self.waited += time.perf_counter() - began
        if item is _END:
            self.close()
            raise StopIteration
        if isinstance(item, _Failure):
            self.close()
            raise item.error
        result: T = item
        return result

    def close(self) -> None:
        """Stop the thread and wait for it; safe to call twice."""
        if self._closed and not self._thread.is_alive():
            return
        self._closed = True
        self._ready.stop.set()
        self._ready.clear()
        if self._thread is not threading.current_thread():
            with waiting():
                self._thread.join()

    def __del__(self) -> None:
        # Waiting here could stall the garbage collector; the thread ends by itself.
        self._ready.stop.set()

    def _get(self) -> Any:
        while True:
            try:
                with waiting():
                    return self._ready.get()
            except queue.Empty:
                if not self._thread.is_alive() and self._ready.is_empty():
                    raise GeneratorStoppedError(_ENDED) from None


def one_ahead(plans: Iterator[P], begin: Callable[[P], Callable[[], T]]) -> Generator[T]:
    """Yield for each plan what came of it, the next one being made while one is used.

    Plans are made and begun in the calling thread, while it would wait otherwise; so nothing
    competes with its Python code. When one is begun, the one before it is still being made, but
    the one before that was used: no more than two are there. Plans are closed at the end.

    Parameters
    ----------
    plans
        Asked for the next one while one is being made.
    begin
        Begins to make something; what it returns is called in another thread, and waits for it.
    """
    try:
        with ThreadPoolExecutor(1, "dao-fetch") as thread:
            running, failure = _attempt(_begin_next, plans, begin, thread)
            while running is not None:
                following, failure = _attempt(_begin_next, plans, begin, thread)
                with waiting():
                    wait([running])
                item, running = running.result(), following
                yield item
                del item  # or it would be held while the one after the next is made
        if failure is not None:
            raise failure
    finally:
        _close(plans)


def _begin_next(
    plans: Iterator[P], begin: Callable[[P], Callable[[], T]], thread: ThreadPoolExecutor
) -> Future[T] | None:
    """Return the next item to come, None after the last plan."""
    plan = next(plans, None)
    return None if plan is None else thread.submit(job(carried(begin(plan))))


def _attempt(function: Callable[..., T], *arguments: Any) -> tuple[T | None, Exception | None]:
    """Return a result or an error: it is told after what was made before."""
    try:
        return function(*arguments), None
    except Exception as error:  # noqa: BLE001 - whatever it is
        return None, error


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Ready:
    """Items that wait for the consumer; the producer's calls end early once it is to stop."""

    def __init__(self, depth: int) -> None:
        self.stop = threading.Event()
        self._queue: queue.Queue[Any] = queue.Queue(max(1, depth))
        self._taken = threading.Event()

    def put(self, item: Any) -> bool:
        """Add an item when there is room; False if nobody wants it any more."""
        while not self.stop.is_set():
            try:
                self._queue.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def wait_until_taken(self) -> None:
        """Return when no item waits."""
        while not self.stop.is_set():
            self._taken.clear()
            if self.is_empty():
                return
            with waiting():
                self._taken.wait(_POLL_SECONDS)

    def get(self) -> Any:
        """Return the next item; after a while ``queue.Empty`` is raised."""
        item = self._queue.get(timeout=_POLL_SECONDS)
        if self.is_empty():
            self._taken.set()
        return item

    def is_empty(self) -> bool:
        """Whether no item waits."""
        return self._queue.empty()

    def clear(self) -> None:
        """Let go of all items."""
        with suppress(queue.Empty):
            while True:
                self._queue.get_nowait()


def _work(make: Callable[[Callable[[], None]], Iterator[Any]], ready: _Ready) -> None:
    source: Iterator[Any] = iter(())
    stopping.set(ready.stop)
    try:
        with working(begins=True):
            source = make(ready.wait_until_taken)
        while True:
            with working(begins=True):
                item = next(source, _END)
            if not ready.put(item) or item is _END:
                return
            del item  # or it would be held while the next one is made
    except BaseException as error:  # noqa: BLE001 - handed to the consumer, whatever it is
        ready.put(_Failure(error))
    finally:
        with working():
            _close(source)


def _close(source: Iterator[Any]) -> None:
    close = getattr(source, "close", None)
    if close is not None:
        close()


@atexit.register
def _close_all() -> None:
    for prefetcher in list(_running):
        prefetcher.close()


def _after_fork() -> None:
    """Let a child know that its parent's threads are not there; one may have held a lock."""
    for prefetcher in _running:
        prefetcher._ready = _Ready(1)  # noqa: SLF001 - its own
        prefetcher._ready.put(_Failure(GeneratorStoppedError(_ENDED)))  # noqa: SLF001


os.register_at_fork(after_in_child=_after_fork)
