"""What the selected datasets hold of a matrix: encodings, elements, bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dao.errors import UnknownDatasetError, near_matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dao.format.manifest import DatasetInfo, MatrixInfo

__all__ = ["infos_of", "mean_nnz", "stored_row_bytes"]


def infos_of(name: str, datasets: Iterable[DatasetInfo]) -> list[MatrixInfo]:
    """Return what each dataset holds of a matrix.

    Raises
    ------
    dao.errors.UnknownDatasetError
        If one of them does not have it.
    """
    infos = []
    for dataset in datasets:
        if name not in dataset.matrices:
            kind, _, key = name.partition("/")
            have = dataset.layers if kind == "layers" else dataset.obsm
            msg = f"Dataset {dataset.id!r} has no {name!r}.{near_matches(key, have)}"
            raise UnknownDatasetError(msg)
        infos.append(dataset.matrices[name])
    return infos


def mean_nnz(infos: Sequence[MatrixInfo]) -> float:
    """Return the stored elements per row."""
    rows = sum(i.shape[0] for i in infos)
    return sum(i.nnz for i in infos) / rows if rows else 0.0


def stored_row_bytes(infos: Sequence[MatrixInfo]) -> int:
    """Return how many bytes a decoded row takes, on average."""
    total, rows = 0, 0
    for info in infos:
        size = info.dtype.itemsize
        if info.encoding == "csr":
            total += info.nnz * (size + np.dtype(info.arrays["indices"].dtype).itemsize)
        else:
            total += info.shape[0] * info.shape[1] * size
        rows += info.shape[0]
    return total // rows + 1 if rows else 1
