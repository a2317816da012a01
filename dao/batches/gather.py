"""Gather: decoded rows into the final form of a batch, in one pass over the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import scipy.sparse as sp

from dao import kernels
from dao.backend import DenseRows, SparseRows
from dao.buffers import empty
from dao.errors import CorruptStoreError
from dao.format.casts import check_values
from dao.threads import over_ranges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dao.batches.columns import ColumnMap

__all__ = ["Run", "check_run", "csr", "gather_csr", "gather_dense"]

Rows = TypeVar("Rows", bound=SparseRows | DenseRows)


@dataclass(frozen=True, slots=True)
class Run(Generic[Rows]):
    """Some rows of one part of a window, and where they go.

    Attributes
    ----------
    rows
        What the backend returned.
    slots
        Which of them.
    out_rows
        Row of the batch for each.
    """

    rows: Rows
    slots: NDArray[np.int64]
    out_rows: NDArray[np.int64]


def gather_csr(
    runs: Sequence[Run[Any]], n_rows: int, columns: ColumnMap, dtype: np.dtype[Any]
) -> sp.csr_matrix:
    """Return rows as CSR of ``dtype`` with int32 indices that ascend in each row.

    Raises
    ------
    dao.errors.CorruptStoreError
        If a stored column number lies outside of the matrix.
    """
    sparse = [_sparse(run) for run in runs]
    lengths = np.zeros(n_rows, np.int64)
    for run in sparse:
        lengths[run.out_rows] = _lengths(run, columns)
    indptr = np.zeros(n_rows + 1, np.int64)
    np.cumsum(lengths, out=indptr[1:])
    nnz = int(indptr[-1])
    values, indices = empty(nnz, dtype), empty(nnz, np.int32)
    for run in sparse:
        _copy(run, columns, values, indices, indptr[:-1][run.out_rows])
    if nnz <= np.iinfo(np.int32).max:
        indptr = indptr.astype(np.int32)
    return csr(values, indices, indptr, columns.n_vars, is_sorted=True)


def check_run(what: str, run: Run[Any], columns: ColumnMap, dtype: np.dtype[Any]) -> None:
    """Refuse rows with values that a dtype cannot hold, among those that are shown.

    Raises
    ------
    dao.errors.ArgumentError
        With one of the values, and a dtype that holds it.
    """
    alone, n = Run(run.rows, run.slots, np.arange(len(run.slots))), len(run.slots)
    own = run.rows.values.dtype
    if isinstance(run.rows, DenseRows):
        check_values(what, gather_dense([alone], n, columns, own), dtype)
    else:
        check_values(what, gather_csr([alone], n, columns, own).data, dtype)


def csr(
    values: NDArray[Any],
    indices: NDArray[Any],
    indptr: NDArray[Any],
    n_vars: int,
    *,
    is_sorted: bool,
) -> sp.csr_matrix:
    """Return a matrix around arrays that are known to fit together, which are not copied."""
    matrix = sp.csr_matrix((len(indptr) - 1, n_vars), dtype=values.dtype)
    # The constructor would copy arrays that are small views of larger ones.
    matrix.data, matrix.indices, matrix.indptr = values, indices, indptr
    # scipy would otherwise read all indices to find out.
    matrix.has_sorted_indices = is_sorted
    return matrix


def gather_dense(
    runs: Sequence[Run[Any]], n_rows: int, columns: ColumnMap, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Return rows as a C-contiguous array of shape (n_rows, columns.n_vars).

    Raises
    ------
    dao.errors.CorruptStoreError
        If a stored column number lies outside of the matrix.
    """
    out = empty((n_rows, columns.n_vars), dtype)
    for run in runs:
        rows, slots, out_rows = run.rows, run.slots, run.out_rows
        if isinstance(rows, DenseRows):
            stored = columns.within(rows.values.shape[1])
            own = rows.slots[slots]
            kernels.dense_from_dense(rows.values, own, stored, out, out_rows)
            continue
        place = columns.place(rows.n_vars)
        starts, lengths = rows.starts[slots], rows.lengths[slots]

        def fill(
            a: int,
            b: int,
            rows: SparseRows = rows,
            place: NDArray[np.int32] = place,
            starts: NDArray[np.int64] = starts,
            lengths: NDArray[np.int64] = lengths,
            out_rows: NDArray[np.int64] = out_rows,
        ) -> bool:
            return bool(
                kernels.fill_dense(
                    rows.values, rows.indices, starts[a:b], lengths[a:b], place, out, out_rows[a:b]
                )
            )

        work = int(lengths.sum()) + len(slots) * columns.n_vars // 4
        if not all(over_ranges(fill, len(slots), work)):
            raise _out_of_bounds(rows)
    return out


def _lengths(run: Run[SparseRows], columns: ColumnMap) -> NDArray[np.int64]:
    rows = run.rows
    starts, lengths = rows.starts[run.slots], rows.lengths[run.slots]
    if columns.is_identity(rows.n_vars):
        return lengths
    counts = np.empty(len(starts), np.int64)
    place = columns.place(rows.n_vars)

    def count(a: int, b: int) -> bool:
        return bool(
            kernels.count_selected(rows.indices, starts[a:b], lengths[a:b], place, counts[a:b])
        )

    if not all(over_ranges(count, len(starts), int(lengths.sum()))):
        raise _out_of_bounds(rows)
    return counts


def _copy(
    run: Run[SparseRows],
    columns: ColumnMap,
    values: NDArray[Any],
    indices: NDArray[np.int32],
    out_starts: NDArray[np.int64],
) -> None:
    rows = run.rows
    starts, lengths = rows.starts[run.slots], rows.lengths[run.slots]
    work = int(lengths.sum())
    if columns.is_identity(rows.n_vars):

        def copy(a: int, b: int) -> int:
            parts = starts[a:b], lengths[a:b]
            kernels.copy_segments(rows.values, *parts, values, out_starts[a:b])
            return int(kernels.copy_segments(rows.indices, *parts, indices, out_starts[a:b]))

        if max(over_ranges(copy, len(starts), work)) >= max(1, rows.n_vars):
            raise _out_of_bounds(rows)
        return
    place = columns.place(rows.n_vars)

    def fill(a: int, b: int) -> None:
        given = rows.values, rows.indices, starts[a:b], lengths[a:b], place
        if columns.ascending:
            kernels.fill_selected(*given, values, indices, out_starts[a:b])
        else:
            kernels.fill_sorted(*given, columns.n_vars, values, indices, out_starts[a:b])

    over_ranges(fill, len(starts), work)


def _sparse(run: Run[Any]) -> Run[SparseRows]:
    """Return the run over sparse rows, also of a part that is stored densely."""
    rows = run.rows
    if isinstance(rows, SparseRows):
        return run
    part = sp.csr_matrix(rows.values[rows.slots[run.slots]])
    starts = part.indptr[:-1].astype(np.int64)
    lengths = np.diff(part.indptr).astype(np.int64)
    found = SparseRows(part.data, part.indices, starts, lengths, part.shape[1])
    return Run(found, np.arange(len(run.slots)), run.out_rows)


def _out_of_bounds(rows: SparseRows) -> CorruptStoreError:
    msg = (
        f"A stored column number lies outside of a matrix of {rows.n_vars} columns: the store is "
        "damaged. `dao validate` tells which dataset."
    )
    return CorruptStoreError(msg)
