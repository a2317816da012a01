"""Calls: a slow function called a few items ahead of the consumer, in order."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dao.errors import GeneratorStoppedError
from dao.forks import waiting, working

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Calls", "n_bytes_of"]

T = TypeVar("T")
_AHEAD = 3  # results that wait, or are being made, besides one for each thread
_running: weakref.WeakSet[Calls[Any]] = weakref.WeakSet()


class Calls(Generic[T]):
    """Iterate over what a function returns for the items of a source, in their order.

    Threads of its own call the function for a few items more than were asked for. They end with
    the source, on `close`, when this is garbage collected, and at exit of the interpreter; none
    begins another call then. An error of the source or the function is raised in its place.

    Parameters
    ----------
    source
        Asked for one item at a time.
    function
        Called by one thread at a time if there is one thread.
    n_threads
        How many threads call it.
    most_bytes
        How much the results that wait may hold, unless it is a single one.
    """

    def __init__(
        self, source: Iterator[Any], function: Callable[[Any], T], n_threads: int, most_bytes: int
    ) -> None:
        self._line = _Line(n_threads + _AHEAD, most_bytes)
        self.waited = 0.0
        # The threads must not know this object, or it could never be collected.
        self._threads = [
            threading.Thread(
                target=_work, args=(self._line, source, function), name="dao-transform", daemon=True
            )
            for _ in range(n_threads)
        ]
        for thread in self._threads:
            thread.start()
        _running.add(self)

    def __iter__(self) -> Calls[T]:
        return self

    def __next__(self) -> T:
        began = time.perf_counter()
        with waiting():
            call = self._line.next()
        self.waited += time.perf_counter() - began
        if call is None:
            self.close()
            raise StopIteration
        if call.error is not None:
            self.close()
            raise call.error
        result: T = call.result
        return result

    def close(self) -> None:
        """Let the threads end, and wait for the calls that are being made; safe to call twice."""
        self._line.close()
        for thread in self._threads:
            if thread is not threading.current_thread():
                with waiting():
                    thread.join()

    def __del__(self) -> None:
        # Waiting here could stall the garbage collector; the threads end by themselves.
        self._line.is_closed = True


@dataclass(eq=False, slots=True)
class _Call:
    result: Any = None
    error: BaseException | None = None
    n_bytes: int = 0
    is_done: bool = False


class _Line:
    """Calls in the order of their items: those being made, and those that wait for the consumer."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self.is_closed = False
        self.taking = threading.Lock()  # held by the thread that takes the next item
        self._changed = threading.Condition()
        self._calls: deque[_Call] = deque()
        self._is_ended = False
        self._most, self._most_bytes = most, most_bytes
        self._largest = 0

    def begin(self) -> _Call | None:
        """Return a place for another call when there is room for its result; None at the end."""
        with self._changed:
            while not (self.is_closed or self._is_ended or self._has_room()):
                self._changed.wait(_POLL_SECONDS)
            return None if self.is_closed or self._is_ended else _Call()

    def add(self, call: _Call) -> None:
        """Put a call behind the others."""
        with self._changed:
            self._calls.append(call)
            self._changed.notify_all()

    def finish(self, call: _Call, result: Any = None, error: BaseException | None = None) -> None:
        """Hand the consumer what came of a call."""
        n_bytes = n_bytes_of(result)
        with self._changed:
            call.result, call.error, call.n_bytes, call.is_done = result, error, n_bytes, True
            self._largest = max(self._largest, n_bytes)
            self._is_ended = self._is_ended or error is not None
            self._changed.notify_all()

    def end(self) -> None:
        """No further calls come."""
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()

    def next(self) -> _Call | None:
        """Wait for the first call and take it; None at the end."""
        with self._changed:
            while not self.is_closed:
                if self._calls and self._calls[0].is_done:
                    self._changed.notify_all()
                    return self._calls.popleft()
                if self._is_ended and not self._calls:
                    return None
                self._changed.wait(_POLL_SECONDS)
            return None

    def close(self) -> None:
        """Let go of everything."""
        with self._changed:
            self.is_closed = True
            self._calls.clear()
            self._changed.notify_all()

    def _has_room(self) -> bool:
        if not self._calls:
            return True
        # Those that are being made may become as large as the largest.
        held = sum(call.n_bytes if call.is_done else self._largest for call in self._calls)
        return len(self._calls) < self._most and held + self._largest <= self._most_bytes


_POLL_SECONDS = 0.1


def _work(line: _Line, source: Iterator[Any], function: Callable[[Any], Any]) -> None:
    while True:
        with line.taking:
            call = line.begin()
            if call is None:
                return
            try:
                item = next(source)
            except StopIteration:
                line.end()
                return
            except BaseException as error:  # noqa: BLE001 - handed to the consumer, whatever it is
                line.add(call)
                line.finish(call, error=error)
                return
            line.add(call)
        try:
            with working(begins=True):
                result = function(item)
            line.finish(call, result)
            del result
        except BaseException as error:  # noqa: BLE001 - handed to the consumer, whatever it is
            line.finish(call, error=error)
        del call, item  # or they would be held while the next ones are waited for


def n_bytes_of(value: Any, depth: int = 6) -> int:
    """Return about how much memory a result holds: arrays and tensors, also inside of others."""
    if depth == 0 or value is None or isinstance(value, str | bytes | int | float):
        return 0
    parts = _parts(value)
    if parts is not None:
        return sum(n_bytes_of(part, depth - 1) for part in parts)
    if hasattr(value, "memory_usage"):
        usage = value.memory_usage()
        return int(usage if isinstance(usage, int) else usage.sum())
    n_bytes = getattr(value, "nbytes", None)
    return n_bytes if isinstance(n_bytes, int) else n_bytes_of(_attributes(value), depth - 1)


def _parts(value: Any) -> Iterable[Any] | None:
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, list | tuple | set):
        return value
    if hasattr(value, "crow_indices") and "csr" in str(getattr(value, "layout", "")):
        return value.crow_indices(), value.col_indices(), value.values()
    return None


def _attributes(value: Any) -> dict[str, Any] | None:
    return getattr(value, "__dict__", None)


@atexit.register
def _close_all() -> None:
    for calls in list(_running):
        calls.close()


def _after_fork() -> None:
    """Let a child know that its parent's threads are not there; one may have held a lock."""
    for calls in _running:
        call, calls._line = _Call(), _Line(1, 0)  # noqa: SLF001 - its own
        calls._line.add(call)  # noqa: SLF001
        msg = "The threads that call the function have ended. Make a new iterator."
        calls._line.finish(call, error=GeneratorStoppedError(msg))  # noqa: SLF001


os.register_at_fork(after_in_child=_after_fork)
