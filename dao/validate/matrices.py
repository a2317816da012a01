"""Matrices: every row is read, and what the Zarr metadata tell others is compared."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.backend import DenseRows, SparseRows
from dao.errors import DaoError
from dao.ranges import ranges

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dao.backend import Reader
    from dao.format.manifest import DatasetInfo, MatrixInfo
    from dao.validate.report import Report

__all__ = ["check_matrix"]

_ELEMENTS_AT_ONCE = 1 << 24


def check_matrix(
    reader: Reader,
    root: Path,
    dataset: DatasetInfo,
    name: str,
    matrix: MatrixInfo,
    report: Report,
    advance: Callable[[int], None],
) -> None:
    """Check a matrix of a dataset; ``advance`` is told how many rows were read.

    Raises
    ------
    dao.errors.DaoError
        At the first thing that is wrong.
    """
    where = f"{dataset.path}/{name}"
    _check_element(root / where, matrix)
    per_row = max(1, matrix.nnz // max(1, matrix.shape[0]), 1)
    if matrix.encoding == "dense":
        per_row = max(1, matrix.shape[1])
    step = max(1, _ELEMENTS_AT_ONCE // per_row)
    for start in range(0, matrix.shape[0], step):
        rows = np.arange(start, min(start + step, matrix.shape[0]))
        got = reader.rows(dataset.id, name, rows)
        report.n_values += _check_rows(got, where)
        advance(len(rows))
    report.n_files += sum(1 + len(a.shard_sizes) for a in matrix.arrays.values())
    if not matrix.shape[0]:
        reader.rows(dataset.id, name, np.empty(0, np.int64))


def _check_rows(got: SparseRows | DenseRows, where: str) -> int:
    if isinstance(got, DenseRows):
        return int(len(got.slots) * got.values.shape[1])
    if not len(got.starts):
        return 0
    elements = ranges(got.starts, got.lengths)
    indices = got.indices[elements].astype(np.int64)
    if len(indices) and indices.max() >= got.n_vars:
        msg = f"{where}: a column number lies outside of the {got.n_vars} columns."
        raise DaoError(msg)
    row_of = np.repeat(np.arange(len(got.lengths)), got.lengths)
    if ((np.diff(indices) <= 0) & (np.diff(row_of) == 0)).any():
        msg = f"{where}: column numbers do not ascend within a row."
        raise DaoError(msg)
    if (got.values[elements] == 0).any():
        msg = f"{where}: zeros are stored."
        raise DaoError(msg)
    return len(indices)


def _check_element(folder: Path, matrix: MatrixInfo) -> None:
    """Refuse Zarr metadata that tell other readers something else than the manifest tells dao."""
    try:
        attributes = json.loads((folder / "zarr.json").read_text())["attributes"]
    except (OSError, ValueError, KeyError, UnicodeDecodeError) as error:
        msg = f"{folder / 'zarr.json'} cannot be read: {error}."
        raise DaoError(msg) from error
    wanted: dict[str, Any] = {"encoding-type": "array"}
    if matrix.encoding == "csr":
        wanted = {"encoding-type": "csr_matrix", "shape": list(matrix.shape)}
    if any(attributes.get(k) != v for k, v in wanted.items()):
        msg = f"{folder / 'zarr.json'} does not describe an anndata element of this shape."
        raise DaoError(msg)
