"""Sparse rows decoded straight into batches: what is to be done, and a thread's share of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import CorruptStoreError
from dao.threads import Jobs, n_threads
from dao_backends.local.fused import cast_rows, scatter_rows
from dao_backends.local.kernel import BLOSC_OVERHEAD, CRC_BYTES, Chunks
from dao_backends.local.layout import open_shards
from dao_backends.local.native import native_functions
from dao_backends.local.pieces import cut_rows, touched
from dao_backends.shards import altered

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dao_backends.local.layout import ChunkTable

__all__ = [
    "Done",
    "Problem",
    "SparseWork",
    "Writing",
    "cast_share",
    "plan_sparse",
    "scatter_share",
    "working_memory",
]

# Values per part: so few that threads end together, so many that a chunk which lies in two
# parts, and is decoded for both, matters little.
_PART_ITEMS = 1 << 18


@dataclass(frozen=True, slots=True)
class Problem:
    """A chunk that is damaged, or that holds a column number beyond the matrix."""

    table: ChunkTable
    chunk: int
    out_of_bounds: int | None = None

    def error(self, root: Path) -> CorruptStoreError:
        """Return what to raise."""
        if self.out_of_bounds is None:
            return altered(root, self.table.path, self.table.array, self.chunk)
        msg = (
            f"A stored column number of {root / self.table.path} lies outside of a matrix of "
            f"{self.out_of_bounds} columns: the store is damaged. Restore it from a copy."
        )
        return CorruptStoreError(msg)


@dataclass(frozen=True, slots=True)
class Done:
    """What a thread decoded, and what was wrong."""

    n_chunks: int
    n_bytes: int
    problem: Problem | None


class Writing:
    """Rows that threads write while something else is done.

    Attributes
    ----------
    running, opened
        What is being done, and the descriptors of the files that it reads.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.running: Jobs[Done] = Jobs()
        self.opened: list[int] = []

    def end(self) -> None:
        """Wait for the threads, which use the files, and memory that may go after an error."""
        self.running.wait()
        while self.opened:
            os.close(self.opened.pop())

    def __call__(self) -> tuple[int, int]:
        """Wait for the end; return chunks and bytes decoded.

        Raises
        ------
        dao.errors.CorruptStoreError
            If something read is damaged.
        """
        self.end()
        done = self.running.results()
        for problem in (part.problem for part in done):
            if problem is not None:
                raise problem.error(self._root)
        return sum(part.n_chunks for part in done), sum(part.n_bytes for part in done)


@dataclass(frozen=True, slots=True)
class SparseWork:
    """Rows of one dataset, in the order in which they are stored.

    Attributes
    ----------
    tables, chunks
        Of the values and of the column numbers; their shards are open.
    order
        Which of the rows of the whole request each row is.
    starts, stops
        Its items in both arrays.
    bounds
        Where each part begins in the rows, and their number.
    """

    tables: Sequence[ChunkTable]
    chunks: tuple[Chunks, ...]
    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    bounds: NDArray[np.int64]
    n_vars: int

    @property
    def n_shares(self) -> int:
        """Threads that have something to do."""
        return min(n_threads(), len(self.bounds) - 1)

    def done(self, bad: int, why: int, n_loaded: int) -> Done:
        """Return what was done by a loop over values and column numbers.

        ``why`` is 0 or 1 for a damaged chunk ``bad`` of values or column numbers, 2 for a column
        number that is too large.
        """
        n_bytes = sum(t.array.chunk * t.item_bytes for t in self.tables)
        problem = None
        if bad >= 0:
            problem = Problem(self.tables[why > 0], bad, self.n_vars if why == 2 else None)
        return Done(len(self.tables) * n_loaded, n_loaded * n_bytes, problem)


def plan_sparse(
    tables: Sequence[ChunkTable],
    row_starts: NDArray[np.int64],
    rows: NDArray[np.int64],
    before: int,
    n_vars: int,
    opened: list[int],
) -> SparseWork:
    """Plan the reading of rows in any order, after ``before`` others of the same request.

    Opens the shards; what it opened is added to ``opened``, for the caller to close.
    """
    order = np.argsort(rows)
    ordered = rows[order]
    starts, stops = row_starts[ordered], row_starts[ordered + 1]
    values = tables[0].array
    shards = touched(starts, stops, values.shard)
    chunks = tuple(Chunks(open_shards(t, shards, opened), t.offsets, t.sizes) for t in tables)
    bounds = cut_rows(starts, stops, values.chunk, _PART_ITEMS)
    return SparseWork(tables, chunks, order + before, starts, stops, bounds, n_vars)


def cast_share(
    work: SparseWork,
    number: int,
    targets: NDArray[np.int64],
    turn: NDArray[np.int64],
    like: NDArray[Any],
) -> Done:
    """Write values (number 0) or column numbers (1) to the addresses of rows, with other threads.

    ``turn`` is what they share: one 0, in the beginning.
    """
    table = work.tables[number]
    decoded = np.empty(table.array.chunk, table.array.dtype)
    bad, out_of_bounds, n_loaded = cast_rows(
        native_functions(),
        work.chunks[number],
        work.starts,
        work.stops,
        targets,
        work.bounds,
        turn,
        working_memory(decoded),
        decoded,
        like,
        work.n_vars if number == 1 else -1,
    )
    problem = Problem(table, bad, work.n_vars if out_of_bounds else None) if bad >= 0 else None
    return Done(n_loaded, n_loaded * decoded.nbytes, problem)


def scatter_share(
    work: SparseWork,
    targets: NDArray[np.int64],
    turn: NDArray[np.int64],
    place: NDArray[Any],
    like: NDArray[Any],
) -> Done:
    """Write rows to the addresses of dense ones, with other threads.

    ``turn`` is what they share: one 0, in the beginning.
    """
    numbers, columns = (np.empty(t.array.chunk, t.array.dtype) for t in work.tables)
    bad, why, n_loaded = scatter_rows(
        native_functions(),
        work.chunks[0],
        work.chunks[1],
        work.starts,
        work.stops,
        targets,
        work.bounds,
        turn,
        working_memory(numbers, columns),
        numbers,
        columns,
        place,
        np.empty(like.shape[1] + 1, numbers.dtype),
        like,
    )
    return work.done(bad, why, n_loaded)


def working_memory(*decoded: NDArray[Any]) -> NDArray[np.uint8]:
    """Return room for the stored form of any of these."""
    return np.empty(max(d.nbytes for d in decoded) + BLOSC_OVERHEAD + CRC_BYTES, np.uint8)
