"""Arrange: rows as they were read become rows of the feature space, in the narrowest dtype."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import SourceError
from dao.format.encodings import ValueRange, index_dtype, narrowest_dtype
from dao.write import kernels, moves
from dao.write.rows import Rows, as_bits, significant_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.write.workers import Scratch

__all__ = ["ArrangedRows", "Arrangement", "narrowed", "repeated_targets"]


@dataclass(frozen=True, slots=True)
class ArrangedRows:
    """Rows as they will be stored: columns ascend, nothing is zero; buffers, as in `Rows`.

    Attributes
    ----------
    lengths
        Elements of each row; 0 for rows that are left out.
    values
        In a dtype that holds these values exactly; other rows may need another one.
    """

    lengths: NDArray[np.int64]
    columns: NDArray[Any]
    values: NDArray[Any]
    range: ValueRange


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What is done to every piece of a matrix.

    Attributes
    ----------
    targets
        Column in the store of each source column, -1 to leave it out.
    n_vars
        Columns in the store.
    dtype
        Of the values as they are computed with.
    summed
        Whether several columns share a target.
    """

    targets: NDArray[np.int32]
    n_vars: int
    dtype: np.dtype[Any]
    summed: bool

    def __call__(self, rows: Rows, wanted: NDArray[np.bool_], scratch: Scratch) -> ArrangedRows:
        """Arrange the wanted rows."""
        n = len(rows.columns)
        columns = scratch.take("columns", n, index_dtype(self.n_vars))
        lengths = np.zeros(len(rows), np.int64)
        words = scratch.zeros("words", -(-self.n_vars // 64), np.uint64)
        values = rows.values
        kept, summed = kernels.REPEATED, False
        if not self.summed:
            out = scratch.take("values", n, values.dtype)
            kept = kernels.arrange(
                rows.indptr,
                rows.columns,
                as_bits(values),
                significant_bits(values.dtype),
                wanted,
                self.targets,
                words,
                scratch.take("row", self.n_vars, f"u{values.dtype.itemsize}"),
                columns,
                as_bits(out),
                lengths,
            )
        if kept == kernels.REPEATED:
            kept, out = self._summed(rows, wanted, words, columns, lengths, scratch)
            summed = True
        if kept == kernels.OUTSIDE:
            msg = f"A column number lies outside of the {len(self.targets)} columns of its matrix."
            raise SourceError(msg)
        if kept == kernels.OVERFLOW:
            msg = (
                f"Values of a matrix of {values.dtype} that belong together, entries of one cell "
                f"and feature, add up to more than {out.dtype} can hold. Correct them in the "
                "source."
            )
            raise SourceError(msg)
        arranged = narrowed(lengths, columns[:kept], out[:kept], self.dtype, scratch)
        return replace(arranged, range=replace(arranged.range, summed=True)) if summed else arranged

    def _summed(
        self,
        rows: Rows,
        wanted: NDArray[np.bool_],
        words: NDArray[np.uint64],
        columns: NDArray[Any],
        lengths: NDArray[np.int64],
        scratch: Scratch,
    ) -> tuple[int, NDArray[Any]]:
        # Sums must not wrap around, and those of whole numbers in float32 must not be rounded.
        wide = np.dtype(f"{rows.values.dtype.kind}8")
        out = scratch.take("sums", len(rows.columns), wide)
        ends: Any = np.finfo(wide) if wide.kind == "f" else np.iinfo(wide)
        kept = kernels.arrange_summed(
            rows.indptr,
            rows.columns,
            rows.values.astype(wide, copy=False),
            wanted,
            self.targets,
            words,
            scratch.take("row", self.n_vars, wide),
            columns,
            out,
            lengths,
            wide.type(ends.min),
            wide.type(ends.max),
        )
        return kept, out


def narrowed(
    lengths: NDArray[np.int64],
    columns: NDArray[Any],
    values: NDArray[Any],
    source: np.dtype[Any],
    scratch: Scratch,
) -> ArrangedRows:
    """Return rows whose values are in a dtype that holds them, as narrow as it is soon found."""
    counts = scratch.take("counts", len(values), np.uint16)
    largest = moves.to_counts(values, counts)
    if largest >= 0:
        return ArrangedRows(lengths, columns, counts, ValueRange(maximum=float(largest)))
    values_range = ValueRange(*moves.value_range(values))
    dtype = narrowest_dtype(values_range, source)
    return ArrangedRows(lengths, columns, values.astype(dtype, copy=False), values_range)


def repeated_targets(targets: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the source columns that share their place with another one."""
    if not (targets >= 0).any():
        return np.empty(0, np.int64)
    counts = np.bincount(targets[targets >= 0])
    return np.flatnonzero((targets >= 0) & (counts[np.maximum(targets, 0)] > 1))
