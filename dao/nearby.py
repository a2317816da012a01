"""Stores in the neighbourhood of a path that is none, to be named in a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dao.errors import near_matches
from dao.format.manifest import MANIFEST_NAME

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["stores_near"]


def stores_near(path: Path) -> str:
    """Return a sentence that names the stores in a folder, or beside what is not there.

    Returns
    -------
    As of `dao.errors.near_matches`; empty if there are none.
    """
    folder = path if path.is_dir() else path.parent
    try:
        names = sorted(str(p) for p in folder.iterdir() if (p / MANIFEST_NAME).is_file())
    except OSError:
        return ""
    return near_matches(path, names) if names else ""
