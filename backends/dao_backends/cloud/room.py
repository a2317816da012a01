"""How much a folder holds, over all processes that write into it; what is oldest goes."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Room"]

# After older files were removed, so much is filled: a removal then makes room for many writes.
_FILLED = 0.9
# What the disk may need for a piece beyond its bytes, as it gives out whole blocks.
_BLOCK = 3 * 4096
_UNIT = 512  # of st_blocks, whatever the file system


class Room:
    """Counts bytes in a file that all processes share, and looks at the disk when it is full.

    The count is never too low: bytes are counted before they are written. Where a process was
    killed before it wrote them the count is too high, until the next look.

    Parameters
    ----------
    folder
        Of the cache.
    size
        Bytes that it may hold.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder, self._size = folder, size
        self._counter = folder / "bytes"
        with self._locked() as (file, used):
            if used is None or used > size:
                self._write(file, self._shrunk(0))

    def make(self, n_bytes: int, n_pieces: int) -> bool:
        """Count bytes that will be written; False if they are too many for this folder."""
        n_bytes += _BLOCK * n_pieces
        if n_bytes > _FILLED * self._size:
            return False
        with self._locked() as (file, used):
            total = self._size + 1 if used is None else used + n_bytes
            if total > self._size:
                total = self._shrunk(n_bytes) + n_bytes
            self._write(file, total)
        return True

    @contextmanager
    def _locked(self) -> Iterator[tuple[int, int | None]]:
        """Hold the counter alone; yield its file, and what it says."""
        self._folder.mkdir(parents=True, exist_ok=True)  # somebody may have removed it
        file = os.open(self._counter, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            text = os.pread(file, 32, 0)
            yield file, int(text) if text.isdigit() else None
        finally:
            os.close(file)

    def _write(self, file: int, used: int) -> None:
        os.pwrite(file, b"%020d" % used, 0)

    def _shrunk(self, wanted: int) -> int:
        """Remove what was not used for longest, if need be; return what is left."""
        found = []
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = os.path.join(folder, name)  # noqa: PTH118 - there may be very many
                with suppress(OSError):
                    status = os.stat(path)  # noqa: PTH116
                    found.append((status.st_mtime_ns, status.st_blocks * _UNIT, path))
        used = sum(size for _, size, _ in found)
        if used + wanted <= self._size:
            return used
        for _, size, path in sorted(found):
            if used + wanted <= _FILLED * self._size:
                break
            if path != str(self._counter):
                with suppress(OSError):
                    os.unlink(path)  # noqa: PTH108
                used -= size
        return used
