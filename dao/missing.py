"""A file of a store that is not found: what has happened, as far as that can be seen."""

from __future__ import annotations

from pathlib import Path

from dao.errors import CorruptStoreError, DaoError, StoreChangedError, StoreNotFoundError
from dao.format.manifest import MANIFEST_NAME
from dao.generations import GENERATIONS

__all__ = ["missing_file"]


def missing_file(root: str | Path, path: str) -> DaoError:
    """Return the error to raise for a file that a manifest names and that is not there.

    Parameters
    ----------
    root
        Folder of the store.
    path
        Of the file, relative to it.
    """
    root = Path(root)
    if not root.is_dir():
        return StoreNotFoundError(
            f"{root} is not there any more: it was moved or removed, or its disk is not mounted. "
            "Open the store where it is now, with dao.load_store."
        )
    kept = sorted((root / GENERATIONS).glob("*.json"))
    try:
        texts = [file.read_bytes() for file in (root / MANIFEST_NAME, *kept)]
    except OSError:
        return StoreNotFoundError(
            f"{root / path} is missing, and so is {MANIFEST_NAME}: this folder is not a whole "
            "store any more. Open the store where it is now, with dao.load_store."
        )
    folder = "/".join(path.split("/")[:2])
    if not any(folder.encode() in text for text in texts):
        return StoreChangedError(
            f"{root / path} is missing: the store was changed, and what is open here is of an "
            "earlier generation. Call dao.load_store again."
        )
    return CorruptStoreError(
        f"{root / path} is missing, and {MANIFEST_NAME} names it: a copy was not finished, or the "
        "file was removed. Copy it here again; `dao validate` lists all that is missing."
    )
