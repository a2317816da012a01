"""Sparse rows of which only chosen columns are kept, while the chunks are decoded.

How much is kept of a row is known afterwards. So each part of the rows has room for all of it in
memory that is only touched where something is kept, and what is kept is small.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.backend import SparseRows
from dao.buffers import empty
from dao_backends.local.native import native_functions
from dao_backends.local.selecting import select_rows
from dao_backends.local.sparse import Done, working_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dao_backends.local.sparse import SparseWork

__all__ = ["Chosen", "choose_share"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Where what is kept of the rows of all requests goes.

    Attributes
    ----------
    values, columns
        For each request room for all of its values; those of one dtype share an array.
    before
        For each request how much of that belongs to others that come first.
    starts, lengths
        Of each row of all requests: what is kept of it.
    counts
        Rows of each request.
    n_vars
        Number of chosen columns.
    ascending
        Whether chosen columns are in the order in which they are stored.
    """

    values: Sequence[NDArray[Any]]
    columns: Sequence[NDArray[Any]]
    before: Sequence[int]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    counts: Sequence[int]
    n_vars: int
    ascending: bool

    @classmethod
    def room(
        cls,
        dtypes: Sequence[str],
        lengths: Sequence[NDArray[np.int64]],
        n_vars: int,
        *,
        ascending: bool,
    ) -> Chosen:
        """Return room for rows of requests, with the dtype of the values of each."""
        totals: dict[str, int] = {}
        before = []
        for dtype, own in zip(dtypes, lengths, strict=True):
            before.append(totals.get(dtype, 0))
            totals[dtype] = before[-1] + int(own.sum())
        arrays = {
            dtype: (empty(n, dtype), empty(n, np.min_scalar_type(n_vars)))
            for dtype, n in totals.items()
        }
        counts = [len(own) for own in lengths]
        starts, kept = np.empty((2, sum(counts)), np.int64)
        values, columns = zip(*(arrays[dtype] for dtype in dtypes), strict=True)
        return cls(values, columns, before, starts, kept, counts, n_vars, ascending)

    def rows(self, n_chunks: int, n_bytes: int) -> list[SparseRows]:
        """Return the rows of each request, after all was decoded at this cost."""
        found = []
        at = 0
        for values, columns, n in zip(self.values, self.columns, self.counts, strict=True):
            here = slice(at, at + n)
            found.append(
                SparseRows(values, columns, self.starts[here], self.lengths[here], self.n_vars)
            )
            at += n
        return [replace(found[0], n_chunks=n_chunks, n_bytes=n_bytes), *found[1:]]


def choose_share(
    work: SparseWork,
    number: int,
    chosen: Chosen,
    turn: NDArray[np.int64],
    place: NDArray[Any],
) -> Done:
    """Keep what is chosen of rows, those of request ``number``, with other threads.

    ``turn`` is what they share: one 0, in the beginning.
    """
    numbers, columns = (np.empty(t.array.chunk, t.array.dtype) for t in work.tables)
    counts = work.stops - work.starts
    bad, why, n_loaded = select_rows(
        native_functions(),
        work.chunks[0],
        work.chunks[1],
        work.starts,
        work.stops,
        chosen.before[number] + np.cumsum(counts) - counts,
        work.order,
        work.bounds,
        turn,
        working_memory(numbers, columns),
        numbers,
        columns,
        place,
        np.empty(len(numbers), np.int32),
        np.empty(chosen.n_vars, numbers.dtype),
        np.zeros(0 if chosen.ascending else -(-chosen.n_vars // 64), np.uint64),
        chosen.values[number],
        chosen.columns[number],
        chosen.starts,
        chosen.lengths,
    )
    return work.done(bad, why, n_loaded)
