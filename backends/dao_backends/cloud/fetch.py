"""Fetch: bring the chunks that a request needs into files, in two rounds of many requests."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dao.errors import CorruptStoreError
from dao.remote.bucket import Range
from dao_backends.cloud.ranges import Piece, merged
from dao_backends.shards import CRC_BYTES, altered, crc_matches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dao.remote.bucket import Bucket
    from dao_backends.cloud.cache import Cache
    from dao_backends.cloud.shard_file import ShardFile
    from dao_backends.cloud.table import RemoteTable

__all__ = ["Wanted", "bring", "wanted_shards"]

# A shard that is no larger is read whole, index and all: one request instead of two.
_WHOLE = 1 << 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """Chunks of one shard, numbered within it, and the file that they shall be in."""

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
        return int(np.count_nonzero(self.file.marks()[self.chunks]))

    def knows_index(self) -> bool:
        """Whether it is known where the chunks are, if need be after a look into the file."""
        if not self.table.knows(self.shard) and self.file.marks()[-1]:
            with suppress(CorruptStoreError):  # then it is read again
                self.table.learn(
                    self.shard, self.file.read(self.index_at, self.size - self.index_at)
                )
        return self.table.knows(self.shard)

    def missing(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the chunks that are to be read; offsets and sizes of all chunks."""
        offsets, sizes = self.table.places(self.shard)
        chunks = self.chunks[~self.file.marks()[self.chunks]]
        return chunks[sizes[chunks] >= 0], offsets, sizes

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


def bring(bucket: Bucket, cache: Cache, wanted: Sequence[Wanted]) -> int:
    """Read what is not in the files yet; return how many chunks were there already.

    Raises
    ------
    dao.errors.CorruptStoreError
        If something read is not what was written.
    OSError
        If the files cannot be written.
    """
    n_here = sum(one.n_here() for one in wanted)
    _bring_indexes(bucket, cache, [one for one in wanted if not one.knows_index()])
    pieces = [(one, piece) for one in wanted for piece in merged(*one.missing())]
    cache.make_room(sum(piece.stop - piece.start for _, piece in pieces), len(pieces))

    def put(number: int, content: bytes) -> None:
        one, piece = pieces[number]
        _put(one, piece, content)

    bucket.each([one.range(piece.start, piece.stop) for one, piece in pieces], put)
    return n_here


def _bring_indexes(bucket: Bucket, cache: Cache, wanted: Sequence[Wanted]) -> None:
    starts = [0 if one.size <= _WHOLE else one.index_at for one in wanted]
    n_bytes = sum(one.size - start for one, start in zip(wanted, starts, strict=True))
    cache.make_room(n_bytes, len(wanted))

    def put(number: int, content: bytes) -> None:
        one, start = wanted[number], starts[number]
        _check_length(one, content, one.size - start)
        tail = content[one.index_at - start :]
        one.table.learn(one.shard, tail)
        one.file.write(one.table.per_shard, one.index_at, tail)
        if start == 0:
            chunks = np.flatnonzero(one.table.places(one.shard)[1] >= 0)
            _put(one, Piece(0, one.size, chunks), content)

    ranges = [one.range(start, one.size) for one, start in zip(wanted, starts, strict=True)]
    bucket.each(ranges, put)


def _put(one: Wanted, piece: Piece, content: bytes) -> None:
    """Write the sound chunks of a piece; those that are not are an error if they are wanted."""
    _check_length(one, content, piece.stop - piece.start)
    offsets, sizes = one.table.places(one.shard)
    for chunk in piece.chunks.tolist():
        offset, at = int(offsets[chunk]), int(offsets[chunk]) - piece.start
        part = content[at : at + int(sizes[chunk])]
        if len(part) == sizes[chunk] and crc_matches(part):
            one.file.write(chunk, offset, part)
        elif chunk in one.chunks:
            table, number = one.table, one.shard * one.table.per_shard + chunk
            raise altered(table.url, table.path, table.array, number)


def _check_length(one: Wanted, content: bytes, wanted: int) -> None:
    if len(content) != wanted:
        file = one.table.url / one.table.name(one.shard)
        msg = f"{file} is shorter than the {one.size:,} bytes it had. Restore it from a copy."
        raise CorruptStoreError(msg)
