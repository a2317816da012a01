"""Rows as they are stored, decoded into one buffer: what is to be done, and a part of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.backend import DenseRows, SparseRows
from dao.threads import split
from dao_backends.local.kernel import BLOSC_OVERHEAD, CRC_BYTES, read_pieces
from dao_backends.local.layout import open_shards
from dao_backends.local.native import native_functions
from dao_backends.local.sparse import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dao_backends.local.layout import ChunkTable
    from dao_backends.local.pieces import Pieces

__all__ = ["StoredPlan", "read_jobs"]

# Below this many decoded bytes per task, handing it to a thread costs more than it saves.
_TASK_BYTES = 1 << 19


@dataclass(eq=False)
class StoredPlan:
    """One request on its way.

    Attributes
    ----------
    tables
        The arrays to read: values, and indices where the matrix is sparse; chunked alike.
    pieces
        What to read of each of them.
    slots
        Which of the distinct rows, in the order in which they are stored, each row asked for is.
    lengths
        Of the distinct rows of a sparse matrix, in items.
    before
        How many items of other requests come first in the buffer.
    """

    tables: Sequence[ChunkTable]
    pieces: Pieces
    slots: NDArray[np.int64]
    lengths: NDArray[np.int64] | None
    n_vars: int
    before: int = 0

    @property
    def kind(self) -> tuple[str, ...]:
        """What plans that share a buffer have in common."""
        return tuple(f"{t.array.dtype}{t.array.shape[1:]}" for t in self.tables)

    def rows(self, buffers: Sequence[NDArray[Any]]) -> SparseRows | DenseRows:
        """Return what was asked for, now that it lies in the buffers."""
        n_chunks = int(np.count_nonzero(np.diff(self.pieces.chunks, prepend=-1)))
        n_bytes = sum(n_chunks * t.array.chunk * t.item_bytes for t in self.tables)
        cost = n_chunks * len(self.tables), n_bytes
        if self.lengths is None:
            return DenseRows(buffers[0], self.slots + self.before, *cost)
        starts = self.before + np.cumsum(self.lengths) - self.lengths
        values, indices = buffers
        rows = starts[self.slots], self.lengths[self.slots]
        return SparseRows(values, indices, *rows, self.n_vars, *cost)


def read_jobs(
    table: ChunkTable, pieces: Pieces, out: NDArray[Any], opened: list[int]
) -> list[partial[Problem | None]]:
    """Open the shards of the pieces and return what is to be done, cut for several threads."""
    if not pieces.n_items:
        return []
    shards = pieces.chunks // table.per_shard
    files = open_shards(table, np.unique(shards), opened)[shards]
    parts = split(len(pieces.chunks), pieces.n_items * table.item_bytes // _TASK_BYTES)
    flat = out.reshape(-1).view(np.uint8)
    return [partial(_read_part, files, table, pieces, flat, part) for part in parts]


def _read_part(
    files: NDArray[np.int64],
    table: ChunkTable,
    pieces: Pieces,
    out: NDArray[np.uint8],
    part: slice,
) -> Problem | None:
    """Read some of the pieces in this thread."""
    chunks, size = pieces.chunks[part], table.item_bytes
    chunk_bytes = table.array.chunk * size
    bad = read_pieces(
        native_functions(),
        files[part],
        table.offsets[chunks],
        table.sizes[chunks],
        pieces.begins[part] * size,
        pieces.counts[part] * size,
        pieces.places[part] * size,
        chunk_bytes,
        out,
        np.empty(chunk_bytes + BLOSC_OVERHEAD + CRC_BYTES, np.uint8),
        np.empty(chunk_bytes, np.uint8),
    )
    return Problem(table, int(chunks[bad])) if bad >= 0 else None
