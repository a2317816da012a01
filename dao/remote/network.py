"""The threads that wait for servers: as many as there may be requests under way."""

from __future__ import annotations

import os
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["AT_ONCE", "Network", "at_once"]

T = TypeVar("T")

# Requests of a process that are under way at a time: enough to fill a line, few for a server.
AT_ONCE = 12


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
    _threads: ThreadPoolExecutor | None = None
    _here = threading.local()

    @classmethod
    def begin(cls, call: Callable[[], T]) -> Future[T]:
        """Begin a call in one of the threads."""
        if cls._threads is None:
            cls._threads = ThreadPoolExecutor(
                AT_ONCE, thread_name_prefix="dao-network", initializer=cls._mark
            )
        return cls._threads.submit(call)

    @classmethod
    def is_here(cls) -> bool:
        """Whether this thread is one of them."""
        return bool(getattr(cls._here, "is_network", False))

    @classmethod
    def _mark(cls) -> None:
        cls._here.is_network = True

    @classmethod
    def after_fork(cls) -> None:
        """Forget the threads of the parent."""
        cls._threads, cls.forked, cls._here = None, cls.used, threading.local()


os.register_at_fork(after_in_child=Network.after_fork)


def at_once(
    calls: Sequence[Callable[[], T]], use: Callable[[int, T], Any] | None = None
) -> list[T]:
    """Call every function, each of which waits for the network; the results are in order.

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
    """
    if Network.is_here():
        found = [call() for call in calls]
        return found if use is None else _used(found, use)
    running = {Network.begin(call): number for number, call in enumerate(calls)}
    waiting = set(running)
    try:
        while waiting:
            ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in sorted(ended, key=running.__getitem__):
                result = future.result()
                if use is not None:
                    use(running.pop(future), result)
            del future, result
    except BaseException:
        # After an error nothing new is begun, and nothing goes on behind the back of the caller.
        for future in waiting:
            future.cancel()
        wait(waiting)
        raise
    return [future.result() for future in running]


def _used(found: list[T], use: Callable[[int, T], Any]) -> list[T]:
    for number, one in enumerate(found):
        use(number, one)
    return []
