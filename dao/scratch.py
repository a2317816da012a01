"""Temporary folders that do not outlive their process, or are removed by the next one."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["scratch_folder"]

_LOCK = ".dao-scratch.lock"
# Seconds after which a folder without a lock is not about to get one.
_OLD = 60.0
# Looked at once by each process.
_cleared: set[tuple[str, str]] = set()


@contextmanager
def scratch_folder(prefix: str, parent: str | None = None) -> Iterator[Path]:
    """Yield a temporary folder, which is removed in the end.

    What a process that was killed has left by the same prefix is removed first.

    Parameters
    ----------
    prefix
        Of the folder's name; only for folders of one purpose.
    parent
        Where it is made; the folder for temporary files if None.
    """
    parent = tempfile.gettempdir() if parent is None else parent
    if (parent, prefix) not in _cleared:
        _cleared.add((parent, prefix))
        _clear(Path(parent), prefix)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as folder:
        # A lock goes with the process, however that ends.
        lock = os.open(Path(folder) / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with suppress(OSError):  # not every file system knows locks
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            inner = Path(folder) / "files"
            inner.mkdir()
            yield inner
        finally:
            os.close(lock)


def _clear(parent: Path, prefix: str) -> None:
    """Remove folders of this user whose process is gone."""
    with suppress(OSError):
        for folder in sorted(parent.glob(f"{prefix}*")):
            with suppress(OSError):
                status = folder.lstat()
                ours = not folder.is_symlink() and folder.is_dir() and status.st_uid == os.getuid()
                if ours and _is_left(folder, status.st_mtime):
                    shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path, changed: float) -> bool:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        # Killed before it had a lock, so it is empty; or not a folder of this kind.
        return time.time() - changed > _OLD and not any(folder.iterdir())
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(lock)
