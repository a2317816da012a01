"""What the selected datasets hold of a matrix: encodings, elements, bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dao.errors import ArgumentError, UnknownDatasetError, near_matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dao.format.manifest import DatasetInfo, MatrixInfo

__all__ = ["check_alike", "infos_of", "mean_nnz", "stored_row_bytes"]


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


def check_alike(name: str, datasets: Iterable[DatasetInfo]) -> None:
    """Refuse an obsm whose columns are not the same, in the same order, in all datasets.

    Raises
    ------
    dao.errors.ArgumentError
        Naming two datasets that differ.
    """
    first: DatasetInfo | None = None
    for dataset in datasets:
        first = first or dataset
        one, other = first.matrices[name], dataset.matrices[name]
        if (one.columns, one.shape[1]) == (other.columns, other.shape[1]):
            continue
        key = name.partition("/")[2]
        msg = (
            f"obsm {key!r} has other columns in {first.id!r} ({_columns(one)}) than in "
            f"{dataset.id!r} ({_columns(other)}): they cannot be read together. "
        )
        same = one.columns and other.columns and sorted(one.columns) == sorted(other.columns)
        raise ArgumentError(
            msg + "Bring them into one order with store.compact()."
            if same
            else msg + f"Choose one of them: store.subset(dataset={first.id!r})."
        )


def _columns(info: MatrixInfo) -> str:
    if info.columns is None:
        return f"{info.shape[1]:,} without names"
    shown = ", ".join(map(repr, info.columns[:4]))
    return shown if len(info.columns) < 5 else f"{shown} and {len(info.columns) - 4} more"


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
