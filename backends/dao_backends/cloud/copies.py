"""Copies: shards at a URL as local files, for a decoder that opens files by itself.

zarrs could read from the object store too, but holds the GIL while it waits for the network, which
stops everything else, and does not check what it reads.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import google_crc32c
import numpy as np

from dao.forks import Lock
from dao.scratch import scratch_folder
from dao_backends.cloud.cache import Cache
from dao_backends.cloud.fetch import bring
from dao_backends.cloud.held import Held
from dao_backends.cloud.shard_file import ShardFile
from dao_backends.cloud.table import RemoteTable
from dao_backends.cloud.wanted import Wanted, wanted_shards
from dao_backends.shards import CRC_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dao.format.manifest import ArrayInfo
    from dao.remote.bucket import Bucket

__all__ = ["Copies"]

_MEMORY = "/dev/shm"  # noqa: S108 - where it is there, files in it never touch a disk


class Copies:
    """Brings chunks of a store into files that are gone after use; remembers where they lie.

    Parameters
    ----------
    memory
        Bytes that a stream may hold; a part of them holds chunks that were read.
    """

    def __init__(self, bucket: Bucket, memory: int) -> None:
        self._bucket, self._nowhere = bucket, Cache(Path(), 0)
        self._held = Held.share_of(memory)
        self._lock = Lock()
        self._tables: dict[str, RemoteTable] = {}

    @contextmanager
    def of(self, path: str, array: ArrayInfo, chunks: NDArray[np.int64]) -> Iterator[Path]:
        """Yield a folder in which shards of an array hold chunks that were checked.

        All other chunks are holes, which the decoder must not be asked for.

        Raises
        ------
        dao.errors.CorruptStoreError
            If a shard is missing or resized, or a chunk's bytes were altered.
        """
        with self._lock:
            fresh = RemoteTable(self._bucket.root, path, array)
            table = self._tables.setdefault(path, fresh)
        memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
        with scratch_folder("dao-copies-", memory) as folder, ExitStack() as stack:
            wanted = []
            for shard, inside in wanted_shards(table, chunks):
                name = folder / table.name(shard)
                name.parent.mkdir(parents=True, exist_ok=True)
                made = ShardFile.on_disk(name, array.shard_sizes[shard], table.per_shard)
                file = replace(made, name=table.name(shard), held=self._held)
                stack.callback(file.close)
                wanted.append(Wanted(table, shard, inside, file))
            bring(self._bucket, self._nowhere, wanted)
            for one in wanted:
                _complete(one)
            yield folder


def _complete(one: Wanted) -> None:
    """Make the file look like the shard: with its index, and without marks."""
    index = np.stack(one.table.places(one.shard), axis=1).astype("<i8").tobytes()
    crc = int(google_crc32c.value(index)).to_bytes(CRC_BYTES, "little")
    one.file.write(one.table.per_shard, one.index_at, index + crc)
    os.truncate(one.file.file, one.size)
