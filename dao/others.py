"""Locks of Python and numba that any thread may hold, also one that dao did not start.

A forked child would wait for them without end: it imports modules and compiles functions, too.
"""

from __future__ import annotations

import sys
import threading
from typing import Any, NamedTuple

__all__ = ["Busy", "give_back", "take"]


class Busy(NamedTuple):
    """What another thread is doing, and for how many seconds at most that is waited for."""

    what: str
    seconds: float


# Functions are compiled soon. But a program may run inside of an import for as long as it likes.
_COMPILING = Busy("another thread was compiling with numba", 60.0)
_SECONDS_OF_AN_IMPORT = 5.0  # after the last step of it that can be seen


class _Taken:
    lock: Any = None


def take() -> Busy | None:
    """Take the locks for a fork; return what another thread is doing with one, None if none is."""
    names = _imported()
    if names:
        return Busy(f"another thread was importing {', '.join(names)}", _SECONDS_OF_AN_IMPORT)
    compiler = getattr(sys.modules.get("numba.core.compiler_lock"), "global_compiler_lock", None)
    lock = getattr(compiler, "_lock", None)
    if lock is not None and not lock.acquire(blocking=False):
        return _COMPILING
    _Taken.lock = lock
    return None


def give_back() -> None:
    """Let go of the locks after a fork, in either process."""
    lock, _Taken.lock = _Taken.lock, None
    if lock is not None:
        lock.release()


def _imported() -> list[str]:
    """Return the modules that other threads are importing."""
    # Python offers no other way to ask. Without it only threads of dao are known.
    locks: dict[str, Any] = getattr(sys.modules.get("_frozen_importlib"), "_module_locks", {})
    owners = [(name, getattr(found(), "owner", None)) for name, found in list(locks.items())]
    return [name for name, owner in owners if owner not in (None, threading.get_ident())]
