"""Forks: a fork waits until no thread of dao works, so a child finds no lock that is held.

A forked child has one thread. A lock that another thread held at that moment is held in the child
for ever: numba's compiler lock, the lock of a module that is being imported, one of zarr or HDF5.
Nobody can know all of them. So threads of dao declare when they work, and a fork waits for a
moment in which none does. That is soon: no thread begins something new while a fork waits.
"""

from __future__ import annotations

import _thread as interpreter
import concurrent.futures.thread  # noqa: F401 - its hook must be registered before ours
import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from dao.warn import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Lock", "call", "waiting", "working"]

T = TypeVar("T")

# A thread may work for as long as a function of the user takes, or until a server answers.
_LONGEST_WAIT = 60.0
# A thread that only takes a lock may be one that a thread of dao waits for, such as zarr's.
_POLITE = 0.05
_TOO_LONG = (
    f"A process was forked while a thread of dao was at work: it did not end within "
    f"{_LONGEST_WAIT:.0f} seconds. The new process may hang. Start it before the iterator, or "
    "afresh: multiprocessing_context='spawn'."
)
_SOON = 0.01  # seconds until a Ctrl-C that came before a fork is raised after it


class _Gate:
    """How many threads work, and whether somebody waits to fork."""

    def __init__(self, n_working: int = 0) -> None:
        # Reentrant: a garbage collection that happens in here may use dao.
        self.changed = threading.Condition(threading.RLock())
        self.n_working = n_working
        self.n_forks = 0


class _Thread(threading.local):
    """What this thread is doing."""

    depth = 0  # blocks of `working` that it is in
    n_locks = 0  # of `Lock` that it holds or waits for
    patience = 0.0  # seconds for which it lets forks go first
    is_forking = False
    interrupted = False  # by Ctrl-C, while it waited to fork


_gate = _Gate()
_thread = _Thread()


@contextmanager
def working(*, begins: bool = False) -> Iterator[None]:
    """Keep forks waiting while the block runs.

    Parameters
    ----------
    begins
        Whether the block begins something that nobody is waiting for with a lock in hand. It then
        runs after a fork that waits. All other blocks run at once, as a fork may be waiting for
        a thread that waits for them.
    """
    if _thread.depth == 0:
        _thread.patience = _LONGEST_WAIT if begins else 0.0
        _enter()
    _thread.depth += 1
    try:
        yield
    finally:
        _thread.depth -= 1
        if _thread.depth == 0:
            _leave()


def call(function: Callable[[], T]) -> T:
    """Call a function for a thread that waits for it; a fork waits until it has ended."""
    with working():
        return function()


@contextmanager
def waiting() -> Iterator[None]:
    """Let forks happen while the block waits, for another thread of dao or for the network.

    Where this thread holds a `Lock`, a fork waits all the same. It must hold no other lock.
    """
    if _thread.depth == 0 or _thread.n_locks:
        yield
        return
    depth, _thread.depth = _thread.depth, 0
    _leave()
    try:
        yield
    finally:
        _enter()
        _thread.depth = depth


class Lock:
    """A lock that no other thread holds in a forked child; to be used in a ``with`` statement."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if _thread.depth == 0:
            _thread.patience = _POLITE
            _enter()
        _thread.depth += 1
        _thread.n_locks += 1
        try:
            self._lock.acquire()
        except BaseException:
            self._end()
            raise

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        self._end()

    def _end(self) -> None:
        _thread.n_locks -= 1
        _thread.depth -= 1
        if _thread.depth == 0:
            _leave()


def _enter() -> None:
    _go_first()
    gate = _gate
    with gate.changed:
        if gate.n_forks and _thread.patience:
            gate.changed.wait_for(lambda: gate.n_forks == 0, _thread.patience)
        gate.n_working += 1


def _leave() -> None:
    _go_first()
    gate = _gate
    with gate.changed:
        gate.n_working -= 1
        if gate.n_forks:
            gate.changed.notify_all()


def _before_fork() -> None:
    """Wait until no other thread works, and let none begin until the fork is over."""
    if _thread.is_forking:
        return
    _thread.is_forking = True
    gate = _gate
    gate.changed.acquire()
    gate.n_forks += 1
    # The thread that forks does not wait for itself, nor for another one that forks.
    gate.n_working -= _thread.depth > 0
    try:
        if not gate.changed.wait_for(lambda: gate.n_working == 0, _LONGEST_WAIT):
            warn(_TOO_LONG)
    except KeyboardInterrupt:
        # Python does not let a fork be called off here.
        _thread.interrupted = True


def _after_in_parent() -> None:
    _thread.is_forking = False
    gate = _gate
    gate.n_working += _thread.depth > 0
    gate.n_forks -= 1
    gate.changed.notify_all()
    gate.changed.release()
    if _thread.interrupted:
        _thread.interrupted = False
        threading.Timer(_SOON, interpreter.interrupt_main).start()


def _after_in_child() -> None:
    global _gate  # noqa: PLW0603
    _gate = _Gate(n_working=int(_thread.depth > 0))
    _thread.is_forking = _thread.interrupted = False


def _go_first() -> None:
    """Wait before HDF5's lock is taken for a fork: hooks that were registered last run first."""
    if not _Hooks.are_first and hasattr(sys.modules.get("h5py"), "File"):
        _Hooks.are_first = True
        os.register_at_fork(before=_before_fork)


class _Hooks:
    are_first = not hasattr(os, "register_at_fork")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
