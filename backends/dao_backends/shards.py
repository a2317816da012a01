"""Checks on shard files before they are decoded.

Zarr answers a missing shard with its fill value, and zarrs 0.2.3 does not check the crc32c
of an inner chunk that is read out of a larger shard (docs/design/003). So the size of each
shard is compared with the manifest when it is first touched, and backends that need it have
the checksum of each inner chunk compared when that is first touched.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import google_crc32c
import numpy as np

from dao.errors import CorruptStoreError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from dao.format.manifest import ArrayInfo

_ABSENT = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_CRC_BYTES = 4


class ShardChecks:
    """Looks at shards before they are read; remembers which inner chunks were found sound."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
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
            file = self._root / shard_path(path, array, int(shard))
            try:
                size = file.stat().st_size
            except FileNotFoundError as error:
                msg = f"{file} is missing; its cells cannot be read. Restore it from a copy."
                raise CorruptStoreError(msg) from error
            if size != array.shard_sizes[shard]:
                wanted = array.shard_sizes[shard]
                msg = f"{file} has {size:,} bytes instead of {wanted:,}. Restore it from a copy."
                raise CorruptStoreError(msg)

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
            file = self._root / shard_path(path, array, int(shard))
            inside = fresh[shards == shard] - shard * per_shard
            with file.open("rb", buffering=0) as opened:
                index = _read_index(opened.fileno(), array.shard_sizes[shard], per_shard)
                if index is None:
                    msg = f"The index of {file} was altered. Restore it from a copy."
                    raise CorruptStoreError(msg)
                for chunk in inside:
                    if not _chunk_is_sound(opened.fileno(), *index[chunk]):
                        msg = f"Chunk {chunk} of {file} was altered. Restore it from a copy."
                        raise CorruptStoreError(msg)
        sound[fresh] = True

    def _known(self, path: str, size: int) -> NDArray[np.bool_]:
        with self._lock:
            return self._chunks.setdefault(path, np.zeros(size, np.bool_))


def shard_path(path: str, array: ArrayInfo, shard: int) -> str:
    """Return the file of a shard, relative to the store."""
    return f"{path}/c/{shard}" + "/0" * (len(array.shape) - 1)


def _read_index(file: int, size: int, per_shard: int) -> NDArray[np.uint64] | None:
    """Return (offset, size) of each inner chunk, from the end of a shard; None if altered."""
    length = 16 * per_shard + _CRC_BYTES
    tail = os.pread(file, length, size - length) if size >= length else b""
    if len(tail) != length or not _crc_matches(tail):
        return None
    return np.frombuffer(tail[:-_CRC_BYTES], "<u8").reshape(per_shard, 2)


def _chunk_is_sound(file: int, offset: np.uint64, size: np.uint64) -> bool:
    # A chunk that holds nothing but the fill value may be absent; the index says so, and
    # the index has a checksum of its own.
    if offset == _ABSENT and size == _ABSENT:
        return True
    content = os.pread(file, int(size), int(offset))
    return len(content) == int(size) > _CRC_BYTES and _crc_matches(content)


def _crc_matches(content: bytes) -> bool:
    stored = int.from_bytes(content[-_CRC_BYTES:], "little")
    return int(google_crc32c.value(content[:-_CRC_BYTES])) == stored
