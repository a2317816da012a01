"""The small files of a store at a URL."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow.parquet as pq

from dao.errors import CorruptStoreError, StoreNotFoundError
from dao.files import REPAIR, parquet_table
from dao.format.manifest import MANIFEST_NAME, Manifest
from dao.generations import GENERATIONS
from dao.remote.bucket import Range
from dao.remote.problems import MissingObjectError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pyarrow as pa

    from dao.format.manifest import FileInfo
    from dao.remote.bucket import Bucket

__all__ = ["RemoteFiles", "SmallFileCache"]

# Of larger obs tables the columns asked for are read; smaller ones are read whole, and kept.
_WHOLE = 32 << 20
# What pyarrow looks at when it opens a parquet file; most footers are shorter.
_TAIL = 64 << 10


class SmallFileCache(Protocol):
    """Keeps small files by their SHA-256."""

    def load(self, info: FileInfo) -> bytes | None:
        """Return a file that was kept, or None."""

    def turn(self, info: FileInfo) -> AbstractContextManager[None]:
        """Wait while somebody else reads a file to keep it."""

    def keep(self, info: FileInfo, content: bytes) -> None:
        """Keep a file, if that is possible."""


class RemoteFiles:
    """Files at a URL, kept in a cache if there is one."""

    def __init__(
        self, bucket: Bucket, generation: int | None = None, cache: SmallFileCache | None = None
    ) -> None:
        self.root: Any = bucket.root
        self._bucket, self._generation, self._cache = bucket, generation, cache

    def manifest(self) -> Manifest:
        """Return the manifest."""
        current = self._manifest(MANIFEST_NAME, f"{self.root} is not a dao store: it has no")
        if self._generation in {None, current.generation}:
            return current
        name = f"{GENERATIONS}/{self._generation}.json"
        return self._manifest(name, f"{self.root} has no generation {self._generation}: no")

    def _manifest(self, name: str, missing: str) -> Manifest:
        try:
            return Manifest.from_json(self._bucket.read(name), str(self.root / name))
        except MissingObjectError as error:
            msg = f"{missing} {name}."
            raise StoreNotFoundError(msg) from error

    def close(self) -> None:
        """Close connections."""
        self._bucket.close()

    def manifest_now(self) -> bytes | None:
        """Return what ``dao.json`` holds now; None if it is not there."""
        try:
            return self._bucket.read(MANIFEST_NAME)
        except MissingObjectError:
            return None

    def read(self, info: FileInfo) -> bytes:
        """Return a whole file, not checked."""
        if self._cache is None:
            return self._bucket.read(info.path)
        kept = self._kept(info)
        if kept is not None:
            return kept
        with self._cache.turn(info):
            kept = self._kept(info)
            if kept is not None:
                return kept
            content = self._bucket.read(info.path)
            if _is(info, content):
                self._cache.keep(info, content)
            return content

    def _kept(self, info: FileInfo) -> bytes | None:
        kept = None if self._cache is None else self._cache.load(info)
        return kept if kept is not None and _is(info, kept) else None

    def columns(self, info: FileInfo, footer_sha256: str, names: list[str] | None) -> pa.Table:
        """Return columns of a parquet file, whose pages have checksums."""
        if names is None or info.size <= _WHOLE:
            content = self.read(info)
            if not _is(info, content):
                raise self._altered(info)
            return parquet_table(content, names)
        file = _PartialFile(self._bucket, info)
        if hashlib.sha256(_footer(file, info.size)).hexdigest() != footer_sha256:
            raise self._altered(info)
        with pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=True) as opened:
            file.load(_chunks(opened.metadata, names))
            return opened.read(columns=names, use_threads=False)

    def _altered(self, info: FileInfo) -> CorruptStoreError:
        return CorruptStoreError(
            f"{self.root / info.path} is not the file that was written. {REPAIR}"
        )


def _is(info: FileInfo, content: bytes) -> bool:
    return len(content) == info.size and hashlib.sha256(content).hexdigest() == info.sha256


def _footer(file: _PartialFile, size: int) -> bytes:
    """Return the footer of a parquet file, its length and the closing magic."""
    (tail,) = file.load([(max(0, size - _TAIL), size)])
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if length > len(tail):
        (tail,) = file.load([(max(0, size - length), size)])
    return tail[-length:]


def _chunks(metadata: Any, names: list[str]) -> list[tuple[int, int]]:
    """Return where the chunks of columns lie in a parquet file."""
    found = []
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for number in range(row_group.num_columns):
            column = row_group.column(number)
            if column.path_in_schema.partition(".")[0] in names:
                pages = [column.data_page_offset, column.dictionary_page_offset]
                start = min(p for p in pages if p)
                found.append((start, start + column.total_compressed_size))
    return found


class _PartialFile(io.RawIOBase):
    """A file at a URL of which parts were loaded; others are loaded when they are read."""

    def __init__(self, bucket: Bucket, info: FileInfo) -> None:
        self._bucket, self._info, self._at = bucket, info, 0
        self._parts: list[tuple[int, bytes]] = []

    def load(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        """Read ranges, many at a time."""
        found = self._bucket.ranges([Range(self._info.path, a, b) for a, b in ranges])
        self._parts += [(a, part) for (a, _), part in zip(ranges, found, strict=True)]
        return found

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._info.size}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        start = self._at
        stop = self._info.size if size < 0 else min(start + size, self._info.size)
        self._at = stop
        for at, part in reversed(self._parts):
            if at <= start and stop <= at + len(part):
                return part[start - at : stop - at]
        return self.load([(start, stop)])[0]
