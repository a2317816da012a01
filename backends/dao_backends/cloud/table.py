"""Where the chunks of an array at a URL lie, and their files while a request needs them."""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import TYPE_CHECKING

from dao_backends.local.layout import ChunkTable
from dao_backends.shards import parse_index, shard_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dao.format.manifest import ArrayInfo
    from dao.remote.url import StoreUrl
    from dao_backends.cloud.shard_file import ShardFile

__all__ = ["RemoteTable", "at_hand"]

# The shards that were made ready for the request that this thread is serving.
at_hand: ContextVar[dict[tuple[str, int], ShardFile]] = ContextVar("at_hand")


class RemoteTable(ChunkTable):
    """A table whose shards are opened out of what is at hand."""

    def __init__(self, root: StoreUrl, path: str, array: ArrayInfo) -> None:
        super().__init__(root, path, array)  # type: ignore[arg-type] # it only names the store
        self.url = root

    def open(self, shard: int) -> int:
        """Return a descriptor of the shard's file, -1 if it is all zeros."""
        if self.array.shard_sizes[shard] == 0:
            return -1
        return os.dup(at_hand.get()[self.path, shard].file)

    def name(self, shard: int) -> str:
        """Return the object of a shard."""
        return shard_path(self.path, self.array, shard)

    def knows(self, shard: int) -> bool:
        """Whether the index of a shard was learnt."""
        return bool(self._known[shard])

    def learn(self, shard: int, tail: bytes) -> None:
        """Take in the index of a shard.

        Raises
        ------
        dao.errors.CorruptStoreError
            If it was altered.
        """
        index = parse_index(tail, self.url, self.path, self.array, shard).view("<i8")
        here = slice(shard * self.per_shard, (shard + 1) * self.per_shard)
        with self._lock:
            self.offsets[here], self.sizes[here] = index[:, 0], index[:, 1]
            self._known[shard] = True

    def places(self, shard: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return offset and size of each inner chunk of a shard; size -1 for zeros."""
        here = slice(shard * self.per_shard, (shard + 1) * self.per_shard)
        return self.offsets[here], self.sizes[here]
