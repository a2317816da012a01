"""From ranges of items to the pieces of chunks that hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dao.ranges import ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Pieces", "cut_ranges", "cut_rows", "distinct", "plan_pieces", "runs", "touched"]

# A bitmap over the span of the rows beats sorting them while it has fewer bits per row than this.
_SPARSEST_BITMAP = 32


@dataclass(frozen=True, slots=True)
class Pieces:
    """Parts of chunks which, side by side, are the wanted items; in items.

    Attributes
    ----------
    chunks
        The chunk of each piece; ascending.
    begins, counts
        Where the piece begins in its chunk, and how long it is.
    places
        Where it goes.
    """

    chunks: NDArray[np.int64]
    begins: NDArray[np.int64]
    counts: NDArray[np.int64]
    places: NDArray[np.int64]

    @property
    def n_items(self) -> int:
        """Length of all pieces together."""
        return int(self.places[-1] + self.counts[-1]) if len(self.places) else 0


def distinct(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows ascending, each once, and where each of the given ones is among them."""
    if not len(rows):
        return rows, rows
    low = int(rows.min())
    span = int(rows.max()) - low + 1
    if span > _SPARSEST_BITMAP * len(rows):
        unique, inverse = np.unique(rows, return_inverse=True)
        return unique, inverse.astype(np.int64)
    present = np.zeros(span, np.bool_)
    present[rows - low] = True
    rank = np.cumsum(present)
    return np.flatnonzero(present) + low, rank[rows - low] - 1


def runs(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first and last + 1 of each run of consecutive rows; the rows ascend."""
    if not len(rows):
        return rows, rows
    breaks = np.flatnonzero(np.diff(rows) != 1)
    firsts = np.concatenate([rows[:1], rows[breaks + 1]])
    lasts = np.concatenate([rows[breaks], rows[-1:]])
    return firsts, lasts + 1


def plan_pieces(starts: NDArray[np.int64], stops: NDArray[np.int64], chunk: int) -> Pieces:
    """Cut ranges ``[starts[i], stops[i])``, which ascend and do not overlap, at chunk bounds."""
    _, chunks, begins, counts = cut_ranges(starts, stops, chunk)
    return Pieces(chunks, begins, counts, np.cumsum(counts) - counts)


def cut_ranges(
    starts: NDArray[np.int64], stops: NDArray[np.int64], chunk: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Cut ranges at chunk bounds: range, chunk, begin in the chunk and length of each piece.

    Pieces come in the order of the ranges; an empty range has none.
    """
    first = starts // chunk
    n_chunks = np.where(stops > starts, (stops - 1) // chunk - first + 1, 0)
    owner = np.repeat(np.arange(len(starts)), n_chunks)
    chunks = ranges(first, n_chunks)
    edges = chunks * chunk
    begins = np.maximum(starts[owner] - edges, 0)
    counts = np.minimum(stops[owner] - edges, chunk) - begins
    return owner, chunks, begins, counts


def touched(starts: NDArray[np.int64], stops: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return the numbers of the stretches of ``size`` items that ranges touch, ascending."""
    filled = stops > starts
    if not filled.any():
        return np.empty(0, np.int64)
    first, last = starts[filled] // size, (stops[filled] - 1) // size
    if first.min() == last.max():
        return first[:1]
    opened, closed = np.bincount(first, minlength=last.max() + 2), np.bincount(last + 1)
    opened[: len(closed)] -= closed
    return np.flatnonzero(np.cumsum(opened) > 0)


def cut_rows(
    starts: NDArray[np.int64], stops: NDArray[np.int64], chunk: int, items: int
) -> NDArray[np.int64]:
    """Cut rows, which ascend, into parts of about ``items`` items; from 0 to their number.

    Where that is near enough, a part begins with a chunk that the one before does not need.
    """
    ends = np.cumsum(stops - starts)
    n_items = int(ends[-1]) if len(ends) else 0
    n_parts = max(1, n_items // items)
    even = np.searchsorted(ends, n_items * np.arange(1, n_parts) / n_parts)
    apart = np.flatnonzero(starts[1:] // chunk > (stops[:-1] - 1) // chunk) + 1
    if len(apart) and len(even):
        near = apart[np.minimum(np.searchsorted(apart, even), len(apart) - 1)]
        even = np.where(np.abs(ends[near] - ends[even]) < items // 2, near, even)
    return np.unique(np.concatenate([[0], even, [len(starts)]]))
