"""Forks: a fork waits until no thread of dao works, so a child finds no lock that is held.

A forked child has one thread. A lock that another thread held at that moment is held in the child
for ever: numba's compiler lock, the lock of a module that is being imported, one of zarr or HDF5.
Nobody can know all of them. So threads of dao declare when they work, and a fork waits for a
moment in which none does. That is soon: no thread begins something new while a fork waits.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from dao.gate import LONGEST_WAIT, Era, begin, end, has_forks, state_of_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Lock", "LongLock", "call", "job", "pause", "waiting", "working"]

P = ParamSpec("P")
T = TypeVar("T")

# For how many seconds a thread lets a fork go first. One that takes a lock, or does a part of the
# work of another thread, may be waited for by a thread of dao, for which the fork waits.
_POLITE = 0.05
_BRIEF = 0.25


class working:  # noqa: N801 - to be used as a function
    """Keep forks waiting while the block runs.

    Parameters
    ----------
    begins
        Whether the block begins something that nobody is waiting for with a lock in hand. It then
        runs after a fork that waits. All other blocks run soon, as the fork may be waiting for a
        thread that waits for them.
    """

    __slots__ = ("_patience",)

    def __init__(self, *, begins: bool = False) -> None:
        self._patience = LONGEST_WAIT if begins else _POLITE

    def __enter__(self) -> None:
        begin(state_of_thread(), self._patience)

    def __exit__(self, *_: object) -> None:
        end(state_of_thread())


def call(function: Callable[[], T]) -> T:
    """Call a function; a fork waits until it has ended."""
    return job(function)()


def job(function: Callable[P, T]) -> Callable[P, T]:
    """Return a function that another thread calls for this one; a fork waits until it has ended.

    While a fork waits it begins at once only if this thread is at work: the fork waits for that.
    """
    return partial(_call, 0.0 if state_of_thread().depth else _BRIEF, function)


def _call(patience: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    state = state_of_thread()
    begin(state, patience)
    try:
        return function(*args, **kwargs)
    finally:
        end(state)


@contextmanager
def waiting(patience: float = 0.0) -> Iterator[None]:
    """Let forks happen while the block waits, for another thread of dao or for the network.

    Where this thread holds a `Lock`, a fork waits all the same. It must hold no other lock.

    Parameters
    ----------
    patience
        For how many seconds, after the block, a fork that waits still goes first.
    """
    state = state_of_thread()
    depth = state.depth
    if depth == 0 or state.n_locks:
        yield
        return
    state.depth = 1
    end(state)
    try:
        yield
    finally:
        try:
            begin(state, patience)
        finally:
            state.depth = depth


def pause() -> None:
    """Let a fork happen that waits, in the middle of long work; there must be no lock in hand."""
    if has_forks():
        with waiting(_BRIEF):
            pass


class Lock:
    """A lock that no other thread holds in a forked child; to be used in a ``with`` statement."""

    __slots__ = ("_era", "_held", "_lock")

    def __init__(self) -> None:
        self._renew()

    def _renew(self) -> None:
        self._lock, self._era = threading.Lock(), Era.unclean

    def __enter__(self) -> None:
        state = state_of_thread()
        begin(state, _POLITE)
        state.n_locks += 1
        try:
            # After a fork that could wait no longer, the lock of the parent may be held for ever.
            if self._era is not Era.unclean:
                self._renew()
            lock = self._lock
            lock.acquire()
            self._held = lock
        except BaseException:
            state.n_locks -= 1
            end(state)
            raise

    def __exit__(self, *_: object) -> None:
        self._held.release()
        state = state_of_thread()
        state.n_locks -= 1
        end(state)


class LongLock:
    """A lock that is held for long, and for which no fork waits: a child has another one.

    Nothing that it guards may be half changed while its owner is in `pause`.
    """

    __slots__ = ("_era", "_lock")

    def __init__(self) -> None:
        self._lock, self._era = threading.Lock(), Era.process

    def __enter__(self) -> None:
        if self._era is not Era.process:
            self._lock, self._era = threading.Lock(), Era.process
        with waiting():
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        if self._era is Era.process:
            self._lock.release()
