"""Matrices of sources, read piece by piece: CSR and dense in rows, CSC in columns.

A piece is some rows as CSR, or some columns of a CSC matrix as rows of the transposed one, whose
values are brought to their rows later (`dao.write.buckets`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import scipy.sparse as sp

from dao.errors import SourceError
from dao.write.frames import table_values
from dao.write.hdf5 import chunked_elements
from dao.write.hdf5_errors import why_unreadable
from dao.write.rows import Rows, rows_of_dense
from dao.write.staged import staged
from dao.write.workers import Scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

__all__ = ["SourceMatrix", "compressed_matrix", "dense_matrix", "memory_matrix"]

_SAMPLE_ROWS = 2048
_SAMPLE_SLABS = 8
# A larger piece of a sparse matrix would not lie in the processor's cache while it is aligned.
_PIECE_ELEMENTS = 1 << 21


@dataclass(frozen=True, slots=True)
class SourceMatrix:
    """A matrix on disk or in memory.

    Attributes
    ----------
    encoding
        ``"csr"``, ``"csc"`` or ``"dense"``.
    dtype
        Of the values.
    n_stored
        Stored elements, or all elements of a dense matrix.
    read
        ``read(a, b, scratch)`` -> rows a to b; of CSC columns a to b, which are rows of the
        transposed matrix. Can be called from several threads.
    boundaries
        Cumulative stored elements along the axis that `read` slices.
    lines_at_once
        Lines along this axis that are stored, and best read, together.
    columns
        Names of the columns of an obsm that was a DataFrame.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    encoding: str
    n_stored: int
    read: Callable[[int, int, Scratch], Rows]
    boundaries: NDArray[np.int64]
    columns: tuple[str, ...] | None = None
    lines_at_once: int = 1

    def pieces(self, max_elements: int, lines: range | None = None) -> Iterator[tuple[int, int]]:
        """Cut lines (all if None) into pieces of about ``max_elements``, one line at the least."""
        limit = min(max_elements, _PIECE_ELEMENTS)
        return self._cut(limit, max_elements, lines or range(len(self.boundaries) - 1))

    def ranges(self, n_elements: int) -> Iterator[tuple[int, int]]:
        """Cut all lines into ranges of about ``n_elements``, one line at the least."""
        return self._cut(n_elements, n_elements, range(len(self.boundaries) - 1))

    def _cut(self, limit: int, max_elements: int, lines: range) -> Iterator[tuple[int, int]]:
        start, n, step = lines.start, lines.stop, self.lines_at_once
        while start < n:
            together = start - start % step + step
            stop = max(
                self._end(start, limit) // step * step,
                min(self._end(start, max_elements), together),
            )
            stop = min(max(stop, start + 1), n)
            yield start, stop
            start = stop

    def _end(self, start: int, n_elements: int) -> int:
        goal = self.boundaries[start] + n_elements
        return int(np.searchsorted(self.boundaries, goal, side="right")) - 1

    def detection(self) -> NDArray[np.float64]:
        """Return the share of cells in which each column is not zero, from a sample of rows."""
        n_obs, n_vars = self.shape
        if self.encoding == "csc":
            return np.diff(self.boundaries) / max(1, n_obs)
        counts = np.zeros(n_vars, np.float64)
        rows, scratch = 0, Scratch()
        for start in np.unique(np.linspace(0, n_obs, _SAMPLE_SLABS, endpoint=False, dtype=int)):
            stop = min(n_obs, int(start) + _SAMPLE_ROWS // _SAMPLE_SLABS)
            part = self.read(int(start), stop, scratch)
            counts += np.bincount(part.columns, minlength=n_vars)
            rows += len(part)
        return counts / max(1, rows)


def compressed_matrix(
    group: Any, shape: tuple[int, int], encoding: str, where: str
) -> SourceMatrix:
    """Return a CSR or CSC matrix whose ``data``, ``indices`` and ``indptr`` can be sliced.

    Parameters
    ----------
    group
        Maps the three names to arrays: an h5py or zarr group, or a dict of arrays.
    where
        How errors name the matrix.

    Raises
    ------
    dao.errors.SourceError
        If the parts do not fit together.
    """
    try:
        data, indices = group["data"], group["indices"]
        indptr = np.asarray(group["indptr"][:], np.int64)
    except KeyError as error:
        msg = f"{where} is not a sparse matrix: {error.args[0]}."
        raise SourceError(msg) from error
    n_major, n_minor = shape if encoding == "csr" else shape[::-1]
    problem = _misfit(data, indices, indptr, n_major)
    if problem:
        msg = f"{where} is damaged: {problem}."
        raise SourceError(msg)
    dtype = check_dtype(data.dtype, where)
    read_data, read_minor = _reader(data, where, "data"), _reader(indices, where, "indices")

    def read(start: int, stop: int, scratch: Scratch) -> Rows:
        a, b = int(indptr[start]), int(indptr[stop])
        minor = read_minor(a, b, scratch)
        if len(minor) and not 0 <= minor.min() <= minor.max() < n_minor:
            msg = f"{where} is damaged: an index lies outside of its {n_minor} lines."
            raise SourceError(msg)
        if minor.dtype != np.int32:
            narrow = scratch.take("int32", len(minor), np.int32)
            np.copyto(narrow, minor, casting="unsafe")
            minor = narrow
        return Rows(indptr[start : stop + 1] - a, minor, _plain(read_data(a, b, scratch)))

    return SourceMatrix(shape, dtype, encoding, int(indptr[-1]), read, indptr)


def dense_matrix(array: Any, where: str, columns: tuple[str, ...] | None = None) -> SourceMatrix:
    """Return a dense matrix that can be sliced by rows: an ndarray, h5py dataset or zarr array."""
    if len(array.shape) == 1:
        array = np.asarray(array[:])[:, None]
    if len(array.shape) != 2:
        msg = f"{where} has {len(array.shape)} axes; a matrix has two."
        raise SourceError(msg)
    dtype = check_dtype(array.dtype, where)
    n_obs, n_vars = (int(n) for n in array.shape)

    slices = _reader(array, where, "dense")

    def read(start: int, stop: int, scratch: Scratch) -> Rows:
        return rows_of_dense(_plain(slices(start, stop, scratch)), scratch)

    boundaries = np.arange(n_obs + 1, dtype=np.int64) * n_vars
    # What waits in a file is as well read row by row.
    chunks = None if staged(array) else getattr(array, "chunks", None)
    return SourceMatrix(
        (n_obs, n_vars),
        dtype,
        "dense",
        n_obs * n_vars,
        read,
        boundaries,
        columns,
        int(chunks[0]) if chunks else 1,
    )


def memory_matrix(value: Any, where: str) -> SourceMatrix:
    """Return a matrix in memory: scipy sparse (any format), ndarray or DataFrame.

    Raises
    ------
    dao.errors.SourceError
        If it is not a matrix of numbers, or some of its values are masked.
    """
    if hasattr(value, "columns") and hasattr(value, "to_numpy"):
        return dense_matrix(table_values(value, where), where, tuple(str(c) for c in value.columns))
    if sp.issparse(value):
        sparse: Any = value
        matrix = sparse if sparse.format in {"csr", "csc"} else sparse.tocsr()
        parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
        return compressed_matrix(parts, matrix.shape, matrix.format, where)
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.is_masked(value):
            msg = (
                f"{where} is a masked array, and {value.size - value.count():,} of its values "
                "are masked. Say what they are: pass matrix.filled(0), or filled(numpy.nan)."
            )
            raise SourceError(msg)
        value = value.data
    try:
        array = np.asarray(value)
    except Exception as error:  # of a library that holds it elsewhere, as on a GPU
        msg = f"{where} is {type(value).__name__}, which NumPy cannot read: {error}."
        raise SourceError(msg) from error
    if not array.ndim or not hasattr(value, "shape"):
        msg = (
            f"{where} is {type(value).__name__}, not a matrix. Pass a NumPy array, a scipy sparse "
            "matrix or a DataFrame of numbers."
        )
        raise SourceError(msg)
    return dense_matrix(array, where)


def check_dtype(dtype: Any, where: str) -> np.dtype[Any]:
    """Return the dtype of a matrix if it is a bool, integer or float.

    Raises
    ------
    dao.errors.SourceError
        For complex numbers, strings and objects.
    """
    known: np.dtype[Any] = np.dtype(dtype)
    if known.kind not in "biuf" or known.itemsize > 8:
        msg = (
            f"{where} holds {known}; dao stores bool, integers and floats of up to 64 bits. "
            f"Convert it first{_CONVERSIONS.get(known.kind, '')}."
        )
        raise SourceError(msg)
    return known.newbyteorder("=")


_CONVERSIONS = {
    "O": ", as with matrix.astype('float32')",
    "c": ", as with matrix.real",
    "f": " with matrix.astype('float64')",
}


def _reader(array: Any, where: str, name: str) -> Callable[[int, int, Scratch], NDArray[Any]]:
    """Return how to read a stretch of an array, into a buffer where that can be."""
    aside = staged(array)
    chunked = None if aside else chunked_elements(array)
    shape = tuple(array.shape[1:])
    into_buffer = isinstance(array, h5py.Dataset) and array.dtype.kind in "iuf"

    def read(start: int, stop: int, scratch: Scratch) -> NDArray[Any]:
        try:
            if aside is not None and start < stop:
                return aside.read(start, stop)
            if not into_buffer or start == stop:
                return np.asarray(array[start:stop])
            n = (stop - start) * int(np.prod(shape, dtype=np.int64))
            out = scratch.take(name, n, array.dtype.newbyteorder("="))
            out = out.reshape(stop - start, *shape)
            if chunked is not None:
                chunked.read(start, stop, out, scratch)
            elif out.size:
                array.read_direct(out, np.s_[start:stop])
        except (OSError, RuntimeError, ValueError) as error:
            reason = why_unreadable(error, array) or f"{error}."
            msg = f"{where} cannot be read: {reason}"
            raise SourceError(msg) from error
        return out

    return read


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Return values in a native dtype that NumPy computes with."""
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype == np.float16:
        return values.astype(np.float32)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _misfit(data: Any, indices: Any, indptr: NDArray[np.int64], n_major: int) -> str | None:
    if len(indptr) != n_major + 1:
        return f"indptr has {len(indptr)} entries, not {n_major + 1}"
    if indptr[0] != 0 or (np.diff(indptr) < 0).any():
        return "indptr does not ascend from 0"
    if data.shape != indices.shape or data.shape[0] < indptr[-1]:
        return f"{data.shape[0]} values and {indices.shape[0]} indices for indptr {indptr[-1]}"
    return None
