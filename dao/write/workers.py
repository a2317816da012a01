"""The threads of one write, and the buffers that each of them uses again and again.

Everything heavy (reading chunks, moving elements, compressing) runs without the GIL. Results come
back in the order of the jobs, so what is written does not depend on the number of threads.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from dao.threads import n_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from numpy.typing import DTypeLike, NDArray

__all__ = ["Scratch", "Workers"]

T = TypeVar("T")


class Scratch(threading.local):
    """Buffers by name, one of each per thread: fresh memory costs more than what is done to it."""

    def __init__(self) -> None:
        self._buffers: dict[str, NDArray[np.uint8]] = {}

    def take(self, name: str, n: int, dtype: DTypeLike) -> NDArray[Any]:
        """Return a buffer of n items; what was last taken by this name is overwritten."""
        known = np.dtype(dtype)
        wanted = n * known.itemsize
        buffer = self._buffers.get(name)
        if buffer is None or len(buffer) < wanted:
            self._buffers.pop(name, None)
            buffer = self._buffers[name] = np.empty(wanted + wanted // 8, np.uint8)
        return buffer[:wanted].view(known)

    def zeros(self, name: str, n: int, dtype: DTypeLike) -> NDArray[Any]:
        """Return a buffer of n zeros that whoever takes it leaves as zeros."""
        known = np.dtype(dtype)
        wanted = n * known.itemsize
        buffer = self._buffers.get(name)
        if buffer is None or len(buffer) < wanted:
            buffer = self._buffers[name] = np.zeros(wanted, np.uint8)
        return buffer[:wanted].view(known)


class Workers:
    """A pool of threads that ends with the write; if not said, one for each processor."""

    def __init__(self, n: int | None = None) -> None:
        self.n = n or n_threads()
        self.scratch = Scratch()
        self._pool = ThreadPoolExecutor(self.n, thread_name_prefix="dao-write")
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="dao-write-aside")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads, when they have done what they do."""
        for pool in (self._pool, self._aside):
            pool.shutdown(wait=True, cancel_futures=True)

    def aside(self, function: Callable[..., T], *values: Any) -> Future[T]:
        """Call a function that is mostly Python while the others work."""
        return self._aside.submit(function, *values)

    def map(self, function: Callable[..., T], arguments: Iterable[tuple[Any, ...]]) -> Iterator[T]:
        """Yield ``function(*a)`` for all arguments, in order, computed a few ahead.

        When the iteration ends early, by an error or by the caller, what runs is waited for:
        nobody works any more on files and buffers that are about to go.
        """
        waiting: deque[Future[T]] = deque()
        try:
            for values in arguments:
                waiting.append(self._pool.submit(function, *values))
                if len(waiting) > 2 * self.n:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            for future in waiting:
                if not future.cancelled():
                    future.exception()

    def run(self, function: Callable[..., object], arguments: Iterable[tuple[Any, ...]]) -> None:
        """Call ``function(*a)`` for all arguments."""
        for _ in self.map(function, arguments):
            pass
