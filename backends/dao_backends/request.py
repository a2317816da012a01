"""Requests for rows, checked against the manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dao.errors import ArgumentError, UnknownDatasetError, near_matches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.format.manifest import DatasetInfo, Manifest

__all__ = ["checked_dataset", "checked_request"]


def checked_request(
    manifest: Manifest, dataset: str, matrix: str, rows: NDArray[np.int64]
) -> tuple[DatasetInfo, NDArray[np.int64]]:
    """Return the dataset, and the rows as int64.

    Raises
    ------
    dao.errors.UnknownDatasetError
        If there is no such dataset, or it has no such matrix.
    dao.errors.ArgumentError
        If rows are out of range.
    """
    info = checked_dataset(manifest, dataset, matrix)
    rows = np.asarray(rows, np.int64)
    n_obs = info.matrices[matrix].shape[0]
    if len(rows) and not 0 <= rows.min() <= rows.max() < n_obs:
        msg = f"Rows {rows.min()} to {rows.max()} of {info.path}/{matrix}, which has {n_obs}."
        raise ArgumentError(msg)
    return info, rows


def checked_dataset(manifest: Manifest, dataset: str, matrix: str) -> DatasetInfo:
    """Return the dataset, which has the matrix.

    Raises
    ------
    dao.errors.UnknownDatasetError
        If there is no such dataset, or it has no such matrix.
    """
    if dataset not in manifest.ordinals:
        msg = f"No dataset {dataset!r}.{near_matches(dataset, manifest.ordinals)}"
        raise UnknownDatasetError(msg)
    info = manifest.dataset(dataset)
    if matrix not in info.matrices:
        msg = f"Dataset {dataset!r} has no {matrix!r}.{near_matches(matrix, info.matrices)}"
        raise UnknownDatasetError(msg)
    return info
