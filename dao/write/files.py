"""Files of a store as the manifest names them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from dao.format.manifest import FileInfo

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["file_info"]


def file_info(root: Path, path: str) -> FileInfo:
    """Return size and SHA-256 of a file of the store."""
    with (root / path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileInfo(path, file.tell(), digest)
