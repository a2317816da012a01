"""A study that stays open: its obs, its features, and its matrices as a store would have them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import ArgumentError, SourceError
from dao.format.encodings import ValueRange, index_dtype, narrowest_dtype
from dao.format.manifest import ArrayInfo, FileInfo, MatrixInfo
from dao.sizes import format_bytes
from dao.write.arrange import Arrangement, repeated_targets
from dao.write.matrices import plain_dtype, returned_dtype
from dao.write.matrix import memory_matrix
from dao_backends.foreign.aligned import AlignedMatrix, value_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.write.inspect import Study
    from dao.write.matrix import SourceMatrix
    from dao.write.obs import ObsTable
    from dao.write.opened import OpenSource
    from dao.write.workers import Scratch

__all__ = ["OpenStudy", "align", "by_rows", "describe"]

_NO_FILE = FileInfo("", 0, "")
_CSC_ELEMENT_BYTES = 16


@dataclass(frozen=True)
class OpenStudy:
    """A study and where it is read from.

    Attributes
    ----------
    obs
        In source order.
    rows
        Source rows in the order of the store.
    """

    study: Study
    opened: OpenSource
    obs: ObsTable
    rows: NDArray[np.int64]


def by_rows(matrix: SourceMatrix, where: str, memory: int, scratch: Scratch) -> SourceMatrix:
    """Return a matrix that can be read by rows: itself, or a small one by columns turned around.

    Raises
    ------
    dao.errors.SourceError
        If it is stored by columns and too large for that.
    """
    if matrix.encoding != "csc":
        return matrix
    needed = matrix.n_stored * _CSC_ELEMENT_BYTES
    if needed > memory:
        msg = (
            f"{where} is stored by columns (CSC), so its cells cannot be read one by one, and to "
            f"turn it around in memory takes {format_bytes(needed)}. Convert it once with "
            "dao.write_store, or give load_store more memory=."
        )
        raise SourceError(msg)
    turned = matrix.read(0, matrix.shape[1], scratch).to_scipy(matrix.shape[0]).T.tocsr()
    return replace(memory_matrix(turned, where), encoding="csc", dtype=matrix.dtype)


def align(
    name: str,
    matrix: SourceMatrix,
    study: Study,
    rows: NDArray[np.int64],
    targets: NDArray[np.int64],
    n_vars: int,
) -> AlignedMatrix:
    """Return a matrix of a study over its feature space; its dtype is still that of the source.

    Raises
    ------
    dao.errors.ArgumentError
        If a layer has other columns than X.
    """
    dense = name.startswith("obsm/")
    if dense:
        columns = study.obsm[name]
        targets, n_vars = np.array(columns.places, np.int64), matrix.shape[1]
        matrix = replace(matrix, columns=columns.names)
    elif len(targets) != matrix.shape[1]:
        label, layer = study.source.label, study.source.layer or "X"
        msg = (
            f"{name} of {label} has {matrix.shape[1]} columns and X ({layer}) has {len(targets)}: "
            "they cannot share genes."
        )
        raise ArgumentError(msg)
    narrow = targets.astype(np.int32)
    plain = plain_dtype(matrix.dtype)
    summed = bool(len(repeated_targets(narrow)))
    arrangement = Arrangement(narrow, n_vars, plain, summed=summed)
    return AlignedMatrix(matrix, rows, arrangement, plain, dense)


def describe(matrix: AlignedMatrix, scratch: Scratch) -> tuple[AlignedMatrix, MatrixInfo]:
    """Return the matrix in the dtype that holds all of its values, and what a manifest says of it.

    Integers of more than 16 bits, or summed ones, are read through once: whether they can be
    given as float32 depends on how large they are.
    """
    source, plain = matrix.source, matrix.dtype
    summed = matrix.arrangement.summed
    values = _known_range(source.dtype, summed=summed)
    if values is None:
        values = value_range(source, matrix.rows, matrix.arrangement, scratch)
    dtype = narrowest_dtype(values, plain) if plain.kind != "f" else plain
    returned = returned_dtype(source.dtype, dtype, values, summed=summed)
    shape = len(matrix.rows), matrix.arrangement.n_vars
    nnz = _estimated_nnz(source, len(matrix.rows))
    info = MatrixInfo(
        encoding="dense" if matrix.dense else "csr",
        shape=shape,
        nnz=nnz,
        source_dtype=str(returned),
        source_encoding=source.encoding,
        minimum=values.minimum,
        maximum=values.maximum,
        arrays=_arrays(shape, nnz, dtype, dense=matrix.dense),
        columns=source.columns,
    )
    return replace(matrix, dtype=dtype), info


def _known_range(dtype: np.dtype[Any], *, summed: bool) -> ValueRange | None:
    if dtype.kind == "f":
        return ValueRange(-np.inf, np.inf, integral=False)
    if summed or dtype.itemsize > 2:
        return None
    if dtype.kind == "b":
        return ValueRange(0, 1)
    limits: np.iinfo[Any] = np.iinfo(dtype)
    return ValueRange(float(limits.min), float(limits.max))


def _estimated_nnz(source: SourceMatrix, n_obs: int) -> int:
    if source.encoding == "dense":
        return int(source.detection().sum() * n_obs)
    return source.n_stored * n_obs // max(1, source.shape[0])


def _arrays(
    shape: tuple[int, int], nnz: int, dtype: np.dtype[Any], *, dense: bool
) -> dict[str, ArrayInfo]:
    """Return the arrays that a store would have: there are no shards and no files."""
    if dense:
        return {"": ArrayInfo(str(dtype), shape, 1, 1, (), _NO_FILE)}
    indices = index_dtype(shape[1])
    kinds = {"data": (dtype, nnz), "indices": (indices, nnz), "indptr": ("int64", shape[0] + 1)}
    return {
        name: ArrayInfo(str(kind), (n,), 1, 1, (), _NO_FILE) for name, (kind, n) in kinds.items()
    }
