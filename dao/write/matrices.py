"""One matrix of a study from source to store: align and measure, shuffle, encode."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from dao.format.encodings import ValueRange, dense_is_smaller, index_dtype, narrowest_dtype
from dao.format.manifest import MatrixInfo
from dao.kernels import value_range
from dao.write.encode import Target, write_csr, write_dense
from dao.write.matrix import Piece, SourceMatrix
from dao.write.spool import RowSpool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

__all__ = ["RowOrder", "write_matrix"]

# Shares of the memory budget: a piece of the source is held about four times while it is
# aligned, a bucket about four times while it is sorted, and shards wait in between.
_PIECE_SHARE = 16
_BUCKET_SHARE = 10


@dataclass(frozen=True, slots=True)
class RowOrder:
    """Where rows go: ``destinations[i]`` is the place of source row i in the store, or -1."""

    destinations: NDArray[np.int64]
    n_obs: int


def write_matrix(
    matrix: SourceMatrix,
    target: Target,
    order: RowOrder,
    *,
    columns: NDArray[np.int64] | None,
    n_vars: int,
    memory: int,
    force_dense: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> MatrixInfo:
    """Write one matrix of a study.

    Parameters
    ----------
    columns
        Place in the feature space of each source column, -1 to leave it out; None for obsm.
    n_vars
        Columns of the matrix in the store.
    memory
        Bytes to stay within.
    progress
        Called with the number of source elements read since the last call.
    """
    values = ValueRange()
    nnz = 0
    scratch = (target.root / target.path).parent
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".spool-", dir=scratch) as folder:
        spool = RowSpool(
            order.destinations,
            n_vars,
            estimated_bytes=matrix.n_stored * (matrix.dtype.itemsize + 4),
            max_bytes=memory // _BUCKET_SHARE,
            folder=Path(folder),
        )
        for piece in _aligned(matrix, columns, n_vars, memory // _PIECE_SHARE, progress):
            spool.add(piece.first_row, piece.matrix)
            kept = _kept_values(piece, order.destinations)
            values |= ValueRange(*value_range(kept))
            nnz += len(kept)
        shape = order.n_obs, n_vars
        return _encode(matrix, target, spool, shape, nnz, values, force_dense=force_dense)


def _encode(
    matrix: SourceMatrix,
    target: Target,
    spool: RowSpool,
    shape: tuple[int, int],
    nnz: int,
    values: ValueRange,
    *,
    force_dense: bool,
) -> MatrixInfo:
    dtype = narrowest_dtype(values, matrix.dtype)
    indices = index_dtype(shape[1])
    dense = force_dense or dense_is_smaller(shape, nnz, dtype.itemsize, indices.itemsize)
    if dense:
        arrays = write_dense(target, spool.blocks(), shape, dtype)
    else:
        arrays = write_csr(target, spool.blocks(), shape, nnz, dtype, indices)
    return MatrixInfo(
        encoding="dense" if dense else "csr",
        shape=shape,
        nnz=nnz,
        source_dtype=str(_returned_dtype(matrix.dtype, dtype, values)),
        source_encoding=matrix.encoding,
        minimum=values.minimum,
        maximum=values.maximum,
        arrays=arrays,
        columns=matrix.columns,
    )


def _aligned(
    matrix: SourceMatrix,
    columns: NDArray[np.int64] | None,
    n_vars: int,
    max_bytes: int,
    progress: Callable[[int], None],
) -> Iterator[Piece]:
    """Yield pieces whose columns are those of the store: sorted, summed, without zeros."""
    repeats = _repeated_targets(columns)
    if matrix.encoding == "csc" and repeats is not None and columns is not None:
        # Columns that are summed must meet in one piece; all others follow without them.
        yield Piece(0, _align(_columns_of(matrix, repeats), columns, n_vars, summed=True))
        columns = columns.copy()
        columns[repeats] = -1
    for piece in matrix.pieces(max_bytes):
        progress(piece.matrix.nnz if matrix.encoding != "dense" else _size(piece.matrix))
        yield Piece(
            piece.first_row,
            _align(piece.matrix, columns, n_vars, summed=repeats is not None),
        )


def _align(
    piece: sp.csr_matrix, columns: NDArray[np.int64] | None, n_vars: int, *, summed: bool
) -> sp.csr_matrix:
    data: NDArray[Any] = piece.data
    indices: NDArray[Any] = piece.indices
    if columns is not None:
        indices = columns[indices]
    keep = (indices >= 0) & (data != 0)
    indptr: NDArray[Any] = piece.indptr
    if not keep.all():
        data, indices = data[keep], indices[keep]
        kept_before = np.concatenate([[0], np.cumsum(keep)])
        indptr = kept_before[piece.indptr]
    if summed and data.dtype.kind in "iu":
        # Sums of narrow integers must not wrap around.
        data = data.astype(np.int64 if data.dtype.kind == "i" else np.uint64)
    aligned = sp.csr_matrix(
        (data, indices.astype(np.int32, copy=False), indptr), shape=(piece.shape[0], n_vars)
    )
    if not aligned.has_canonical_format:
        # Sorting is in place, and the values may still be those of the user's own matrix.
        aligned.data = aligned.data.copy()
        aligned.sum_duplicates()
        aligned.eliminate_zeros()
    return aligned


def _repeated_targets(columns: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
    """Return the source columns that share their place with another one, if there are any."""
    if columns is None or not (columns >= 0).any():
        return None
    counts = np.bincount(columns[columns >= 0])
    repeated = np.flatnonzero((columns >= 0) & (counts[np.maximum(columns, 0)] > 1))
    return repeated if len(repeated) else None


def _columns_of(matrix: SourceMatrix, columns: NDArray[np.int64]) -> sp.csr_matrix:
    parts = [matrix.read(int(c), int(c) + 1) for c in columns]
    rows = np.concatenate([np.repeat(np.arange(p.shape[0]), np.diff(p.indptr)) for p in parts])
    indices = np.concatenate([p.indices for p in parts])
    data = np.concatenate([p.data for p in parts])
    order = np.argsort(rows, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=matrix.shape[0]))])
    return sp.csr_matrix((data[order], indices[order], indptr), shape=matrix.shape)


def _kept_values(piece: Piece, destinations: NDArray[np.int64]) -> NDArray[Any]:
    n_rows = piece.matrix.shape[0]
    places = destinations[piece.first_row : piece.first_row + n_rows]
    if (places >= 0).all():
        return np.asarray(piece.matrix.data)
    return np.asarray(piece.matrix.data[np.repeat(places >= 0, np.diff(piece.matrix.indptr))])


def _returned_dtype(
    source: np.dtype[Any], stored: np.dtype[Any], values: ValueRange
) -> np.dtype[Any]:
    """Return the source's dtype, or a wider one where summed features outgrew it."""
    if source.kind in "iu" and values.maximum > np.iinfo(source).max:
        return stored
    if source.kind == "b" and values.maximum > 1:
        return stored
    return source


def _size(matrix: sp.csr_matrix) -> int:
    return int(matrix.shape[0]) * int(matrix.shape[1])
