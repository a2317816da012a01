"""Checks on shard files before they are decoded.

Zarr answers a missing shard with its fill value, and zarrs 0.2.3 does not check the crc32c
of an inner chunk that is read out of a larger shard (docs/design/003). So the size of each
shard is compared with the manifest when it is first touched, and backends that need it have
the checksum of each inner chunk compared when that is first touched.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import google_crc32c
import numpy as np

from dao.errors import CorruptStoreError, StorageError
from dao.forks import Lock
from dao.inside import check_inside
from dao.missing import missing_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from dao.format.manifest import ArrayInfo
    from dao.remote.url import StoreUrl

_ABSENT = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
CRC_BYTES = 4


class ShardChecks:
    """Looks at shards before they are read; remembers which inner chunks were found sound."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = Lock()
        self._chunks: dict[str, NDArray[np.bool_]] = {}

    def check_sizes(self, path: str, array: ArrayInfo, chunks: NDArray[np.int64]) -> None:
        """Compare the shards that hold ``chunks`` with the sizes in the manifest.

        Raises
        ------
        dao.errors.CorruptStoreError
            If one is missing or has another size.
        """
        # Looked at on every request: a file that was there yesterday may be gone today.
        for shard in np.unique(chunks // (array.shard // array.chunk)):
            if array.shard_sizes[shard] == 0:
                continue
            os.close(open_shard(self._root, path, array, int(shard)))

    def check_chunks(self, path: str, array: ArrayInfo, chunks: NDArray[np.int64]) -> None:
        """Compare sizes, and the crc32c of each inner chunk that was not read before.

        Raises
        ------
        dao.errors.CorruptStoreError
            If a shard is missing or resized, or a chunk's bytes were altered.
        """
        self.check_sizes(path, array, chunks)
        sound = self._known(path, array.n_chunks)
        fresh = chunks[~sound[chunks]]
        if not len(fresh):
            return
        per_shard = array.shard // array.chunk
        shards = fresh // per_shard
        for shard in np.unique(shards):
            if array.shard_sizes[shard] == 0:
                continue
            inside = fresh[shards == shard] - shard * per_shard
            file = open_shard(self._root, path, array, int(shard))
            try:
                index = read_index(file, self._root, path, array, int(shard))
                for chunk in inside:
                    if not _chunk_is_sound(file, *index[chunk]):
                        raise altered(self._root, path, array, int(shard * per_shard + chunk))
            finally:
                os.close(file)
        sound[fresh] = True

    def _known(self, path: str, size: int) -> NDArray[np.bool_]:
        with self._lock:
            return self._chunks.setdefault(path, np.zeros(size, np.bool_))


def shard_path(path: str, array: ArrayInfo, shard: int) -> str:
    """Return the file of a shard, relative to the store."""
    return f"{path}/c/{shard}" + "/0" * (len(array.shape) - 1)


def open_shard(root: Path, path: str, array: ArrayInfo, shard: int) -> int:
    """Return a descriptor of a shard's file, whose size is that of the manifest.

    Raises
    ------
    dao.errors.CorruptStoreError
        If it is missing or has another size.
    dao.errors.StorageError
        If it cannot be opened.
    """
    name = shard_path(path, array, shard)
    file = f"{root}/{name}"  # pathlib takes longer than the system
    check_inside(str(root), name)
    try:
        opened = os.open(file, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError as error:
        raise missing_file(root, name) from error
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}."
        raise StorageError(msg) from error
    size, wanted = os.fstat(opened).st_size, array.shard_sizes[shard]
    if size != wanted:
        os.close(opened)
        msg = f"{file} has {size:,} bytes instead of {wanted:,}. Restore it from a copy."
        raise CorruptStoreError(msg)
    return opened


def read_index(
    file: int, root: Path, path: str, array: ArrayInfo, shard: int
) -> NDArray[np.uint64]:
    """Return (offset, size) of each inner chunk, from the end of a shard.

    Raises
    ------
    dao.errors.CorruptStoreError
        If the index was altered.
    """
    per_shard = array.shard // array.chunk
    length, size = 16 * per_shard + CRC_BYTES, array.shard_sizes[shard]
    tail = os.pread(file, length, size - length) if size >= length else b""
    return parse_index(tail, root, path, array, shard)


def parse_index(
    tail: bytes, root: Path | StoreUrl, path: str, array: ArrayInfo, shard: int
) -> NDArray[np.uint64]:
    """Return (offset, size) of each inner chunk; ``tail`` is the end of the shard.

    Raises
    ------
    dao.errors.CorruptStoreError
        If the index was altered.
    """
    per_shard = array.shard // array.chunk
    if len(tail) != 16 * per_shard + CRC_BYTES or not crc_matches(tail):
        msg = f"The index of {root / shard_path(path, array, shard)} was altered. Restore it from "
        msg += "a copy."
        raise CorruptStoreError(msg)
    return np.frombuffer(tail[:-CRC_BYTES], "<u8").reshape(per_shard, 2)


def altered(root: Path | StoreUrl, path: str, array: ArrayInfo, chunk: int) -> CorruptStoreError:
    """Return the error that names a chunk whose bytes are not those that were written."""
    shard, inside = divmod(chunk, array.shard // array.chunk)
    file = root / shard_path(path, array, shard)
    return CorruptStoreError(f"Chunk {inside} of {file} was altered. Restore it from a copy.")


def _chunk_is_sound(file: int, offset: np.uint64, size: np.uint64) -> bool:
    # A chunk that holds nothing but the fill value may be absent; the index says so, and
    # the index has a checksum of its own.
    if offset == _ABSENT and size == _ABSENT:
        return True
    content = os.pread(file, int(size), int(offset))
    return len(content) == int(size) > CRC_BYTES and crc_matches(content)


def crc_matches(content: bytes) -> bool:
    """Whether content ends in the crc32c of what stands before."""
    stored = int.from_bytes(content[-CRC_BYTES:], "little")
    return int(google_crc32c.value(content[:-CRC_BYTES])) == stored
