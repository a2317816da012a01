"""Files of a store: as the manifest names them, and as the disk keeps them."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from dao.format.manifest import FileInfo

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["file_info", "fsync"]


def file_info(root: Path, path: str) -> FileInfo:
    """Return size and SHA-256 of a file of the store."""
    with (root / path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileInfo(path, file.tell(), digest)


def fsync(path: Path) -> None:
    """Return when a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
