"""Files inside a store: no symbolic link leads the reader of a store somewhere else.

A store that came from somebody else may hold links; what they point at is not part of it.
"""

from __future__ import annotations

import os
from functools import lru_cache

from dao.errors import CorruptStoreError

__all__ = ["check_inside"]


def check_inside(root: str, path: str) -> None:
    """Check that a file of a store is in the store, or missing.

    Parameters
    ----------
    root
        Folder of the store, which may itself be behind a link.
    path
        Relative to it.

    Raises
    ------
    dao.errors.CorruptStoreError
        If a symbolic link leads out of the store.
    """
    folder, _, _ = path.rpartition("/")
    is_link = os.path.islink(f"{root}/{path}")  # noqa: PTH114 (asked of every shard)
    if not _is_inside(root, folder) or (is_link and not _resolves_inside(root, path)):
        msg = (
            f"{root}/{path} leads out of the store by a symbolic link, and what it points at is no "
            "part of it. Put the file itself there, or a copy."
        )
        raise CorruptStoreError(msg)


@lru_cache(maxsize=1 << 16)
def _is_inside(root: str, folder: str) -> bool:
    return _resolves_inside(root, folder)


def _resolves_inside(root: str, path: str) -> bool:
    real = os.path.realpath(root)
    found = os.path.realpath(f"{root}/{path}")
    return found == real or found.startswith(real.rstrip("/") + "/")
