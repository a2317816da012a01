"""Warnings of dao: they point to the line of the user, and each comes once."""

from __future__ import annotations

import sys
import sysconfig
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING

from dao.errors import DaoWarning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["once", "warn"]

_PACKAGES = {"dao", "dao_backends"}
_given: ContextVar[set[str] | None] = ContextVar("given", default=None)


def warn(message: str, category: type[Warning] = DaoWarning) -> None:
    """Warn the user, at the line of their code that led here.

    Frames of dao, of the standard library and of installed packages are passed over. Where there
    are no others (a thread of dao, a command), the warning points to what called dao.

    Parameters
    ----------
    message
        What happened, where, and what to do.
    category
        The class of the warning.
    """
    given = _given.get()
    if given is not None:
        if message in given:
            return
        given.add(message)
    frame = _users_frame(sys._getframe(1))  # noqa: SLF001 - as the module `warnings` does
    warnings.warn_explicit(
        message,
        category,
        frame.f_code.co_filename,
        frame.f_lineno,
        frame.f_globals.get("__name__", "<unknown>"),
        frame.f_globals.setdefault("__warningregistry__", {}),
    )


@contextmanager
def once() -> Iterator[None]:
    """Give each warning once while the block runs, however often what leads to it is done."""
    if _given.get() is not None:
        yield
        return
    token = _given.set(set())
    try:
        yield
    finally:
        _given.reset(token)


def _users_frame(innermost: FrameType) -> FrameType:
    frame: FrameType | None = innermost
    caller = innermost
    was_ours = True
    while frame is not None:
        ours = frame.f_globals.get("__name__", "").partition(".")[0] in _PACKAGES
        if not ours and not frame.f_code.co_filename.startswith(_installed()):
            return frame
        if was_ours and not ours:
            caller = frame
        was_ours, frame = ours, frame.f_back
    return caller


@cache
def _installed() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return (*sorted(folders), "<frozen")
