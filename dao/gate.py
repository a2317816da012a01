"""The gate: threads note that they work, and a fork waits in a hook of Python until none does.

What threads use of it is in `dao.forks`.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - its hook must be registered before ours
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from dao import others
from dao.warn import warn

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["LONGEST_WAIT", "Era", "State", "begin", "end", "has_forks", "state_of_thread"]

# A thread may work for as long as a function of the user takes, or until a server answers.
LONGEST_WAIT = 60.0
# After a fork that waited in vain the next ones wait less: a DataLoader starts many workers.
_NEXT_WAIT = 1.0
_POLL = 0.005  # seconds; nobody says when a lock of others is free
# A Ctrl-C that came before a fork is raised after it, when the code that forked goes on: hooks of
# other libraries run before, and what is raised in them is lost.
_LOOK_AGAIN = 0.005
_LONGEST_HOOKS = 5.0


class State:
    """What a thread is doing; only the thread itself changes it."""

    __slots__ = ("depth", "forked_at", "has_gate", "interrupted", "is_forking", "n_locks")

    def __init__(self) -> None:
        self.depth = 0  # blocks of `working` that it is in
        self.n_locks = 0  # of `Lock` that it holds or waits for
        self.is_forking = False
        self.has_gate = False  # for a fork
        self.interrupted = False  # by Ctrl-C, while it waited to fork
        self.forked_at: tuple[FrameType, int] | None = None  # the code that forks


class _Gate:
    """Who works, and whether somebody waits to fork.

    Threads begin and end without a lock while nobody forks: each first notes that it works and then
    looks whether somebody forks, and who forks does it the other way round.
    """

    def __init__(self) -> None:
        # Reentrant: a garbage collection that happens in here may use dao.
        self.changed = threading.Condition(threading.RLock())
        self.threads: dict[int, State] = {}  # of each thread that has worked, by what it is called
        self.n_forks = 0
        self.gave_up: others.Busy | None = None  # what the last fork has waited for in vain

    def is_busy(self) -> bool:
        """Whether a thread works that is not about to fork itself."""
        return any(one.depth and not one.is_forking for one in list(self.threads.values()))


_gate = _Gate()


class _Thread(threading.local):
    def __init__(self) -> None:
        self.state = State()
        _gate.threads[threading.get_ident()] = self.state


_thread = _Thread()


def state_of_thread() -> State:
    """Return what the calling thread is doing."""
    return _thread.state


def has_forks() -> bool:
    """Whether somebody waits to fork."""
    return _gate.n_forks > 0


class Era:
    """What is another object after a fork: after each one, and after one that waited in vain."""

    process = object()
    unclean = object()


def begin(state: State, patience: float) -> None:
    """Note that a thread begins to work; forks that wait go first for some seconds at most."""
    if state.depth:
        state.depth += 1
        return
    _go_first()
    state.depth = 1
    if _gate.n_forks and not state.is_forking:
        _let_forks_go(_gate, state, patience)


def _let_forks_go(gate: _Gate, state: State, patience: float) -> None:
    """Let forks that wait happen before this thread begins, for as long as it is patient."""
    state.depth = 0
    with gate.changed:
        if patience:
            gate.changed.notify_all()
            gate.changed.wait_for(lambda: gate.n_forks == 0, patience)
        state.depth = 1


def end(state: State) -> None:
    """Note that a thread ends what it has begun last."""
    state.depth -= 1
    if state.depth == 0 and _gate.n_forks:
        with _gate.changed:
            _gate.changed.notify_all()


def _before_fork() -> None:
    """Wait until no other thread works, and let none begin until the fork is over."""
    state = _thread.state
    if state.is_forking:
        return
    # The thread that forks does not wait for itself, nor for another one that forks.
    state.is_forking = True
    gate = _gate
    try:
        gate.changed.acquire()
        gate.n_forks += 1
        state.has_gate = True
        gate.changed.notify_all()
        _wait(gate)
    except KeyboardInterrupt:
        # Python does not let a fork be called off here.
        state.interrupted = True
        caller = sys._getframe(1)  # noqa: SLF001 - inspect, which hides it, is slow to import
        state.forked_at = caller, caller.f_lasti


def _wait(gate: _Gate) -> None:
    began = now = since = time.monotonic()
    before = None
    while True:
        busy = _AT_WORK if gate.is_busy() else others.take()
        if busy is None:
            gate.gave_up = None
            return
        now = time.monotonic()
        if busy != before:
            before, since = busy, now
        until = since + (_NEXT_WAIT if gate.gave_up == busy else busy.seconds)
        left = min(until, began + LONGEST_WAIT) - now
        if left <= 0:
            break
        gate.changed.wait(left if busy is _AT_WORK else min(left, _POLL))
    if gate.gave_up != busy:
        gate.gave_up = busy
        warn(_TOO_LONG.format(busy=busy.what, seconds=now - began))


def _after_in_parent() -> None:
    others.give_back()
    gate, state = _gate, _thread.state
    state.is_forking = False
    if state.has_gate:
        state.has_gate = False
        gate.n_forks -= 1
        with suppress(RuntimeError):  # Ctrl-C came while it was taken again
            gate.changed.notify_all()
            gate.changed.release()
    if state.interrupted and state.forked_at is not None:
        threading.Thread(
            target=_interrupt, args=(threading.get_ident(), *state.forked_at), daemon=True
        ).start()
    state.interrupted, state.forked_at = False, None


def _interrupt(thread: int, caller: FrameType, instruction: int) -> None:
    """Raise KeyboardInterrupt in a thread that has forked, once it goes on."""
    until = time.monotonic() + _LONGEST_HOOKS
    while caller.f_lasti == instruction and time.monotonic() < until:
        time.sleep(_LOOK_AGAIN)
    signal.pthread_kill(thread, signal.SIGINT)


def _after_in_child() -> None:
    global _gate  # noqa: PLW0603
    others.give_back()
    state = _thread.state
    if any(one.depth for one in _gate.threads.values() if one is not state):
        Era.unclean = object()
    Era.process = object()
    state.is_forking = state.has_gate = state.interrupted = False
    state.forked_at = None
    _gate = _Gate()
    _gate.threads[threading.get_ident()] = state


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

_AT_WORK = others.Busy("a thread of dao was at work", LONGEST_WAIT)
_TOO_LONG = (
    "A process was forked while {busy}, which did not end within {seconds:.0f} seconds. The new "
    "process may hang. Fork before that work begins, or pass multiprocessing_context='spawn'."
)
