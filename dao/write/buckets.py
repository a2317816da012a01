"""Buckets: stretches of rows in store order, among which the values of a CSC matrix are dealt out.

Its columns are read once, one piece after the other, and a piece has values of nearly every row.
Each value goes into the bucket of its row, with a word that tells its row and its column. A bucket
passes through `dao.write.spool` as if it were one row, whose columns are these words; in the end
its values go to their rows (`dao.write.turning`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.format.encodings import index_dtype
from dao.write.arrange import ArrangedRows, Arrangement, narrowed
from dao.write.rows import Rows, as_bits, rows_of_columns, significant_bits
from dao.write.scatter import count_rows, distribute, has_repeats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.write.workers import Scratch

__all__ = ["Buckets", "Distribution"]

# A bucket is turned into rows in the cache of one processor. More of them would make the parts
# that a piece leaves in each too short, fewer would not fit into memory.
_BUCKET_ELEMENTS = 1 << 18
_MOST_BUCKETS = 1 << 11
# A row of a bucket is a number of 16 bits.
_MOST_SHIFT = 16


@dataclass(frozen=True, slots=True)
class Buckets:
    """How the rows of a matrix are divided.

    Attributes
    ----------
    shape
        Of the matrix in the store.
    shift
        Each bucket has ``1 << shift`` rows, the last one fewer.
    """

    shape: tuple[int, int]
    shift: int

    @classmethod
    def within(cls, shape: tuple[int, int], n_stored: int) -> Buckets:
        """Return buckets for so many elements."""
        elements = max(_BUCKET_ELEMENTS, n_stored // _MOST_BUCKETS)
        rows = elements * max(1, shape[0]) // max(1, n_stored)
        return cls(shape, min(_MOST_SHIFT, max(1, rows).bit_length() - 1))

    @property
    def n(self) -> int:
        """How many there are."""
        return -(-self.shape[0] >> self.shift)

    @property
    def row_at(self) -> int:
        """From which bit of a word on the row stands; below it stands the column."""
        return 8 * index_dtype(self.shape[1]).itemsize

    @property
    def word(self) -> np.dtype[Any]:
        """The dtype of words."""
        return np.dtype(np.uint32 if self.row_at + _MOST_SHIFT <= 32 else np.uint64)

    def count(
        self,
        words: NDArray[Any],
        n_values: NDArray[np.int64],
        first: int,
        lengths: NDArray[np.int64],
    ) -> None:
        """Add the elements of each row to ``lengths``, one place further on, as for an indptr.

        Parameters
        ----------
        words
            Of consecutive buckets, the first of which has the number ``first``.
        n_values
            How many there are of each.
        """
        count_rows(words, n_values, first, self.shift, self.row_at, lengths[1:])


@dataclass(frozen=True, slots=True)
class Distribution:
    """What is done to every piece of columns.

    Attributes
    ----------
    places
        Place in the store of each source row, -1 to leave it out.
    arrangement
        What is done to rows; its targets say what becomes of each column.
    """

    buckets: Buckets
    places: NDArray[np.int64]
    arrangement: Arrangement

    def __call__(self, columns: Rows, first: int, scratch: Scratch) -> ArrangedRows:
        """Deal out the values of columns, the first of which has the number ``first``.

        Parameters
        ----------
        columns
            Rows of the transposed matrix.

        Returns
        -------
        As many "rows" as there are buckets, whose "columns" are words.
        """
        marks = scratch.zeros("marks", -(-len(self.places) // 64), np.uint64)
        if has_repeats(columns.indptr, columns.columns, marks):
            # Sums must be complete before the narrowest dtype is known, so they meet as rows.
            return self.rows(rows_of_columns(columns, first, len(self.places), scratch), scratch)
        values, n = columns.values, len(columns.columns)
        lengths = np.empty(self.buckets.n, np.int64)
        words = scratch.take("words of values", n, self.buckets.word)
        out = scratch.take("values", n, values.dtype)
        kept = distribute(
            columns.indptr,
            columns.columns,
            as_bits(values),
            significant_bits(values.dtype),
            self.arrangement.targets[first : first + len(columns)],
            self.places,
            self.buckets.shift,
            self.buckets.row_at,
            lengths,
            scratch.take("bucket ends", len(lengths), np.int64),
            words,
            as_bits(out),
        )
        return narrowed(lengths, words[:kept], out[:kept], self.arrangement.dtype, scratch)

    def rows(self, rows: Rows, scratch: Scratch) -> ArrangedRows:
        """Deal out the values of all rows."""
        arranged = self.arrangement(rows, self.places >= 0, scratch)
        places = np.repeat(self.places, arranged.lengths)
        order = np.argsort(places >> self.buckets.shift, kind="stable")
        places = places[order]
        lengths = np.bincount(places >> self.buckets.shift, minlength=self.buckets.n)
        within = (places & ((1 << self.buckets.shift) - 1)) << self.buckets.row_at
        words = (within | arranged.columns[order]).astype(self.buckets.word)
        return ArrangedRows(lengths, words, arranged.values[order], arranged.range)
