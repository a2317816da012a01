"""Which study measured which features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dao.backend import Reader
    from dao.format.manifest import DatasetInfo

__all__ = ["measured", "measured_positions"]


def measured(
    reader: Reader,
    datasets: Sequence[DatasetInfo],
    var_names: pd.Index,
    positions: NDArray[np.int64],
) -> pd.DataFrame:
    """Return a boolean table, datasets x features.

    Parameters
    ----------
    datasets
        Of one feature space.
    var_names, positions
        The features, and their places in the space; -1 for those that it does not have.
    """
    table = np.zeros((len(datasets), len(var_names)), np.bool_)
    for row, dataset in zip(table, datasets, strict=True):
        row[:] = np.isin(positions, measured_positions(reader, dataset))
    return pd.DataFrame(table, index=pd.Index([d.id for d in datasets]), columns=var_names)


def measured_positions(reader: Reader, dataset: DatasetInfo) -> NDArray[np.int32]:
    """Return the places in the feature space of what a study measured, ascending."""
    table = reader.table(dataset.features.path, ["position"])
    positions: NDArray[np.int32] = table["position"].to_numpy()
    return positions
