"""A pool of threads per process for kernels that run without the GIL.

Decoding and gathering share it, so together they never have more threads than there are cores.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dao.forks import call, job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Jobs", "in_threads", "n_threads", "over_ranges", "split"]

T = TypeVar("T")

# Below this much work per thread, handing it over costs more than doing it.
_LEAST_WORK = 200_000
# Parts per thread: when one core is held up by something else, the others take over its parts.
_PARTS = 2


class _Pool:
    """Started on first use; a forked child, whose threads are gone, starts its own."""

    executor: ThreadPoolExecutor | None = None

    @classmethod
    def get(cls) -> ThreadPoolExecutor:
        if cls.executor is None:
            cls.executor = ThreadPoolExecutor(n_threads(), thread_name_prefix="dao-worker")
        return cls.executor

    @classmethod
    def after_fork(cls) -> None:
        cls.executor = None


os.register_at_fork(after_in_child=_Pool.after_fork)


def n_threads() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Jobs(Generic[T]):
    """Functions that begin to run as they are added, several at a time."""

    def __init__(self) -> None:
        self._futures: list[Future[T]] = []

    def add(self, jobs: Sequence[Callable[[], T]]) -> None:
        """Begin these functions, after those that were begun before."""
        self._futures += [_Pool.get().submit(job(one)) for one in jobs]

    def wait(self) -> None:
        """Wait until all have ended, in whatever way."""
        wait(self._futures)

    def results(self) -> list[T]:
        """Return what they returned, in order, after all have ended.

        Raises
        ------
        BaseException
            What the first of them raised.
        """
        self.wait()
        return [future.result() for future in self._futures]


def in_threads(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """Call every function, several at a time; return the results in order.

    Raises
    ------
    BaseException
        What the first of them raised, after all have ended.
    """
    if len(jobs) == 1:
        return [call(jobs[0])]
    running: Jobs[T] = Jobs()
    running.add(jobs)
    return running.results()


def split(n: int, parts: int) -> list[slice]:
    """Cut ``range(n)`` into about as many slices as there is work for, several per thread."""
    parts = max(1, min(parts, n, _PARTS * n_threads()))
    bounds = [n * i // parts for i in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(bounds)]


def over_ranges(function: Callable[[int, int], Any], n: int, work: int) -> list[Any]:
    """Call ``function(start, stop)`` on ranges that cover ``range(n)``; return the results.

    Parameters
    ----------
    work
        About how many elements are touched in all: little work stays in this thread.
    """
    return in_threads([partial(function, s.start, s.stop) for s in split(n, work // _LEAST_WORK)])
