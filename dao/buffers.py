"""Memory for arrays that come and go at the speed of a stream.

Fresh memory costs as much as filling it: the system hands it out page by page, and clears each.
So while a generator is alive, large arrays that nobody holds any more are kept and given out
again. An array is given out again only when the last reference to its memory is gone, be it a
view, a torch tensor or anything else that keeps NumPy's array alive.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["empty", "keep", "kept_bytes"]

# Smaller arrays come from the allocator's own store of used memory.
_SMALLEST = 1 << 18
# Sizes are rounded up to one of four per doubling, so that arrays of about a size can follow
# each other; what lies beyond an array's end is never touched and takes no memory.
_PER_DOUBLING = 4
_MOST_WASTE = 2
# jax takes memory over without a copy only where it begins at a multiple of this.
_ALIGNMENT = 64


class _Pool:
    """Free memory by size, the size used last at the end; kept while somebody asks for that."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # a garbage collection inside the lock may give back
        self.free: dict[int, list[NDArray[np.uint8]]] = {}
        self.n_free = 0
        self.keepers: dict[int, int] = {}

    def take(self, size: int) -> NDArray[np.uint8]:
        """Return at least ``size`` bytes, of the smallest free memory that is not far too large."""
        with self.lock:
            fitting = [free for free in self.free if size <= free <= _MOST_WASTE * size]
            if not fitting:
                return _fresh(_round_up(size))
            best = min(fitting)
            stack = self.free.pop(best)
            memory = stack.pop()
            self.n_free -= best
            if stack:
                self.free[best] = stack
            return memory

    def give_back(self, memory: NDArray[np.uint8]) -> None:
        size = len(memory)
        with self.lock:
            limit = max(self.keepers.values(), default=0)
            if size > limit:
                return
            # The size that was of no use for longest makes room.
            while self.n_free + size > limit:
                oldest = next(iter(self.free))
                self.free[oldest].pop()
                self.n_free -= oldest
                if not self.free[oldest]:
                    del self.free[oldest]
            self.free[size] = [*self.free.pop(size, []), memory]
            self.n_free += size

    def forget(self, keeper: int) -> None:
        with self.lock:
            self.keepers.pop(keeper, None)
            if not self.keepers:
                self.free.clear()
                self.n_free = 0


_pool = _Pool()


def _after_fork() -> None:
    # Another thread may have held the lock; the parent's free memory stays the parent's.
    global _pool  # noqa: PLW0603
    _pool = _Pool()


os.register_at_fork(after_in_child=_after_fork)


class _Lease:
    """What an array's memory belongs to; NumPy holds it as long as anything uses the memory."""

    __slots__ = ("__array_interface__", "_memory")

    def __init__(self, memory: NDArray[np.uint8], dtype: np.dtype[Any], n_items: int) -> None:
        self._memory = memory
        self.__array_interface__ = {
            "version": 3,
            "shape": (n_items,),
            "typestr": dtype.str,
            "data": (memory.ctypes.data, False),
        }

    def __del__(self) -> None:
        _pool.give_back(self._memory)


def empty(shape: int | tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Return an array with undefined content, in recycled memory if there is some."""
    wanted: np.dtype[Any] = np.dtype(dtype)
    size = wanted.itemsize * (math.prod(shape) if isinstance(shape, tuple) else shape)
    if size < _SMALLEST:
        return np.empty(shape, wanted)
    lease = _Lease(_pool.take(size), wanted, size // wanted.itemsize)
    memory: NDArray[Any] = np.asarray(lease)
    return memory.reshape(shape)


def keep(owner: object, limit: int) -> None:
    """Keep up to ``limit`` bytes of used memory for as long as ``owner`` is alive."""
    with _pool.lock:
        known = id(owner) in _pool.keepers
        _pool.keepers[id(owner)] = limit
    if not known:
        weakref.finalize(owner, _pool.forget, id(owner)).atexit = False


def kept_bytes() -> int:
    """Return how much memory is kept for arrays to come."""
    return _pool.n_free


def _fresh(size: int) -> NDArray[np.uint8]:
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size]


def _round_up(size: int) -> int:
    step = 1 << max(0, size.bit_length() - 1 - (_PER_DOUBLING.bit_length() - 1))
    return -(-size // step) * step
