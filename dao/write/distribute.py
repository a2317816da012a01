"""Distribute: the values of some columns go into buckets of rows, in the narrowest dtype."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dao.write.arrange import ArrangedRows, Arrangement, narrowed
from dao.write.rows import Rows, as_bits, rows_of_columns, significant_bits
from dao.write.scatter import distribute, has_repeats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.write.buckets import Buckets
    from dao.write.workers import Scratch

__all__ = ["Distribution"]


@dataclass(frozen=True, slots=True)
class Distribution:
    """What is done to every piece of columns.

    Attributes
    ----------
    places
        Place in the store of each source row, -1 to leave it out; narrow, as they are looked up for
        every value, in no order.
    arrangement
        What is done to rows; its targets say what becomes of each column.
    """

    buckets: Buckets
    places: NDArray[np.int32]
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
            scratch.take("places", n, np.int32),
            words,
            as_bits(out),
        )
        return narrowed(lengths, words[:kept], out[:kept], self.arrangement.dtype, scratch)

    def rows(self, rows: Rows, scratch: Scratch) -> ArrangedRows:
        """Deal out the values of all rows."""
        arranged = self.arrangement(rows, self.places >= 0, scratch)
        places = np.repeat(self.places.astype(np.int64), arranged.lengths)
        order = np.argsort(places >> self.buckets.shift, kind="stable")
        places = places[order]
        lengths = np.bincount(places >> self.buckets.shift, minlength=self.buckets.n)
        within = (places & ((1 << self.buckets.shift) - 1)) << self.buckets.row_at
        words = (within | arranged.columns[order]).astype(self.buckets.word)
        return ArrangedRows(lengths, words, arranged.values[order], arranged.range)
