"""Matrices that are made part by part when they are asked for: dask arrays, views of files."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import DaoError, SourceError
from dao.write.matrix import SourceMatrix, check_dtype, memory_matrix
from dao.write.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dao.write.workers import Scratch

__all__ = ["dask_matrix", "is_dask", "view_matrix"]

# Elements of a part of a view, if all of them were stored.
_PART_ELEMENTS = 1 << 25


def is_dask(value: Any) -> bool:
    """Whether a value is a dask array, without importing dask."""
    return any(kind.__module__.startswith("dask.array") for kind in type(value).__mro__)


def dask_matrix(array: Any, where: str) -> SourceMatrix:
    """Return a dask array of blocks that are dense or scipy sparse; it is computed by its blocks.

    Raises
    ------
    dao.errors.SourceError
        If its shape is not known, or it is not a matrix of numbers.
    """
    if any(np.isnan(n) for n in array.shape):
        msg = f"{where} is a dask array of unknown shape: call its compute_chunk_sizes() first."
        raise SourceError(msg)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        msg = f"{where} has {array.ndim} axes; a matrix has two."
        raise SourceError(msg)
    cuts = np.concatenate([[0], np.cumsum(array.chunks[0], dtype=np.int64)]).astype(np.int64)
    dense = isinstance(array._meta, np.ndarray)  # noqa: SLF001 - dask has no public name for it
    return _in_parts(
        tuple(array.shape), array.dtype, cuts, lambda a, b: array[a:b].compute(), where, dense
    )


def view_matrix(adata: Any, dtype: Any, where: str, *, dense: bool) -> SourceMatrix:
    """Return X of a view of a backed AnnData, whose rows are read part by part."""
    # anndata has no public names for these, and makes no view of such a view.
    whole = adata._adata_ref  # noqa: SLF001
    rows = np.arange(whole.n_obs)[adata._oidx]  # noqa: SLF001
    columns = np.arange(whole.n_vars)[adata._vidx]  # noqa: SLF001
    step = max(1, _PART_ELEMENTS // max(1, len(columns)))
    cuts = np.append(np.arange(0, len(rows), step), len(rows)).astype(np.int64)

    def make(start: int, stop: int) -> Any:
        return whole[rows[start:stop], columns].X

    return _in_parts((len(rows), len(columns)), dtype, cuts, make, where, dense)


def _in_parts(
    shape: tuple[int, int],
    dtype: Any,
    cuts: NDArray[np.int64],
    make: Callable[[int, int], Any],
    where: str,
    dense: bool,  # noqa: FBT001
) -> SourceMatrix:
    parts = _Parts(cuts, make, where, shape[1])

    def read(start: int, stop: int, scratch: Scratch) -> Rows:
        return _joined(parts.rows(start, stop, scratch))

    # How many elements are stored is not known before they are made: all of them at the most.
    boundaries = np.arange(shape[0] + 1, dtype=np.int64) * shape[1]
    return SourceMatrix(
        (int(shape[0]), int(shape[1])),
        check_dtype(dtype, where),
        "dense" if dense else "csr",
        int(boundaries[-1]),
        read,
        boundaries,
    )


class _Parts:
    """Parts of a matrix, made when they are needed; the last ones are kept for a while."""

    def __init__(
        self, cuts: NDArray[np.int64], make: Callable[[int, int], Any], where: str, width: int
    ) -> None:
        self._cuts, self._make, self._where, self._width = cuts, make, where, width
        self._lock = threading.Lock()
        self._kept: dict[int, SourceMatrix] = {}

    def rows(self, start: int, stop: int, scratch: Scratch) -> list[Rows]:
        """Return rows of each part that some rows lie in."""
        found: list[Rows] = []
        while start < stop:
            number = int(np.searchsorted(self._cuts, start, side="right")) - 1
            first, end = int(self._cuts[number]), int(self._cuts[number + 1])
            part = self._part(number, first, end)
            rows = part.read(start - first, min(stop, end) - first, scratch)
            start = min(stop, end)
            # Buffers are used again by the next read.
            found.append(rows if start == stop and not found else _copied(rows))
        return found

    def _part(self, number: int, first: int, end: int) -> SourceMatrix:
        with self._lock:
            if number not in self._kept:
                while len(self._kept) > 1:
                    del self._kept[next(iter(self._kept))]
                self._kept[number] = self._made(first, end)
            return self._kept[number]

    def _made(self, first: int, end: int) -> SourceMatrix:
        try:
            value = self._make(first, end)
        except DaoError:
            raise
        except Exception as error:
            msg = f"Rows {first:,} to {end:,} of {self._where} cannot be read: {error}."
            raise SourceError(msg) from error
        value = value.tocsr() if hasattr(value, "tocsr") else value
        part = memory_matrix(value, self._where)
        if part.shape != (end - first, self._width):
            msg = (
                f"Rows {first:,} to {end:,} of {self._where} have the shape {part.shape}, not "
                f"{(end - first, self._width)}."
            )
            raise SourceError(msg)
        return part


def _copied(rows: Rows) -> Rows:
    return Rows(rows.indptr.copy(), rows.columns.copy(), rows.values.copy())


def _joined(parts: list[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    indptr = [np.zeros(1, np.int64)]
    for part in parts:
        indptr.append(part.indptr[1:] - part.indptr[0] + indptr[-1][-1])
    return Rows(
        np.concatenate(indptr),
        np.concatenate([np.empty(0, np.int32), *(p.columns for p in parts)]),
        np.concatenate([p.values for p in parts]) if parts else np.empty(0, np.float32),
    )
