"""Files inside a store: no symbolic link leads the reader of a store somewhere else.

A store that came from somebody else may hold links; what they point at is not part of it.
"""

from __future__ import annotations

import errno
import os
from functools import lru_cache

from dao.errors import CorruptStoreError

__all__ = ["check_inside", "open_inside"]

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def open_inside(root: str, path: str) -> int:
    """Return a descriptor of a file of a store, for reading.

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
    OSError
        If the file cannot be opened.
    """
    folder, _, _ = path.rpartition("/")
    if not _is_inside(root, folder):
        raise _leads_out(root, path)
    file = f"{root}/{path}"  # pathlib takes longer than the system
    try:
        return os.open(file, _FLAGS | _NO_LINK)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    check_inside(root, path)
    return os.open(file, _FLAGS)


def check_inside(root: str, path: str) -> None:
    """Check that a file of a store is in the store, or missing.

    Raises
    ------
    dao.errors.CorruptStoreError
        If a symbolic link leads out of it.
    """
    if not _resolves_inside(root, path):
        raise _leads_out(root, path)


@lru_cache(maxsize=1 << 16)
def _is_inside(root: str, folder: str) -> bool:
    return _resolves_inside(root, folder)


def _resolves_inside(root: str, path: str) -> bool:
    real = os.path.realpath(root)
    found = os.path.realpath(f"{root}/{path}")
    return found == real or found.startswith(real.rstrip("/") + "/")


def _leads_out(root: str, path: str) -> CorruptStoreError:
    msg = (
        f"{root}/{path} leads out of the store by a symbolic link, and what it points at is no "
        "part of it. Put the file itself there, or a copy."
    )
    return CorruptStoreError(msg)
