"""Dispatch: a loader of accelerate that reads on one process and hands out to the others."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["asked_by_dispatcher", "asked_by_preparation"]

_MODULE = "accelerate.data_loader"
# What stands between a dataset and who asks it.
_BETWEEN = ("dao.", "torch.utils.data.", "torchdata.")


def asked_by_dispatcher() -> bool:
    """Whether accelerate's dispatcher asks the function of dao that calls this.

    It reads on the first process for all of them. It names the epoch before it does so, and there
    is no other way to know of it: a loader that was not prepared looks the same to a dataset.
    """
    frame = _asking()
    asks = None if frame is None else frame.f_locals.get("self")
    return type(asks).__name__ == "DataLoaderDispatcher"


def asked_by_preparation() -> bool:
    """Whether accelerate is preparing a loader."""
    frame = _asking()
    return frame is not None and frame.f_code.co_name == "prepare_data_loader"


def _asking() -> FrameType | None:
    """Return the frame of accelerate that asks, if it is accelerate."""
    if _MODULE not in sys.modules:
        return None
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - there is no public way
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith(_BETWEEN):
        frame = frame.f_back
    if frame is None or frame.f_globals.get("__name__") != _MODULE:
        return None
    return frame
