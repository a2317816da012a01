"""Sparse rows decoded straight into batches: what is to be done, and a part of it in a thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import CorruptStoreError
from dao.threads import split
from dao_backends.local.fused import cast_pieces, scatter_pieces
from dao_backends.local.kernel import BLOSC_OVERHEAD, CRC_BYTES
from dao_backends.local.layout import open_shards
from dao_backends.local.native import native_functions
from dao_backends.local.pieces import cut_ranges
from dao_backends.shards import altered

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dao_backends.local.layout import ChunkTable

__all__ = ["Problem", "SparseWork", "cast_part", "plan_sparse", "scatter_part"]

# Below this many values per task, handing it to a thread costs more than it saves.
_TASK_ITEMS = 1 << 18


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
class SparseWork:
    """Rows of one dataset as pieces of chunks, in the order in which they are stored.

    Attributes
    ----------
    tables
        Of the values and of the column numbers.
    files
        For both: the shard's descriptor for each piece.
    row
        Which of the rows asked for each piece belongs to.
    chunks, begins, counts, inside
        Of each piece: its chunk, where it begins there, its length, and how much of its row
        comes before; in items.
    row_bounds
        Where the pieces of each row begin, in the order of the pieces, and the end.
    before
        Rows of other datasets that come first in the request.
    """

    tables: Sequence[ChunkTable]
    files: tuple[NDArray[np.int64], ...]
    row: NDArray[np.int64]
    chunks: NDArray[np.int64]
    begins: NDArray[np.int64]
    counts: NDArray[np.int64]
    inside: NDArray[np.int64]
    row_bounds: NDArray[np.int64]
    n_vars: int
    before: int

    @property
    def n_chunks(self) -> int:
        """Chunks decoded, of both arrays."""
        return 2 * int(np.count_nonzero(np.diff(self.chunks, prepend=-1)))

    @property
    def n_bytes(self) -> int:
        """Bytes decoded, of both arrays."""
        return sum(self.n_chunks // 2 * t.array.chunk * t.item_bytes for t in self.tables)

    def parts(self) -> list[slice]:
        """Return pieces for several threads; no row is in two parts."""
        rows = split(len(self.row_bounds) - 1, int(self.counts.sum()) // _TASK_ITEMS)
        found = [slice(int(self.row_bounds[s.start]), int(self.row_bounds[s.stop])) for s in rows]
        return [part for part in found if part.start < part.stop]


def plan_sparse(
    tables: Sequence[ChunkTable],
    row_starts: NDArray[np.int64],
    rows: NDArray[np.int64],
    before: int,
    n_vars: int,
    opened: list[int],
) -> SparseWork:
    """Plan the reading of rows in any order; opens the shards, which the caller closes."""
    order = np.argsort(rows)
    ordered = rows[order]
    starts, stops = row_starts[ordered], row_starts[ordered + 1]
    chunk = tables[0].array.chunk
    owner, chunks, begins, counts = cut_ranges(starts, stops, chunk)
    bounds = np.searchsorted(owner, np.arange(len(rows) + 1))
    inside = chunks * chunk + begins - starts[owner]
    files = tuple(open_shards(table, chunks, opened) for table in tables)
    return SparseWork(
        tables, files, order[owner], chunks, begins, counts, inside, bounds, n_vars, before
    )


def cast_part(
    work: SparseWork,
    number: int,
    addresses: NDArray[np.int64],
    like: NDArray[Any],
    part: slice,
) -> Problem | None:
    """Write values (number 0) or column numbers (1) of some pieces to the addresses of rows."""
    table, chunks = work.tables[number], work.chunks[part]
    targets = addresses[work.row[part]] + work.inside[part] * like.itemsize
    bad, largest = cast_pieces(
        native_functions(),
        work.files[number][part],
        table.offsets[chunks],
        table.sizes[chunks],
        work.begins[part],
        work.counts[part],
        targets,
        np.empty(table.array.chunk * table.item_bytes + BLOSC_OVERHEAD + CRC_BYTES, np.uint8),
        np.empty(table.array.chunk, table.array.dtype),
        like,
        number == 1,
    )
    if bad >= 0:
        return Problem(table, int(chunks[bad]))
    if number == 1 and largest >= max(1, work.n_vars):
        return Problem(table, int(chunks[0]), work.n_vars)
    return None


def scatter_part(
    work: SparseWork,
    addresses: NDArray[np.int64],
    place: NDArray[np.int32],
    like: NDArray[Any],
    part: slice,
) -> Problem | None:
    """Write some pieces into the dense rows at the addresses."""
    chunks = work.chunks[part]
    values, indices = work.tables
    buffers = [np.empty(t.array.chunk, t.array.dtype) for t in work.tables]
    compressed = max(b.nbytes for b in buffers) + BLOSC_OVERHEAD + CRC_BYTES
    bad, why = scatter_pieces(
        native_functions(),
        np.stack([files[part] for files in work.files]),
        np.stack([t.offsets[chunks] for t in work.tables]),
        np.stack([t.sizes[chunks] for t in work.tables]),
        work.begins[part],
        work.counts[part],
        addresses[work.row[part]],
        work.inside[part] == 0,
        np.empty(compressed, np.uint8),
        buffers[0],
        buffers[1],
        np.where(place < 0, like.shape[1], place).astype(np.int32),
        np.empty(like.shape[1] + 1, like.dtype),
    )
    if bad < 0:
        return None
    if why == 2:
        return Problem(indices, int(chunks[bad]), work.n_vars)
    return Problem(indices if why else values, int(chunks[bad]))
