"""Fused: rows decoded straight into the arrays of batches, where the backend can do that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.backend import FusedReader, RowTargets
from dao.batches.gather import csr
from dao.buffers import empty

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from dao.backend import Reader
    from dao.batches.spec import MatrixSpec

    Requests = Sequence[tuple[str, NDArray[np.int64]]]

__all__ = ["Final", "begin_final"]


@dataclass(frozen=True, slots=True)
class Final:
    """One matrix of a window in its final form, a piece for each stretch between cuts."""

    matrices: Sequence[Any]
    n_chunks: int
    n_bytes: int


def begin_final(
    reader: Reader,
    matrix: str,
    how: MatrixSpec,
    requests: Requests,
    order: NDArray[np.int64],
    cuts: Sequence[int],
) -> Callable[[], Final] | None:
    """Begin to decode a matrix into its final form; None if that cannot be done in one go.

    What is returned waits for the end.

    Parameters
    ----------
    reader, matrix, how
        What is read, and how it shall appear.
    requests
        Rows of datasets.
    order
        Where each of them, one request after another, is in the window.
    cuts
        Where the window is cut: from 0 to its length.
    """
    if not isinstance(reader, FusedReader) or not requests or how.checked:
        return None
    if not (how.dense or _shows_all(reader, matrix, how, requests)):
        return None
    found = reader.row_lengths(matrix, requests)
    if found is None:
        return None
    lengths = np.empty(len(order), np.int64)
    lengths[order] = np.concatenate(found)
    piece = np.repeat(np.arange(len(cuts) - 1), np.diff(cuts))
    if how.dense:
        return _dense(reader, matrix, how, requests, lengths, order, piece, cuts)
    return _csr(reader, matrix, how, requests, lengths, order, piece, cuts)


def _shows_all(reader: Any, matrix: str, how: MatrixSpec, requests: Requests) -> bool:
    manifest = reader.manifest()
    infos = [manifest.dataset(name).matrices[matrix] for name, _ in requests]
    return all(how.columns.is_identity(info.shape[1]) for info in infos)


def _csr(
    reader: FusedReader,
    matrix: str,
    how: MatrixSpec,
    requests: Requests,
    lengths: NDArray[np.int64],
    order: NDArray[np.int64],
    piece: NDArray[np.int64],
    cuts: Sequence[int],
) -> Callable[[], Final]:
    ends = np.concatenate([[0], np.cumsum(lengths)])
    bounds = ends[np.asarray(cuts)]
    sizes = np.diff(bounds).tolist()
    values = [empty(n, how.dtype) for n in sizes]
    indices = [empty(n, np.int32) for n in sizes]
    out, start = piece[order], (ends[:-1] - bounds[piece])[order]
    targets = RowTargets(values, out, start), RowTargets(indices, out, start)
    written = reader.write_csr(matrix, requests, *targets)

    def finish() -> Final:
        cost = written()
        matrices = []
        for i, (data, columns) in enumerate(zip(values, indices, strict=True)):
            indptr = ends[cuts[i] : cuts[i + 1] + 1] - bounds[i]
            if sizes[i] <= np.iinfo(np.int32).max:
                indptr = indptr.astype(np.int32)
            matrices.append(csr(data, columns, indptr, how.columns.n_vars, is_sorted=True))
        return Final(matrices, *cost)

    return finish


def _dense(
    reader: FusedReader,
    matrix: str,
    how: MatrixSpec,
    requests: Requests,
    lengths: NDArray[np.int64],
    order: NDArray[np.int64],
    piece: NDArray[np.int64],
    cuts: Sequence[int],
) -> Callable[[], Final]:
    width = how.columns.n_vars
    outs = [empty((n, width), how.dtype) for n in np.diff(cuts).tolist()]
    row = np.arange(len(order)) - np.asarray(cuts)[piece]
    # A row without values has nothing that is written, so nothing that makes it zero.
    for i in np.flatnonzero(lengths == 0).tolist():
        outs[piece[i]][row[i]] = 0
    targets = RowTargets(outs, piece[order], row[order] * width)
    written = reader.write_dense(matrix, requests, targets, how.columns.narrow_place)
    return lambda: Final(outs, *written())
