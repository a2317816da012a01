"""Whether files are still those that were opened: their size, time of change and inode."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dao.errors import CorruptStoreError, SourceError, StorageError, StoreChangedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["Stamp", "unchanged"]

# What tells of changes in a study that is a folder: its small files, and the folders of its many
# chunks, which change when a chunk comes or goes.
_WATCHED = (
    "zarr/X", "zarr/X/.zarray", "parquet/obs.parquet", "X", "X/c", "X/data", "X/data/c",
    "X/.zattrs", "X/zarr.json", "zarr.json", ".zgroup", ".zmetadata",
)  # fmt: skip

# Size, time of change in nanoseconds, inode.
_Seen = tuple[int, int, int]


class Stamp:
    """What the file of a study, or the files of its folder, looked like at first.

    Parameters
    ----------
    path
        Of the study, absolute.
    whole
        Whether all files of a folder are looked at. Else only a few, which takes no time however
        many chunks there are, and notices what comes and goes.

    Raises
    ------
    OSError
        If the path cannot be looked at.
    """

    def __init__(self, path: Path, *, whole: bool = False) -> None:
        self.path, self._whole = path, whole
        self._seen = self._look()

    def check(self) -> None:
        """Refuse files that are not the ones that were opened for reading.

        Raises
        ------
        dao.errors.CorruptStoreError
            If they are missing.
        dao.errors.StoreChangedError
            If they have changed.
        """
        try:
            changed = self._look() != self._seen
        except OSError as error:
            msg = f"{self.path} was there when it was opened and cannot be read any more: {error}."
            raise CorruptStoreError(msg) from error
        if changed:
            msg = f"{self.path} has changed since it was opened: call dao.load_store again."
            raise StoreChangedError(msg)

    def check_source(self) -> None:
        """Refuse a source that is not the one that was inspected.

        Raises
        ------
        dao.errors.SourceError
            Saying what has changed.
        """
        what = self._what_changed()
        if what is not None:
            msg = (
                f"{self.path} was changed while it was written into the store: {what}. Nothing was "
                "committed. Write again when whatever changes it has finished."
            )
            raise SourceError(msg)

    @property
    def digest(self) -> str:
        """What is different whenever the file is; the same for a copy that keeps its time."""
        text = repr((str(self.path), tuple(seen[:2] for _, seen in self._seen)))
        return hashlib.sha256(text.encode()).hexdigest()

    def _what_changed(self) -> str | None:
        try:
            now = dict(self._look())
        except OSError as error:
            return f"it cannot be looked at any more ({error.strerror})"
        before = dict(self._seen)
        differing = [name for name in (*before, *now) if before.get(name) != now.get(name)]
        if not differing:
            return None
        name = differing[0]
        if name not in now or name not in before:
            return f"{name} is {'new' if name in now else 'gone'}"
        file = f" of {name}" if name else ""
        (size, _, inode), (size_now, _, inode_now) = before[name], now[name]
        if size != size_now:
            return f"the size{file} was {size:,} bytes and is {size_now:,}"
        if inode != inode_now:
            return f"another file took the place{file or ' of it'}"
        return f"the time of the last change{file} differs"

    def _look(self) -> tuple[tuple[str, _Seen], ...]:
        if not self.path.is_dir():
            return (("", _seen(self.path.stat())),)
        if self._whole:
            return tuple(sorted(_all_in(str(self.path), "")))
        watched = ((name, self.path / name) for name in _WATCHED)
        return tuple((name, _seen(path.stat())) for name, path in watched if path.exists())


@contextmanager
def unchanged(stamps: Iterable[Stamp]) -> Iterator[None]:
    """Say of an error while sources are read that one of them was changed, if it was.

    Raises
    ------
    dao.errors.SourceError
        Instead of what a library says of bytes that do not fit together.
    """
    try:
        yield
    except StorageError:
        raise  # the disk is full, whatever the sources are
    except Exception as error:
        for stamp in stamps:
            try:
                stamp.check_source()
            except SourceError as changed:
                raise changed from error
        raise


def _all_in(folder: str, inside: str) -> Iterator[tuple[str, _Seen]]:
    """Yield the files in a folder, at any depth; of hidden ones those of Zarr."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{inside}{entry.name}"
            if entry.is_dir():
                yield from _all_in(entry.path, f"{name}/")
            elif not entry.name.startswith(".") or entry.name.startswith(".z"):
                yield name, _seen(entry.stat())


def _seen(found: os.stat_result) -> _Seen:
    return found.st_size, found.st_mtime_ns, found.st_ino
