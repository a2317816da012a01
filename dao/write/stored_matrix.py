"""A matrix of a portion of a store, decoded piece by piece: the features that were measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dao.backend import FusedReader
from dao.batches.columns import ColumnMap
from dao.batches.fetch import fetch
from dao.batches.locate import locate
from dao.batches.segment import segment
from dao.batches.spec import MatrixSpec
from dao.errors import ArgumentError, SourceError
from dao.matrices import common_dtype, infos_of
from dao.write.matrices import plain_dtype
from dao.write.matrix import SourceMatrix
from dao.write.rows import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.format.manifest import MatrixInfo
    from dao.write.portion import Portion
    from dao.write.workers import Scratch

__all__ = ["measured_columns", "stored_matrix"]


def measured_columns(portion: Portion) -> NDArray[np.int64]:
    """Return the places in the feature space of the chosen features that were measured.

    In the order in which they were chosen. The datasets have all measured the same.
    """
    path = portion.datasets[0].features.path
    measured = portion.store.reader.table(path, ["position"])["position"].to_numpy()
    positions = portion.store.feature_positions()
    columns: NDArray[np.int64] = positions[np.isin(positions, measured)]
    if not len(columns):
        msg = f"None of the chosen features was measured in {portion.label}."
        raise SourceError(msg)
    return columns


def stored_matrix(portion: Portion, name: str) -> SourceMatrix:
    """Return X, a layer or an obsm, which is decoded piece by piece.

    Raises
    ------
    dao.errors.UnknownDatasetError
        If a dataset does not have it.
    dao.errors.SourceError
        If datasets have it of widths or types that do not go together.
    """
    store, infos = portion.store, infos_of(name, portion.datasets)
    reader, manifest, selection = store.reader, store.manifest, store.selection
    dtype = _common_dtype(portion, name, infos)
    shown = np.arange(infos[0].shape[1]) if name.startswith("obsm/") else measured_columns(portion)
    columns = ColumnMap(shown.astype(np.int32))
    how = {name: MatrixSpec.of(infos, columns, plain_dtype(dtype), dense=False)}

    def read(start: int, stop: int, _: Scratch) -> Rows:
        n = stop - start
        rows = locate(manifest, selection, np.arange(start, stop), [0, n])
        matrix: Any = segment(fetch(reader, how, rows), 0, how).matrices[name]
        return Rows(matrix.indptr.astype(np.int64), matrix.indices, matrix.data)

    dense = all(i.source_encoding == "dense" for i in infos)
    boundaries = _boundaries(portion, name)
    return SourceMatrix(
        (store.n_obs, len(shown)),
        dtype,
        "dense" if dense else "csr",
        int(boundaries[-1]),
        read,
        boundaries,
        infos[0].columns,
    )


def _common_dtype(portion: Portion, name: str, infos: list[MatrixInfo]) -> np.dtype[Any]:
    if name.startswith("obsm/") and len({(i.shape[1], i.columns) for i in infos}) > 1:
        msg = f"{name} of {portion.label} has different columns: they cannot be one dataset."
        raise SourceError(msg)
    try:
        return common_dtype(name, infos, [np.dtype(i.source_dtype) for i in infos])
    except ArgumentError as error:
        msg = (
            f"{name} of {portion.label} has types that no type holds exactly: they cannot be one "
            "dataset."
        )
        raise SourceError(msg) from error


def _boundaries(portion: Portion, name: str) -> NDArray[np.int64]:
    """Return the stored elements before each row; even shares where the reader does not say."""
    parts = [np.zeros(1, np.int64)]
    reader = portion.store.reader
    for ordinal, rows in portion.store.selection.parts():
        dataset = portion.store.manifest.datasets[ordinal]
        info = dataset.matrices[name]
        wanted = np.arange(dataset.n_obs) if rows is None else rows.astype(np.int64)
        lengths = None
        if info.encoding == "csr" and isinstance(reader, FusedReader):
            lengths = reader.row_lengths(name, [(dataset.id, wanted)])
        if lengths is None:
            lengths = [np.full(len(wanted), -(-_n_stored(info) // max(1, dataset.n_obs)))]
        parts += lengths
    return np.cumsum(np.concatenate(parts))


def _n_stored(info: MatrixInfo) -> int:
    return info.nnz if info.encoding == "csr" else info.shape[0] * info.shape[1]
