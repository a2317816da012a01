"""Turn: values that were dealt out into buckets become rows, in bounded memory.

The length of every row is known, and so is where each value goes. The values of consecutive rows
are brought there, bucket by bucket, as many rows as fit into memory at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.format.encodings import index_dtype
from dao.write import scatter
from dao.write.rows import as_bits
from dao.write.runs import cut_windows, padded
from dao.write.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from dao.write.buckets import Buckets
    from dao.write.runs import Run
    from dao.write.window import Arena
    from dao.write.workers import Scratch, Workers

    # Gives the words and values of a bucket, a stretch at a time; they may be buffers.
    Stretches = Callable[[int, Scratch], Iterable[tuple[NDArray[Any], NDArray[Any]]]]

__all__ = ["Turner", "count_stored", "stored"]

# What the tables need for one row while it is turned and taken.
_ROW_BYTES = 64
_STRETCH = 1 << 18


@dataclass(frozen=True, slots=True)
class Turner:
    """Makes windows of rows from buckets.

    Attributes
    ----------
    dtype
        Of the values of all rows.
    stretches
        Gives the words and values of a bucket, piece by piece.
    arena
        Where rows are put together.
    """

    buckets: Buckets
    dtype: np.dtype[Any]
    stretches: Stretches
    arena: Arena
    workers: Workers

    def windows(
        self, firsts: NDArray[np.int64], stops: NDArray[np.int64], indptr: NDArray[np.int64]
    ) -> Iterator[tuple[Window, range]]:
        """Yield windows as `dao.write.runs.load_windows` does."""
        width = index_dtype(self.buckets.shape[1]).itemsize + self.dtype.itemsize
        for tasks in cut_windows(firsts, stops, indptr, width, _ROW_BYTES, self.arena.limit):
            first, stop = int(firsts[tasks.start]), int(stops[tasks.stop - 1])
            yield self._turned(first, indptr[first : stop + 1] - indptr[first]), tasks

    def _turned(self, first: int, starts: NDArray[np.int64]) -> Window:
        """Return the rows from ``first`` on, whose elements begin at ``starts``."""
        n, n_vars = int(starts[-1]), self.buckets.shape[1]
        columns_dtype = index_dtype(n_vars)
        values_at = padded(n * columns_dtype.itemsize)
        self.arena.ensure(values_at + n * self.dtype.itemsize)
        columns = self.arena.view(columns_dtype, 0, n)
        bits = as_bits(self.arena.view(self.dtype, values_at, n))
        parts = np.zeros((len(starts) - 1, 5), np.int64)
        parts[:, 0] = np.arange(first, first + len(parts))
        parts[:, 1], parts[:, 2] = np.diff(starts), starts[:-1]
        parts[:, 3] = starts[:-1] + values_at // self.dtype.itemsize
        shift, ends = self.buckets.shift, starts[:-1].copy()
        numbers = range(first >> shift, (first + len(parts) - 1 >> shift) + 1)
        self.workers.run(
            self._turn, ((b, (b << shift) - first, ends, columns, bits) for b in numbers)
        )
        places = parts[:, 0].copy()
        return Window(self.arena, places, parts, columns_dtype, (self.dtype,), n_vars)

    def _turn(
        self,
        bucket: int,
        first: int,
        ends: NDArray[np.int64],
        columns: NDArray[Any],
        bits: NDArray[Any],
    ) -> None:
        for words, values in self.stretches(bucket, self.workers.scratch):
            known = as_bits(values.astype(self.dtype, copy=False))
            scatter.turn(words, known, self.buckets.row_at, first, ends, columns, bits)


def stored(runs: Sequence[Run], buckets: Buckets) -> Stretches:
    """Return how to read the buckets of runs."""

    def stretches(bucket: int, scratch: Scratch) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        for run in runs:
            _, before = run.rows(bucket, bucket + 1)
            for start, stop in _cut(int(before[0]), int(before[-1])):
                words = run.columns(start, stop, buckets.word, scratch)
                yield words, run.values(start, stop, scratch)

    return stretches


def count_stored(run: Run, buckets: Buckets, lengths: NDArray[np.int64], scratch: Scratch) -> None:
    """Add the elements of each row of a run to ``lengths``, as in `Buckets.count`."""
    at = 0
    for numbers, counts in run.lengths():
        for bucket, n in zip(numbers.tolist(), counts.tolist(), strict=True):
            for start, stop in _cut(at, at + n):
                words = run.columns(start, stop, buckets.word, scratch)
                buckets.count(words, np.array([stop - start]), bucket, lengths)
            at += n


def _cut(start: int, stop: int) -> Iterator[tuple[int, int]]:
    for a in range(start, stop, _STRETCH):
        yield a, min(a + _STRETCH, stop)
