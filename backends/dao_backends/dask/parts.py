"""A request cut into parts, a part as it is read by a worker, and the parts put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.backend import DenseRows, SparseRows
from dao.kernels import copy_segments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dao.format.manifest import MatrixInfo
    from dao.lazy.shared import Shared

__all__ = ["Part", "cut_rows", "join_parts", "read_part"]

# Of stored values per part: so much that a task is worth its cost.
_PART_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that were read elsewhere, and nothing else.

    Attributes
    ----------
    values
        Of sparse rows, one after another; or dense rows.
    indices, lengths
        Of sparse rows; None for dense ones.
    n_chunks, n_bytes
        What was decoded.
    """

    values: NDArray[Any]
    indices: NDArray[Any] | None
    lengths: NDArray[np.int64] | None
    n_chunks: int
    n_bytes: int


def cut_rows(info: MatrixInfo, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Cut distinct rows, which ascend, into parts that are worth a task each."""
    nnz = info.nnz if info.encoding == "csr" else info.shape[0] * info.shape[1]
    row_bytes = max(1, nnz * info.dtype.itemsize // max(1, info.shape[0]))
    n_parts = -(-len(rows) * row_bytes // _PART_BYTES)
    return np.array_split(rows, max(1, n_parts))


def read_part(shared: Shared, dataset: str, matrix: str, rows: NDArray[np.int64]) -> Part:
    """Return rows of a matrix; this is what a worker runs."""
    got = shared.reader.rows(dataset, matrix, rows)
    cost = got.n_chunks, got.n_bytes
    if isinstance(got, DenseRows):
        return Part(got.values[got.slots], None, None, *cost)
    places = np.cumsum(got.lengths) - got.lengths
    values = np.empty(int(got.lengths.sum()), got.values.dtype)
    indices = np.empty(len(values), got.indices.dtype)
    for source, out in ((got.values, values), (got.indices, indices)):
        copy_segments(source, got.starts, got.lengths, out, places)
    return Part(values, indices, got.lengths, *cost)


def join_parts(
    info: MatrixInfo, parts: Sequence[Part], slots: NDArray[np.int64]
) -> SparseRows | DenseRows:
    """Return rows from the parts of one request; ``slots`` is which of them each row is."""
    cost = sum(p.n_chunks for p in parts), sum(p.n_bytes for p in parts)
    values = np.concatenate([p.values for p in parts])
    if info.encoding == "dense":
        return DenseRows(values, slots, *cost)
    indices = np.concatenate([p.indices for p in parts if p.indices is not None])
    lengths = np.concatenate([p.lengths for p in parts if p.lengths is not None])
    starts = np.cumsum(lengths) - lengths
    return SparseRows(values, indices, starts[slots], lengths[slots], info.shape[1], *cost)
