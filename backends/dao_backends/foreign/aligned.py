"""A matrix of a study as a store would have it: rows over the feature space, read when asked for.

The stages are the writer's: pieces of a source are read and arranged, in several threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.backend import DenseRows, SparseRows
from dao.buffers import empty
from dao.format.casts import Verdict, always_fits, verdict, widest
from dao.format.encodings import ValueRange
from dao.threads import in_threads, split
from dao_backends.foreign.ranges import Range, plan_ranges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dao.write.arrange import ArrangedRows, Arrangement
    from dao.write.matrix import SourceMatrix
    from dao.write.workers import Scratch

__all__ = ["AlignedMatrix", "value_range"]


@dataclass(frozen=True)
class AlignedMatrix:
    """A matrix that can be asked for rows.

    Attributes
    ----------
    source
        Where the elements are; not stored by columns.
    rows
        Source row of each row; they ascend.
    dtype
        In which values are given. Where entries of one place are added up and the sums need a
        wider dtype, the rows of that request come in a wider one.
    dense
        Whether rows are given with their zeros, as those of obsm are.
    """

    source: SourceMatrix
    rows: NDArray[np.int64]
    arrangement: Arrangement
    dtype: np.dtype[Any]
    dense: bool

    def take(self, rows: NDArray[np.int64], scratch: Scratch) -> SparseRows | DenseRows:
        """Return rows in any order and with repeats; each is read once."""
        unique, slots = np.unique(rows, return_inverse=True)
        ranges = plan_ranges(self.rows[unique], self.source)
        read = partial(self._read, scratch=scratch)
        shares = [ranges[s] for s in split(len(ranges), len(ranges))] if ranges else []
        parts = [part for found in in_threads([partial(read, s) for s in shares]) for part in found]
        n_vars = self.arrangement.n_vars
        lengths = np.concatenate([np.empty(0, np.int64), *(p[0] for p in parts)])
        columns = _joined([p[1] for p in parts], np.dtype(np.uint32))
        values = _joined([p[2] for p in parts], self.dtype)
        starts = np.cumsum(lengths) - lengths
        n_bytes = columns.nbytes + values.nbytes
        if not self.dense:
            lengths, starts = lengths[slots], starts[slots]
            return SparseRows(values, columns, starts, lengths, n_vars, len(ranges), n_bytes)
        filled = np.zeros((len(unique), n_vars), values.dtype)
        filled[np.repeat(np.arange(len(unique)), lengths), columns] = values
        return DenseRows(filled, slots.astype(np.int64), len(ranges), n_bytes)

    def _read(
        self, ranges: Sequence[Range], scratch: Scratch
    ) -> list[tuple[NDArray[np.int64], NDArray[Any], NDArray[Any]]]:
        """Return (lengths, columns, values) of the wanted rows of each range."""
        found = []
        for start, stop, wanted in ranges:
            arranged = self.arrangement(self.source.read(start, stop, scratch), wanted, scratch)
            lengths = arranged.lengths[wanted]
            columns = _copied(arranged.columns, arranged.columns.dtype)
            found.append((lengths, columns, _copied(arranged.values, self._dtype(arranged))))
        return found

    def _dtype(self, arranged: ArrangedRows) -> np.dtype[Any]:
        """Return the dtype of the matrix, or a wider one if sums of its values need that."""
        if not self._outgrown(arranged):
            return self.dtype
        return np.dtype(np.float64) if self.dtype.kind == "f" else arranged.values.dtype

    def _outgrown(self, arranged: ArrangedRows) -> bool:
        values, dtype = arranged.range, self.dtype
        if not values.summed or always_fits(arranged.values.dtype, dtype):
            return False
        if dtype.kind == "f":
            return dtype.itemsize < 8 and not values.may_be_float32
        return verdict(arranged.values.dtype, values.minimum, values.maximum, dtype) is Verdict.LOST


def value_range(
    source: SourceMatrix, rows: NDArray[np.int64], arrangement: Arrangement, scratch: Scratch
) -> ValueRange:
    """Read the rows of a matrix once, and return the range of their values."""

    def look(part: Range) -> ValueRange:
        start, stop, wanted = part
        return arrangement(source.read(start, stop, scratch), wanted, scratch).range

    found = ValueRange()
    for one in in_threads([partial(look, part) for part in plan_ranges(rows, source)]):
        found |= one
    return found


def _copied(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return what lies in a buffer that the next range overwrites, in memory of its own."""
    out = empty(len(values), dtype)
    np.copyto(out, values, casting="unsafe")
    return out


def _joined(parts: Sequence[NDArray[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    if not parts:
        return np.empty(0, dtype)
    out = empty(sum(map(len, parts)), widest([part.dtype for part in parts]))
    np.concatenate(parts, out=out)
    return out
