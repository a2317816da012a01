"""From a reader that decodes to what is held: stretch by stretch, so that little comes twice."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from dao.backend import DenseRows, SparseRows
from dao.errors import BackendContractError, CorruptStoreError
from dao.forks import pause
from dao.format.casts import widest
from dao.threads import over_ranges
from dao_backends.memory.held import HeldDense, HeldSparse
from dao_backends.memory.kernels import count_rows, pack_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.backend import Reader
    from dao.format.manifest import MatrixInfo

__all__ = ["hold"]

T = TypeVar("T", SparseRows, DenseRows)

# Decoded rows that wait to be packed; they are the only memory beyond what is held.
_STRETCH_BYTES = 1 << 26
# A value that stands apart takes eight bytes; above this share narrow values would not pay.
_MOST_WIDE = 1 / 16


def hold(
    reader: Reader,
    dataset: str,
    matrix: str,
    info: MatrixInfo,
    rows: NDArray[np.int64],
    wanted: NDArray[np.bool_] | None = None,
) -> HeldSparse | HeldDense:
    """Return rows of a matrix, decoded.

    Parameters
    ----------
    reader
        What decodes.
    dataset, matrix, info
        What is read.
    rows
        Which rows, ascending, each once.
    wanted
        Which columns of a sparse matrix are held; all if None.

    Raises
    ------
    dao.errors.CorruptStoreError
        If something read is damaged, or a column number lies beyond the matrix.
    """
    row_bytes = max(1, _bytes(info) // max(1, info.shape[0]))
    at_once = max(1, _STRETCH_BYTES // row_bytes)
    stretches = list(pairwise([*range(0, len(rows), at_once), len(rows)])) or [(0, 0)]
    if info.encoding == "dense":
        values: NDArray[Any] = np.empty((len(rows), info.shape[1]), info.dtype)
        for a, b in stretches:
            pause()
            got = _rows(reader, dataset, matrix, rows[a:b], DenseRows)
            values = values.astype(widest([values.dtype, got.values.dtype]), copy=False)
            values[a:b] = got.values[got.slots]
        return HeldDense(values)
    columns = np.ones(info.shape[1], np.bool_) if wanted is None else wanted[: info.shape[1]]
    packing = _Packing(info, columns)
    for a, b in stretches:
        pause()
        packing.add(_rows(reader, dataset, matrix, rows[a:b], SparseRows))
    return packing.held()


def _bytes(info: MatrixInfo) -> int:
    if info.encoding == "dense":
        return info.shape[0] * info.shape[1] * info.dtype.itemsize
    return info.nnz * (info.dtype.itemsize + np.dtype(info.arrays["indices"].dtype).itemsize)


class _Packing:
    """Rows of a sparse matrix on their way into narrow arrays, a stretch at a time."""

    def __init__(self, info: MatrixInfo, wanted: NDArray[np.bool_]) -> None:
        self._info, self._wanted, self._dtype = info, wanted, info.dtype
        # Memory that is never touched takes none, so there may be too much of it. There may be too
        # little where the number of values is an estimate, as that of files that dao did not write.
        self._values = np.empty(info.nnz, info.dtype)
        self._indices = np.empty(info.nnz, info.arrays["indices"].dtype)
        self._end = 0
        self._n_items: list[NDArray[np.int64]] = []
        self._n_wide: list[NDArray[np.int64]] = []
        self._wide: list[tuple[NDArray[np.uint32], NDArray[Any]]] = []

    def add(self, rows: SparseRows) -> None:
        """Pack the next rows."""
        n_items, n_wide = self._count(rows)
        self._grow(rows.values.dtype)
        if not self._n_items and self._pays(int(n_items.sum()), int(n_wide.sum())):
            self._values = np.empty(len(self._values), np.uint8)
        narrow = self._values.dtype != self._dtype
        if not narrow:
            n_wide[:] = 0
        wide_at = np.empty(int(n_wide.sum()), np.uint32)
        wide = np.empty(len(wide_at), self._dtype)
        self._make_room(self._end + int(n_items.sum()))
        starts = self._end + np.cumsum(n_items) - n_items
        wide_starts = np.cumsum(n_wide) - n_wide

        def pack(a: int, b: int) -> None:
            pack_rows(
                rows.values,
                rows.indices,
                rows.starts[a:b],
                rows.lengths[a:b],
                self._wanted,
                narrow,
                starts[a:b],
                wide_starts[a:b],
                self._values,
                self._indices,
                wide_at,
                wide,
            )

        over_ranges(pack, len(rows), int(rows.lengths.sum()))
        self._end += int(n_items.sum())
        self._n_items.append(n_items)
        self._n_wide.append(n_wide)
        self._wide.append((wide_at, wide))

    def _grow(self, dtype: np.dtype[Any]) -> None:
        """Make room for rows in a wider dtype, as sums of repeated entries of a file may need."""
        wider = widest([self._dtype, dtype])
        if self._values.dtype == self._dtype:
            self._values = self._values.astype(wider, copy=False)
        self._dtype = wider

    def _make_room(self, n_items: int) -> None:
        if n_items > len(self._values):
            size = max(n_items, 2 * len(self._values))
            for array in (self._values, self._indices):
                array.resize(size, refcheck=False)

    def held(self) -> HeldSparse:
        """Return all rows."""
        for array in (self._values, self._indices):
            array.resize(self._end, refcheck=False)
        return HeldSparse(
            _starts(self._n_items),
            self._values,
            self._indices,
            _starts(self._n_wide),
            np.concatenate([at for at, _ in self._wide]),
            np.concatenate([wide.astype(self._dtype, copy=False) for _, wide in self._wide]),
            self._info.shape[1],
        )

    def _count(self, rows: SparseRows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        n_items, n_wide = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)

        def count(a: int, b: int) -> bool:
            parts = rows.starts[a:b], rows.lengths[a:b]
            arrays = rows.values, rows.indices, *parts, self._wanted
            return bool(count_rows(*arrays, n_items[a:b], n_wide[a:b]))

        if not all(over_ranges(count, len(rows), int(rows.lengths.sum()))):
            n_vars = self._info.shape[1]
            msg = (
                f"A stored column number lies outside of a matrix of {n_vars} columns: the "
                " store is damaged. `dao validate` tells which dataset."
            )
            raise CorruptStoreError(msg)
        return n_items, n_wide

    def _pays(self, n_items: int, n_wide: int) -> bool:
        """Whether values that do not fit into a byte are few enough to stand apart."""
        dtype = self._dtype
        return dtype.kind == "u" and dtype.itemsize > 1 and n_wide <= _MOST_WIDE * n_items


def _starts(counts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)


def _rows(reader: Reader, dataset: str, matrix: str, rows: NDArray[np.int64], kind: type[T]) -> T:
    got = reader.rows(dataset, matrix, rows)
    if not isinstance(got, kind):
        msg = f"The backend returned {type(got).__name__} of {matrix} of {dataset!r}."
        raise BackendContractError(msg)
    return got
