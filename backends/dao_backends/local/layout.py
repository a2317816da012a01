"""Which arrays the kernel can read, and where their chunks lie in the shards."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.forks import Lock
from dao_backends.shards import open_shard, read_index

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from dao.format.manifest import ArrayInfo

__all__ = ["ChunkTable", "is_readable", "open_shards"]

_LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
_CRC = "crc32c"
_ABSENT = -1


def is_readable(metadata: bytes, array: ArrayInfo) -> bool:
    """Whether an array is what dao writes: shards of blosc-compressed chunks with crc32c."""
    try:
        document = json.loads(metadata)
        (sharding,) = document["codecs"]
        settings = sharding["configuration"]
        content, compressor, check = settings["codecs"]
        index, index_check = settings["index_codecs"]
        width = list(array.shape[1:])
        return bool(
            sharding["name"] == "sharding_indexed"
            and settings["chunk_shape"] == [array.chunk, *width]
            and settings.get("index_location", "end") == "end"
            and content["name"] == "bytes"
            and _endian(content) in _endians(array)
            and compressor["name"] == "blosc"
            and check["name"] == index_check["name"] == _CRC
            and index == _LITTLE
            and document["fill_value"] == 0
            and document["chunk_grid"]["configuration"]["chunk_shape"] == [array.shard, *width]
        )
    except (KeyError, TypeError, ValueError):
        return False


def _endian(codec: Any) -> Any:
    return (codec.get("configuration") or {}).get("endian")


def _endians(array: ArrayInfo) -> set[str | None]:
    one_byte = np.dtype(array.dtype).itemsize == 1
    return {"little", "big", None} if one_byte else {"little"}


class ChunkTable:
    """Where each chunk of an array lies; the index of a shard is read when first needed."""

    def __init__(self, root: Path, path: str, array: ArrayInfo) -> None:
        self._root, self.path, self.array = root, path, array
        self._lock = Lock()
        self.per_shard = array.shard // array.chunk
        self.item_bytes = np.dtype(array.dtype).itemsize * math.prod(array.shape[1:])
        self._known = np.zeros(len(array.shard_sizes), np.bool_)
        self.offsets = np.full(len(self._known) * self.per_shard, _ABSENT, np.int64)
        self.sizes = np.full(len(self.offsets), _ABSENT, np.int64)

    def open(self, shard: int) -> int:
        """Return a descriptor of the shard's file, its size checked; -1 if it is all zeros.

        Raises
        ------
        dao.errors.CorruptStoreError
            If the file is missing, has another size, or its index was altered.
        """
        if self.array.shard_sizes[shard] == 0:
            return _ABSENT
        file = open_shard(self._root, self.path, self.array, shard)
        try:
            with self._lock:
                if not self._known[shard]:
                    self._read(file, shard)
        except BaseException:
            os.close(file)
            raise
        return file

    def _read(self, file: int, shard: int) -> None:
        index = read_index(file, self._root, self.path, self.array, shard).view("<i8")
        here = slice(shard * self.per_shard, (shard + 1) * self.per_shard)
        self.offsets[here], self.sizes[here] = index[:, 0], index[:, 1]
        self._known[shard] = True


def open_shards(
    table: ChunkTable, shards: NDArray[np.int64], opened: list[int]
) -> NDArray[np.int64]:
    """Return for each shard of the array a descriptor of its file, -1 where none is opened.

    Parameters
    ----------
    shards
        Which ones to open, each once; one of zeros has no file.
    opened
        What was opened is added here, for the caller to close.
    """
    files = np.full(len(table.array.shard_sizes), _ABSENT, np.int64)
    for shard in shards.tolist():
        files[shard] = table.open(shard)
        if files[shard] >= 0:
            opened.append(int(files[shard]))
    return files
