"""Whether files are still those that were opened: sizes and times of change."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from dao.errors import CorruptStoreError, StoreChangedError

if TYPE_CHECKING:
    import os

__all__ = ["Stamp"]

# What tells of changes in a study that is a folder: its small files, and the folder of its many
# chunks, which is another one when a chunk comes or goes.
_WATCHED = ("zarr/X", "zarr/X/.zarray", "X/data", "zarr.json", ".zgroup", "parquet/obs.parquet")


class Stamp:
    """What the file of a study, or the small files of its folder, looked like at first.

    Parameters
    ----------
    path
        Of the study.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self._seen = self._look()

    def check(self) -> None:
        """Refuse files that are not the ones that were opened.

        Raises
        ------
        dao.errors.CorruptStoreError
            If they are missing.
        dao.errors.StoreChangedError
            If they have changed.
        """
        try:
            now = self._look()
        except OSError as error:
            msg = f"{self.path} was there when it was opened and cannot be read any more: {error}."
            raise CorruptStoreError(msg) from error
        if now != self._seen:
            msg = f"{self.path} has changed since it was opened: call dao.load_store again."
            raise StoreChangedError(msg)

    @property
    def digest(self) -> str:
        """What is another one whenever the file is."""
        text = repr((str(self.path), self._seen))
        return hashlib.sha256(text.encode()).hexdigest()

    def _look(self) -> tuple[tuple[int, int], ...]:
        files = [self.path]
        if self.path.is_dir():
            files = [p for name in _WATCHED if (p := self.path / name).exists()]
        return tuple((s.st_size, s.st_mtime_ns) for s in (p.stat() for p in files))
