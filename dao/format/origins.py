"""Origins: which datasets the cells of a dataset were in before they were merged or copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dao.errors import CorruptStoreError
from dao.format.manifest import OriginInfo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from dao.format.manifest import DatasetInfo

__all__ = ["joined_origins", "origins_in"]


def joined_origins(parts: Iterable[tuple[DatasetInfo, int]]) -> tuple[OriginInfo, ...]:
    """Return the origins of datasets whose source rows are counted through, one after another.

    Parameters
    ----------
    parts
        Each dataset, and how many source rows are counted for it.
    """
    found, start = [], 0
    for dataset, n_rows in parts:
        for origin in dataset.origins or (OriginInfo(dataset.id, 0, n_rows),):
            rows = min(origin.rows, n_rows - origin.first)
            if rows > 0:
                found.append(OriginInfo(origin.id, start + origin.first, rows))
        start += n_rows
    return tuple(found)


def origins_in(dataset: DatasetInfo, source_rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each source row of a dataset which of its origins it lies in.

    All are 0 where it has none.

    Raises
    ------
    dao.errors.CorruptStoreError
        If a row lies in none of them.
    """
    if not dataset.origins:
        return np.zeros(len(source_rows), np.int64)
    first = np.array([o.first for o in dataset.origins], np.int64)
    stop = first + np.array([o.rows for o in dataset.origins], np.int64)
    found = np.searchsorted(first, source_rows, side="right") - 1
    outside = (found < 0) | (source_rows >= stop[found])
    if outside.any():
        msg = (
            f"{dataset.obs.file.path} has a source row {int(source_rows[outside][0]):,}, which is "
            f"in none of the origins of {dataset.id!r} in the manifest. Restore it from a copy."
        )
        raise CorruptStoreError(msg)
    return found
