"""What is near a path that is not there: names and stores, for messages."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dao.errors import near_matches
from dao.format.manifest import MANIFEST_NAME

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["is_foreign_zarr", "names_in", "store_around", "stores_near"]


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, sorted; none if it cannot be read."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 (names are wanted)
    except OSError:
        return []


def store_around(path: Path) -> Path | None:
    """Return the store that a path lies in, or None."""
    return next((p for p in path.parents if (p / MANIFEST_NAME).is_file()), None)


def is_foreign_zarr(folder: Path) -> bool:
    """Return whether a folder is a group of Zarr, as anndata writes it, and not a store."""
    files = ("zarr.json", ".zgroup", ".zmetadata")
    return any((folder / name).is_file() for name in files) and not store_around(folder / "x")


def stores_near(path: Path) -> str:
    """Return a sentence that names the stores in a folder, or beside what is not there.

    Returns
    -------
    As of `dao.errors.near_matches`; empty if there are none.
    """
    folder = path if path.is_dir() else path.parent
    found = [folder / name for name in names_in(folder)]
    names = [str(p) for p in found if (p / MANIFEST_NAME).is_file()]
    return near_matches(path, names) if names else ""
