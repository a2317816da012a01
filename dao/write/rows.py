"""Rows of a matrix on their way: as they were read, and as they will be stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from dao.write.moves import sparse_rows, transpose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.write.workers import Scratch

__all__ = ["Rows", "as_bits", "rows_of_columns", "rows_of_dense", "significant_bits"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows as CSR; the arrays may be buffers that the next read overwrites.

    Attributes
    ----------
    columns
        int32, each below the number of columns, in any order within a row.
    values
        In a native dtype that NumPy computes with: no bool, no float16.
    """

    indptr: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[Any]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def to_scipy(self, n_columns: int) -> sp.csr_matrix:
        """Return them as a matrix, without a copy where scipy needs none."""
        parts = (self.values, self.columns, self.indptr)
        return sp.csr_matrix(parts, shape=(len(self), n_columns), copy=False)


def rows_of_columns(columns: Rows, first: int, n_rows: int, scratch: Scratch) -> Rows:
    """Return rows of a transposed matrix, from the number ``first`` on, as rows of the matrix."""
    n, values = len(columns.columns), columns.values
    starts = scratch.take("transposed starts", n_rows + 1, np.int64)
    turned = scratch.take("transposed columns", n, np.int32)
    moved = scratch.take("transposed values", n, values.dtype)
    bits = as_bits(moved)
    transpose(columns.indptr, columns.columns, as_bits(values), first, starts, turned, bits)
    return Rows(starts, turned, moved)


def rows_of_dense(dense: NDArray[Any], scratch: Scratch) -> Rows:
    """Return what is not zero in a dense matrix."""
    indptr = scratch.take("sparse starts", len(dense) + 1, np.int64)
    indptr[0] = 0
    columns = scratch.take("sparse columns", dense.size, np.int32)
    values = scratch.take("sparse values", dense.size, dense.dtype)
    bits = np.ascontiguousarray(dense)
    sparse_rows(as_bits(bits), significant_bits(dense.dtype), indptr, columns, as_bits(values))
    return Rows(indptr, columns[: indptr[-1]], values[: indptr[-1]])


def as_bits(values: NDArray[Any]) -> NDArray[Any]:
    """Return a view of the values as unsigned integers of their width."""
    return values.view(f"u{values.dtype.itemsize}")


def significant_bits(dtype: np.dtype[Any]) -> Any:
    """Return the bits that make a value other than zero: a negative zero is zero too."""
    unsigned = np.dtype(f"u{dtype.itemsize}").type
    everything = np.iinfo(unsigned).max
    return unsigned(everything >> 1 if dtype.kind == "f" else everything)
