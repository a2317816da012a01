"""Waits that end early: when a stream is closed, and when the interpreter is about to exit."""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 - it registers first
import threading
import time
from contextvars import ContextVar, copy_context
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from dao.errors import GeneratorStoppedError
from dao.forks import waiting

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["POLL_SECONDS", "at_exit", "carried", "check", "pause", "stopped", "stopping"]

T = TypeVar("T")

# How soon a wait notices that it is to end.
POLL_SECONDS = 0.1

# What stops the work of this thread; None if nothing does.
stopping: ContextVar[threading.Event | None] = ContextVar("stopping", default=None)
_exiting = threading.Event()

_endings: list[Callable[[], object]] = []


def at_exit(ending: Callable[[], object]) -> None:
    """Call a function when the interpreter exits, before threads of executors are waited for."""
    _endings.append(ending)


def _exit() -> None:
    _exiting.set()
    for ending in reversed(_endings):
        ending()


# `atexit` is too late: the threads of executors are waited for before. They are by what
# `concurrent.futures.thread` registered, and what is registered later is called earlier.
getattr(threading, "_register_atexit", atexit.register)(_exit)


def stopped() -> bool:
    """Whether nobody wants any more what this thread is doing."""
    event = stopping.get()
    return _exiting.is_set() or (event is not None and event.is_set())


def check() -> None:
    """Raise an error if nobody wants any more what this thread is doing.

    Raises
    ------
    dao.errors.GeneratorStoppedError
        Which nobody sees, as nobody waits.
    """
    if stopped():
        msg = "This iterator has been closed. Make a new one."
        raise GeneratorStoppedError(msg)


def pause(seconds: float) -> None:
    """Wait; errors as those of `check`."""
    until = time.monotonic() + seconds
    event = stopping.get() or _exiting
    check()
    while (left := until - time.monotonic()) > 0:
        with waiting():
            event.wait(min(left, POLL_SECONDS))
        check()


def carried(function: Callable[[], T]) -> Callable[[], T]:
    """Return a function for another thread, which is stopped by what stops this thread."""
    return partial(copy_context().run, function)
