"""The threads that wait for servers: as many as there may be requests under way."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TYPE_CHECKING, Any, TypeVar

from dao.errors import GeneratorStoppedError
from dao.forks import job, waiting
from dao.stopping import POLL_SECONDS, at_exit, check, stopping

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["AT_ONCE", "Network", "at_once"]

T = TypeVar("T")

# Requests of a process that are under way at a time: enough to fill a line, few for a server.
AT_ONCE = 12
# Seconds for which requests under way are waited for when the interpreter exits. A thread that
# comes back from the library while Python is being taken apart may abort the process.
_LAST_WAIT = 30.0
_INTERRUPTED_WAIT = 0.2


class _Threads:
    """Daemon threads that make calls in the order in which they were submitted.

    Not an executor of the standard library: those are waited for at exit, however long a server
    that hangs takes, so Ctrl-C would not end the program.
    """

    here = threading.local()

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any], threading.Event]]
        self._calls = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._n_calls = 0

    def submit(self, call: Callable[[], T], stop: threading.Event) -> Future[T]:
        """Begin a call; ``stop`` ends its pauses."""
        future: Future[T] = Future()
        with self._lock:
            self._n_calls += 1
            if len(self._threads) < min(AT_ONCE, self._n_calls):
                name = f"dao-network_{len(self._threads)}"
                thread = threading.Thread(target=self._work, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
        self._calls.put((future, call, stop))
        return future

    def _work(self) -> None:
        self.here.is_network = True
        while True:
            future, call, stop = self._calls.get()
            if future.set_running_or_notify_cancel():
                stopping.set(stop)
                try:
                    future.set_result(call())
                except BaseException as error:  # noqa: BLE001 - for whoever waits
                    future.set_exception(error)
            with self._lock:
                self._n_calls -= 1
            del future, call

    def wait_for_calls(self) -> None:
        """Wait until no call is being made, but not for long after Ctrl-C."""
        interrupted = isinstance(getattr(sys, "last_value", None), KeyboardInterrupt)
        until = time.monotonic() + (_INTERRUPTED_WAIT if interrupted else _LAST_WAIT)
        while self._n_calls and time.monotonic() < until:
            time.sleep(0.01)


class Network:
    """Threads of this process, and whether it lost those of the library in a fork.

    Attributes
    ----------
    used
        Whether the library was used, which starts threads of its own.
    forked
        Whether this is a child of a process that used it: every request would hang here.
    """

    used = False
    forked = False
    _threads = _Threads()

    @classmethod
    def begin(cls, call: Callable[[], T], stop: threading.Event) -> Future[T]:
        """Begin a call in one of the threads."""
        return cls._threads.submit(job(call), stop)

    @classmethod
    def is_here(cls) -> bool:
        """Whether this thread is one of them."""
        return bool(getattr(_Threads.here, "is_network", False))

    @classmethod
    def at_exit(cls) -> None:
        """Wait for requests that are under way."""
        cls._threads.wait_for_calls()

    @classmethod
    def after_fork(cls) -> None:
        """Forget the threads of the parent."""
        cls._threads, cls.forked = _Threads(), cls.used


os.register_at_fork(after_in_child=Network.after_fork)
at_exit(Network.at_exit)


def at_once(
    calls: Sequence[Callable[[], T]], use: Callable[[int, T], Any] | None = None
) -> list[T]:
    """Call every function, each of which waits for the network; the results are in order.

    Ctrl-C ends the wait at once, and so does the end of the stream that this is for.

    Parameters
    ----------
    calls
        Run in other threads, unless this is one of them.
    use
        ``use(number, result)`` is called in this thread for each result as it comes; nothing is
        returned then.

    Raises
    ------
    BaseException
        The first error that came.
    dao.errors.GeneratorStoppedError
        If nobody wants the results any more.
    """
    if Network.is_here():
        found = [call() for call in calls]
        return found if use is None else _used(found, use)
    stop = threading.Event()
    running = {Network.begin(call, stop): number for number, call in enumerate(calls)}
    left = set(running)
    try:
        while left:
            check()
            with waiting():
                ended, left = wait(left, POLL_SECONDS, FIRST_COMPLETED)
            for future in sorted(ended, key=running.__getitem__):
                result = future.result()
                if use is not None:
                    use(running.pop(future), result)
                del future, result
    except BaseException as error:
        # After an error nothing new is begun, and nothing goes on behind the back of the caller.
        stop.set()
        for future in left:
            future.cancel()
        is_wanted = isinstance(error, Exception) and not isinstance(error, GeneratorStoppedError)
        with waiting():
            wait(left, None if is_wanted else _INTERRUPTED_WAIT)
        raise
    return [future.result() for future in running]


def _used(found: list[T], use: Callable[[int, T], Any]) -> list[T]:
    for number, one in enumerate(found):
        use(number, one)
    return []
