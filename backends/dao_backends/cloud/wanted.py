"""What a request needs of one shard, and what of it is here."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dao.errors import CorruptStoreError
from dao.remote.bucket import Range
from dao_backends.shards import CRC_BYTES, crc_matches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao_backends.cloud.shard_file import ShardFile
    from dao_backends.cloud.table import RemoteTable

__all__ = ["Wanted", "wanted_shards"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Chunks of one shard, numbered within it and ascending, and the file that is to hold them."""

    table: RemoteTable
    shard: int
    chunks: NDArray[np.int64]
    file: ShardFile

    @property
    def size(self) -> int:
        """Bytes of the shard."""
        return self.table.array.shard_sizes[self.shard]

    @property
    def index_at(self) -> int:
        """Where the index begins."""
        return max(0, self.size - 16 * self.table.per_shard - CRC_BYTES)

    def n_here(self) -> int:
        """Return how many of the chunks are in the file."""
        if self.table.knows(self.shard):
            self.missing()
        return int(np.count_nonzero(self.file.marks()[self.chunks]))

    def knows_index(self) -> bool:
        """Whether it is known where the chunks are, if need be after a look into the file."""
        if not self.table.knows(self.shard) and self.file.marks()[-1]:
            with suppress(CorruptStoreError):  # then it is read again
                self.table.learn(
                    self.shard, self.file.read(self.index_at, self.size - self.index_at)
                )
        return self.table.knows(self.shard)

    def stored(self) -> NDArray[np.int64]:
        """Return the chunks of the shard that are not all zeros, and so are stored."""
        return np.flatnonzero(self.table.places(self.shard)[1] >= 0)

    def missing(self) -> NDArray[np.int64]:
        """Return the chunks that are not in the file, once what is held has been put there."""
        offsets, sizes = self.table.places(self.shard)
        chunks = self.chunks[sizes[self.chunks] >= 0]
        self.file.take_in(chunks[~self.file.marks()[chunks]], offsets)
        return chunks[~self.file.marks()[chunks]]

    def copy_from(self, other: Wanted) -> None:
        """Put chunks into the file that are in another one, as far as that can be read."""
        if not self.table.knows(self.shard):
            return
        offsets, sizes = self.table.places(self.shard)
        with suppress(OSError):
            for chunk in self.chunks[other.file.marks()[self.chunks]].tolist():
                content = other.file.read(int(offsets[chunk]), int(sizes[chunk]))
                if len(content) == sizes[chunk] and crc_matches(content):
                    self.file.write(chunk, int(offsets[chunk]), content)

    def range(self, start: int, stop: int) -> Range:
        """Return what to ask for."""
        return Range(self.table.name(self.shard), start, stop)


def wanted_shards(
    table: RemoteTable, chunks: NDArray[np.int64]
) -> list[tuple[int, NDArray[np.int64]]]:
    """Return the shards that hold chunks, and which ones of each; shards of zeros are left out."""
    shards = chunks // table.per_shard
    touched = [s for s in np.unique(shards).tolist() if table.array.shard_sizes[s]]
    return [(s, np.unique(chunks[shards == s]) - s * table.per_shard) for s in touched]
