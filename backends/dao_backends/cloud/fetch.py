"""Fetch: bring the chunks that a request needs into files, in two rounds of many requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dao.errors import CorruptStoreError
from dao_backends.cloud.claims import Patience, trust_nobody
from dao_backends.cloud.ranges import Piece, merged
from dao_backends.shards import altered, crc_matches

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from dao.remote.bucket import Bucket
    from dao_backends.cloud.cache import Cache
    from dao_backends.cloud.wanted import Wanted

__all__ = ["bring"]

# A shard that is no larger is read whole, index and all: one request instead of two.
_WHOLE = 1 << 20
# Seconds after which other processes are not waited for any more, if nothing comes. One that was
# killed is not waited for at all; this is for one that was stopped.
_PATIENCE = 30.0
_NONE = np.empty(0, np.int64)


class _Job(NamedTuple):
    """A request: bytes of a shard, and the parts that are claimed until they are here."""

    one: Wanted
    piece: Piece
    claimed: NDArray[np.int64]
    has_index: bool = False


def bring(bucket: Bucket, cache: Cache, wanted: Sequence[Wanted]) -> int:
    """Read what is not in the files yet; return how many chunks were there already.

    What another thread or process is reading is waited for, and not asked for again.

    Raises
    ------
    dao.errors.CorruptStoreError
        If something read is not what was written.
    OSError
        If the files cannot be written.
    """
    n_here = sum(one.n_here() for one in wanted)
    _until(lambda one: 1 - one.knows_index(), _index_jobs, bucket, cache, wanted)
    _until(lambda one: len(one.missing()), _chunk_jobs, bucket, cache, wanted)
    return n_here


def _until(
    n_missing: Callable[[Wanted], int],
    plan: Callable[[Wanted], list[_Job]],
    bucket: Bucket,
    cache: Cache,
    wanted: Sequence[Wanted],
) -> None:
    """Make requests until nothing is missing; nothing is claimed while others are waited for."""
    patience = Patience(_PATIENCE)
    while missing := {number: n for number, one in enumerate(wanted) if (n := n_missing(one))}:
        jobs = [job for number in missing for job in plan(wanted[number])]
        if jobs:
            _request(bucket, cache, jobs)
        else:
            patience.pause(sum(missing.values()))
            if patience.is_over:
                trust_nobody()


def _request(bucket: Bucket, cache: Cache, jobs: Sequence[_Job]) -> None:
    n_bytes = sum(job.piece.stop - job.piece.start for job in jobs)
    cache.make_room(n_bytes, len(jobs))

    def put(number: int, content: bytes) -> None:
        one, piece, claimed, has_index = jobs[number]
        _check_length(one, content, piece.stop - piece.start)
        if has_index:
            tail = content[one.index_at - piece.start :]
            one.table.learn(one.shard, tail)
            one.file.write(one.table.per_shard, one.index_at, tail)
            piece = piece._replace(chunks=_NONE if piece.start else one.stored())
        _put(one, piece, content)
        one.file.release(claimed)

    bucket.each([job.one.range(job.piece.start, job.piece.stop) for job in jobs], put)


def _index_jobs(one: Wanted) -> list[_Job]:
    """Return the request for the index of a shard, and for all of it if it is small."""
    claimed = one.file.claim(np.array([one.table.per_shard]))
    if not len(claimed):
        return []
    if one.knows_index():  # it came before it was claimed
        one.file.release(claimed)
        return []
    if one.size > _WHOLE:
        return [_Job(one, Piece(one.index_at, one.size, _NONE), claimed, has_index=True)]
    claimed = np.append(one.file.claim(np.arange(one.table.per_shard)), claimed)
    return [_Job(one, Piece(0, one.size, _NONE), claimed, has_index=True)]


def _chunk_jobs(one: Wanted) -> list[_Job]:
    """Return requests for chunks that nobody else reads, as few as there can be."""
    offsets, sizes = one.table.places(one.shard)
    mine = one.file.claim(one.missing())
    closed = one.file.here()  # also what came before it was claimed
    pieces = merged(mine[~closed[mine]], offsets, sizes, closed)
    between = np.setdiff1d(_inside(pieces), mine)
    if len(between):
        more = one.file.claim(between)
        closed |= one.file.here()
        closed[np.setdiff1d(between, more)] = True
        pieces = merged(mine[~closed[mine]], offsets, sizes, closed)
        mine = np.union1d(mine, more)
    one.file.release(np.setdiff1d(mine, _inside(pieces)))
    return [_Job(one, piece, piece.chunks) for piece in pieces]


def _inside(pieces: Sequence[Piece]) -> NDArray[np.int64]:
    return np.concatenate([_NONE, *(piece.chunks for piece in pieces)])


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
