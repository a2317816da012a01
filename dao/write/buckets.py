"""Buckets: stretches of rows in store order, in which the values of a CSC matrix meet.

Its columns are read once, one piece after the other, and a piece has values of nearly every row.
They are dealt out into buckets (`dao.write.distribute`), each with a word that tells its row and
its column. A bucket waits in a `RowSpool` as if it were one row, whose columns are these words; in
the end its values go to their rows (`dao.write.turning`).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dao.format.encodings import index_dtype
from dao.write.scatter import count_rows
from dao.write.turning import Turner, stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dao.format.encodings import ValueRange
    from dao.write.arrange import ArrangedRows
    from dao.write.runs import Run
    from dao.write.spool import RowSpool
    from dao.write.window import Arena, Window

__all__ = ["BucketSpool", "Buckets"]

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


class BucketSpool:
    """Collects the values of a matrix that arrive in buckets, and gives them back as rows.

    Parameters
    ----------
    waiting
        Where the buckets wait, as rows whose columns are words.
    arena
        Where rows are put together while buckets are in memory.
    """

    def __init__(self, buckets: Buckets, waiting: RowSpool, arena: Arena) -> None:
        self.buckets = buckets
        self._waiting, self._arena = waiting, arena
        self._numbers = np.arange(buckets.n)
        self._lock = threading.Lock()
        self._lengths = np.zeros(buckets.shape[0] + 1, np.int64)

    def __enter__(self) -> Self:
        self._waiting.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._waiting.__exit__(*exception)

    @property
    def value_range(self) -> ValueRange:
        """What is known of the values."""
        return self._waiting.value_range

    @property
    def runs(self) -> list[Run]:
        """What was spilled."""
        return self._waiting.runs

    def add(self, arranged: ArrangedRows) -> bool:
        """Take in buckets, from any thread.

        Returns
        -------
        False if there is no room before the next `spill`.
        """
        if not self._waiting.add(self._numbers, arranged):
            return False
        with self._lock:
            self.buckets.count(arranged.columns, arranged.lengths, 0, self._lengths)
        return True

    def spill(self) -> None:
        """Write what waits in memory to the file; nothing must be added meanwhile."""
        self._waiting.spill()

    def indptr(self) -> NDArray[np.int64]:
        """Return the elements before each row, when all are there; can be called once."""
        return np.cumsum(self._lengths, out=self._lengths)

    def windows(
        self, firsts: NDArray[np.int64], stops: NDArray[np.int64], indptr: NDArray[np.int64]
    ) -> Iterator[tuple[Window, range]]:
        """Yield windows, and which tasks can be done with each; see `Turner`."""
        waiting = self._waiting
        whole = waiting.settle()
        stretches = stored(waiting.runs, self.buckets) if whole is None else whole.stretches
        arena = waiting.arena if whole is None else self._arena
        turner = Turner(self.buckets, waiting.dtype, stretches, arena, waiting.workers)
        yield from turner.windows(firsts, stops, indptr)
