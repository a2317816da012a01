"""Prefetch: a thread that works ahead of the consumer, by a bounded number of items."""

from __future__ import annotations

import atexit
import queue
import threading
import time
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dao.errors import GeneratorStoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

__all__ = ["Prefetcher", "one_ahead"]

P = TypeVar("P")
T = TypeVar("T")
_END = object()
_POLL_SECONDS = 0.1
_running: weakref.WeakSet[Prefetcher[Any]] = weakref.WeakSet()


class Prefetcher(Generic[T]):
    """Iterate over ``source`` in a thread of its own, at most ``depth`` items ahead.

    The thread ends with the source, on `close`, when the prefetcher is garbage collected,
    and at exit of the interpreter. An error of the source is raised by `__next__`.

    Parameters
    ----------
    source
        Used by the thread alone; closed there if it can be closed.
    depth
        Finished items that may wait.
    """

    def __init__(self, source: Iterator[T], depth: int) -> None:
        self._queue: queue.Queue[Any] = queue.Queue(max(1, depth))
        self._stop = threading.Event()
        self._closed = False
        self.waited = 0.0
        # The thread must not know this object, or it could never be collected.
        self._thread = threading.Thread(
            target=_work, args=(source, self._queue, self._stop), name="dao-prefetch", daemon=True
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
        self._closed = True
        self._stop.set()
        while True:
            try:
                self._queue.get_nowait()
            except queue.Empty:
                break
        if self._thread is not threading.current_thread():
            self._thread.join()

    def __del__(self) -> None:
        # Waiting here could stall the garbage collector; the thread ends by itself.
        self._stop.set()

    def _get(self) -> Any:
        while True:
            try:
                return self._queue.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if not self._thread.is_alive() and self._queue.empty():
                    msg = "The thread that reads ahead has ended. Make a new iterator."
                    raise GeneratorStoppedError(msg) from None


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
    return None if plan is None else thread.submit(begin(plan))


def _attempt(function: Callable[..., T], *arguments: Any) -> tuple[T | None, Exception | None]:
    """Return a result or an error: it is told after what was made before."""
    try:
        return function(*arguments), None
    except Exception as error:  # noqa: BLE001 - whatever it is
        return None, error


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def _work(source: Iterator[Any], out: queue.Queue[Any], stop: threading.Event) -> None:
    try:
        for item in source:
            if not _put(item, out, stop):
                return
            del item  # or it would be held while the next one is made
        _put(_END, out, stop)
    except BaseException as error:  # noqa: BLE001 - handed to the consumer, whatever it is
        _put(_Failure(error), out, stop)
    finally:
        _close(source)


def _close(source: Iterator[Any]) -> None:
    close = getattr(source, "close", None)
    if close is not None:
        close()


def _put(item: Any, out: queue.Queue[Any], stop: threading.Event) -> bool:
    while not stop.is_set():
        try:
            out.put(item, timeout=_POLL_SECONDS)
        except queue.Full:
            continue
        return True
    return False


@atexit.register
def _close_all() -> None:
    for prefetcher in list(_running):
        prefetcher.close()
