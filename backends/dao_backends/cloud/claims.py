"""Claims: who brings which part of a shard, so that nobody else asks for it meanwhile.

A claim on a file of the cache is a lock of the operating system on one byte of it. So it also
holds for other processes, and ends with the process that made it, however that ends. Systems
that know no locks of single open files have claims within a process only.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from dao.stopping import pause

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

__all__ = ["Patience", "claim", "release", "trust_nobody"]

_SET_LOCK: int | None = getattr(fcntl, "F_OFD_SETLK", None) if sys.maxsize > 1 << 32 else None
_FLOCK = "hhqqi4x"  # type, whence, start, length, process


class _Claims:
    """Claims of the threads of this process.

    Attributes
    ----------
    taken
        What was claimed, and the number of the part.
    shares
        Whether claims of other processes are respected.
    """

    lock = threading.Lock()
    taken: set[tuple[Hashable, int]] = set()  # noqa: RUF012 - of the process, as the lock is
    shares = _SET_LOCK is not None

    @classmethod
    def after_fork(cls) -> None:
        """Forget the claims of the parent's threads, which this child has not."""
        cls.lock, cls.taken = threading.Lock(), set()


os.register_at_fork(after_in_child=_Claims.after_fork)


def claim(
    what: Hashable, parts: NDArray[np.int64], file: int | None = None, at: int = 0
) -> NDArray[np.int64]:
    """Claim parts of a shard that nobody brings yet; return which ones were claimed.

    Parameters
    ----------
    what
        Names the shard in this process.
    parts
        Numbers of parts, ascending.
    file, at
        The file of the shard if other processes share it, and where the bytes to lock begin.
    """
    with _Claims.lock:
        free = [p for p in parts.tolist() if (what, p) not in _Claims.taken]
        _Claims.taken.update((what, p) for p in free)
    if file is None or not free or not _Claims.shares:
        return np.array(free, np.int64)
    locked = [p for p in free if _lock(file, fcntl.F_WRLCK, at + p, 1)]
    if len(locked) < len(free):
        others = set(locked)
        _forget(what, [p for p in free if p not in others])
    return np.array(locked, np.int64)


def release(what: Hashable, parts: NDArray[np.int64], file: int | None = None, at: int = 0) -> None:
    """Give claims back."""
    if not len(parts):
        return
    if file is not None and _SET_LOCK is not None:
        bounds = [0, *(np.flatnonzero(np.diff(parts) > 1) + 1).tolist(), len(parts)]
        for a, b in pairwise(bounds):
            _lock(file, fcntl.F_UNLCK, at + int(parts[a]), int(parts[b - 1] - parts[a]) + 1)
    _forget(what, parts.tolist())


def trust_nobody() -> None:
    """Read from now on what other processes have claimed, as they do not seem to bring it."""
    _Claims.shares = False


def _forget(what: Hashable, parts: list[int]) -> None:
    with _Claims.lock:
        _Claims.taken.difference_update((what, p) for p in parts)


def _lock(file: int, kind: int, start: int, n: int) -> bool:
    """Whether nobody else has a lock there; also true where the file system knows no locks."""
    try:
        fcntl.fcntl(file, _SET_LOCK or 0, struct.pack(_FLOCK, kind, os.SEEK_SET, start, n, 0))
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, as systems have it
        return False
    except OSError:
        return True
    return True


class Patience:
    """How long what others bring is waited for.

    Parameters
    ----------
    seconds
        Who has brought nothing for so long does not seem to be at work any more.
    """

    _FIRST, _LONGEST = 0.002, 0.05

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._missing = -1
        self._since, self._pause = time.monotonic(), self._FIRST

    @property
    def is_over(self) -> bool:
        """Whether it took too long."""
        return time.monotonic() - self._since > self._seconds

    def pause(self, n_missing: int) -> None:
        """Wait a little, longer each time until less is missing."""
        if n_missing != self._missing:
            self._missing, self._since, self._pause = n_missing, time.monotonic(), self._FIRST
        pause(self._pause)
        self._pause = min(2 * self._pause, self._LONGEST)
