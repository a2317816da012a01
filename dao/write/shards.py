"""Shards: inner chunks one behind the other, then the index, as the Zarr codec sharding_indexed.

dao encodes chunks itself, one per thread: zarr-python wants whole shards in memory.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ShardWriter", "with_checksum"]

_ABSENT = 2**64 - 1


def with_checksum(content: bytes) -> bytes:
    """Return the content followed by its CRC-32C, as the codec crc32c writes it."""
    return content + int(google_crc32c.value(content)).to_bytes(4, "little")


class ShardWriter:
    """Writes encoded chunks into the files of an array, in order.

    Parameters
    ----------
    folder
        Of the array.
    chunks_per_shard
        Length of the index of every shard; the last one may have fewer chunks.
    suffix
        What follows the number of a shard in its path: ``/0`` for each further axis.
    first
        Number of the first shard to be written.
    """

    def __init__(self, folder: Path, chunks_per_shard: int, suffix: str, first: int = 0) -> None:
        self._folder, self._suffix, self._first = folder, suffix, first
        self._index = np.full((chunks_per_shard, 2), _ABSENT, "<u8")
        self._file: Any = None
        self._chunk, self._at = 0, 0
        self.sizes: list[int] = []

    def append(self, chunk: bytes) -> None:
        """Add the next chunk of the array."""
        if self._file is None:
            path = self._folder / f"c/{self._first + len(self.sizes)}{self._suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb", buffering=0)
            self._index[:] = _ABSENT
            self._chunk, self._at = 0, 0
        self._write(chunk)
        self._index[self._chunk] = self._at, len(chunk)
        self._chunk, self._at = self._chunk + 1, self._at + len(chunk)
        if self._chunk == len(self._index):
            self.close()

    def close(self) -> None:
        """Finish the last shard."""
        if self._file is None:
            return
        index = with_checksum(self._index.tobytes())
        self._write(index)
        # While the next shard is being encoded the commit would have to wait.
        os.fsync(self._file.fileno())
        self.release()
        self.sizes.append(self._at + len(index))

    def release(self) -> None:
        """Close the file of a shard that will not be finished."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[self._file.write(rest) :]
