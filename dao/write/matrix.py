"""Matrices of sources, read piece by piece: CSR and dense in rows, CSC in columns.

A piece is always CSR over some rows; a CSC piece covers all rows but only some columns, so
that the transposition happens later, bucket by bucket (`dao.write.spool`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from dao.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

__all__ = ["Piece", "SourceMatrix", "compressed_matrix", "dense_matrix", "memory_matrix"]

_SAMPLE_ROWS = 2048
_SAMPLE_SLABS = 8


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a matrix as CSR: ``matrix`` row 0 is row ``first_row`` of the source."""

    first_row: int
    matrix: sp.csr_matrix


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
        ``read(a, b)`` -> CSR of rows a to b (of columns a to b for CSC, which still has all
        rows and the column numbers of the whole matrix).
    boundaries
        Cumulative stored elements along the axis that `read` slices.
    columns
        Names of the columns of an obsm that was a DataFrame.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    encoding: str
    n_stored: int
    read: Callable[[int, int], sp.csr_matrix]
    boundaries: NDArray[np.int64]
    columns: tuple[str, ...] | None = None

    def pieces(self, max_bytes: int) -> Iterator[Piece]:
        """Yield the whole matrix in pieces of about ``max_bytes`` (one line at the least)."""
        per_element = self.dtype.itemsize + 8
        limit = max(1, max_bytes // per_element)
        start, n = 0, len(self.boundaries) - 1
        while start < n:
            goal = self.boundaries[start] + limit
            stop = int(np.searchsorted(self.boundaries, goal, side="right")) - 1
            stop = min(max(stop, start + 1), n)
            yield Piece(0 if self.encoding == "csc" else start, self.read(start, stop))
            start = stop

    def detection(self) -> NDArray[np.float64]:
        """Return the share of cells in which each column is not zero, from a sample of rows."""
        n_obs, n_vars = self.shape
        if self.encoding == "csc":
            return np.diff(self.boundaries) / max(1, n_obs)
        counts = np.zeros(n_vars, np.float64)
        rows = 0
        for start in np.unique(np.linspace(0, n_obs, _SAMPLE_SLABS, endpoint=False, dtype=int)):
            stop = min(n_obs, int(start) + _SAMPLE_ROWS // _SAMPLE_SLABS)
            part = self.read(int(start), stop)
            counts += np.bincount(part.indices, minlength=n_vars)
            rows += part.shape[0]
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

    def read(start: int, stop: int) -> sp.csr_matrix:
        a, b = int(indptr[start]), int(indptr[stop])
        minor = _slice(indices, a, b, where)
        if len(minor) and not 0 <= minor.min() <= minor.max() < n_minor:
            msg = f"{where} is damaged: an index lies outside of its {n_minor} lines."
            raise SourceError(msg)
        parts = (_plain(_slice(data, a, b, where)), minor, indptr[start : stop + 1] - a)
        if encoding == "csr":
            return sp.csr_matrix(parts, shape=(stop - start, n_minor), copy=False)
        part = sp.csc_matrix(parts, shape=(n_minor, stop - start), copy=False).tocsr()
        return sp.csr_matrix((part.data, part.indices + start, part.indptr), shape=shape)

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

    def read(start: int, stop: int) -> sp.csr_matrix:
        return sp.csr_matrix(_plain(_slice(array, start, stop, where)))

    boundaries = np.arange(n_obs + 1, dtype=np.int64) * n_vars
    return SourceMatrix((n_obs, n_vars), dtype, "dense", n_obs * n_vars, read, boundaries, columns)


def memory_matrix(value: Any, where: str) -> SourceMatrix:
    """Return a matrix in memory: scipy sparse (any format), ndarray or DataFrame."""
    if hasattr(value, "columns") and hasattr(value, "to_numpy"):
        return dense_matrix(value.to_numpy(), where, tuple(str(c) for c in value.columns))
    if sp.issparse(value):
        sparse: Any = value
        matrix = sparse if sparse.format in {"csr", "csc"} else sparse.tocsr()
        parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
        return compressed_matrix(parts, matrix.shape, matrix.format, where)
    if value is None or not hasattr(value, "shape"):
        msg = f"{where} is {type(value).__name__}, not a matrix."
        raise SourceError(msg)
    return dense_matrix(np.asarray(value), where)


def check_dtype(dtype: Any, where: str) -> np.dtype[Any]:
    """Return the dtype of a matrix if it is a bool, integer or float.

    Raises
    ------
    dao.errors.SourceError
        For complex numbers, strings and objects.
    """
    known: np.dtype[Any] = np.dtype(dtype)
    if known.kind not in "biuf" or known.itemsize > 8:
        msg = f"{where} holds {known}, which is no number that dao can store."
        raise SourceError(msg)
    return known.newbyteorder("=")


def _slice(array: Any, start: int, stop: int, where: str) -> NDArray[Any]:
    try:
        return np.asarray(array[start:stop])
    except (OSError, RuntimeError, ValueError) as error:
        msg = f"{where} cannot be read: {error}."
        raise SourceError(msg) from error


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Return values in a native dtype that scipy can compute with."""
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
