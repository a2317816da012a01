"""What is held of a matrix: narrow arrays, and the few values that need more bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.backend import DenseRows, SparseRows
from dao.buffers import empty
from dao.threads import over_ranges
from dao_backends.memory.kernels import take_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HeldDense", "HeldSparse"]


@dataclass(frozen=True, eq=False)
class HeldSparse:
    """Rows of a sparse matrix, one after another.

    Most counts fit into a byte, and a matrix whose largest does not is still held in bytes: the
    values that need more stand apart, by row.

    Attributes
    ----------
    row_starts
        Where each row begins, and the number of items.
    values, indices
        Per item: its value, or anything for one that stands apart; its column, which is checked.
    wide_starts
        Where each row begins among the values that stand apart, and their number.
    wide_at, wide
        Which item of its row each of them is; the value, in the dtype of the matrix.
    """

    row_starts: NDArray[np.int64]
    values: NDArray[Any]
    indices: NDArray[Any]
    wide_starts: NDArray[np.int64]
    wide_at: NDArray[np.uint32]
    wide: NDArray[Any]
    n_vars: int

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        arrays = (self.row_starts, self.values, self.indices)
        return sum(a.nbytes for a in (*arrays, self.wide_starts, self.wide_at, self.wide))

    def lengths(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many items some rows have."""
        return self.row_starts[slots + 1] - self.row_starts[slots]

    def rows(self, slots: NDArray[np.int64]) -> SparseRows:
        """Return rows in the dtype of the matrix: a copy, as some values stand apart."""
        lengths = self.lengths(slots)
        ends = np.cumsum(lengths)
        n_items = int(ends[-1]) if len(ends) else 0
        values, indices = empty(n_items, self.wide.dtype), empty(n_items, self.indices.dtype)

        def take(a: int, b: int) -> None:
            starts = (ends - lengths)[a:b]
            take_rows(self.arrays, slots[a:b], values, indices, starts)

        over_ranges(take, len(slots), n_items)
        return SparseRows(values, indices, ends - lengths, lengths, self.n_vars)

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """What kernels are given."""
        return (
            self.row_starts,
            self.values,
            self.indices,
            self.wide_starts,
            self.wide_at,
            self.wide,
        )


@dataclass(frozen=True, eq=False)
class HeldDense:
    """Rows of a dense matrix."""

    values: NDArray[Any]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.values.nbytes

    def rows(self, slots: NDArray[np.int64]) -> DenseRows:
        """Return rows; nothing is copied."""
        return DenseRows(self.values, slots)
