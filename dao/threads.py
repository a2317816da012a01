"""A pool of threads per process for kernels that run without the GIL."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["n_threads", "over_ranges"]

# Below this much work per thread, handing it over costs more than doing it.
_LEAST_WORK = 200_000


class _Pool:
    """Started on first use; a forked child, whose threads are gone, starts its own."""

    executor: ThreadPoolExecutor | None = None

    @classmethod
    def get(cls) -> ThreadPoolExecutor:
        if cls.executor is None:
            cls.executor = ThreadPoolExecutor(n_threads(), thread_name_prefix="dao-gather")
        return cls.executor

    @classmethod
    def after_fork(cls) -> None:
        cls.executor = None


os.register_at_fork(after_in_child=_Pool.after_fork)


def n_threads() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def over_ranges(function: Callable[[int, int], Any], n: int, work: int) -> list[Any]:
    """Call ``function(start, stop)`` on ranges that cover ``range(n)``; return the results.

    Parameters
    ----------
    work
        About how many elements are touched in all: little work stays in this thread.
    """
    parts = max(1, min(n_threads(), work // _LEAST_WORK, n))
    if parts == 1:
        return [function(0, n)]
    bounds = [n * i // parts for i in range(parts + 1)]
    return list(_Pool.get().map(function, bounds[:-1], bounds[1:]))
