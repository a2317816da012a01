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

__all__ = ["measured"]


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
        own = reader.table(dataset.features.path, ["position"])["position"].to_numpy()
        row[:] = np.isin(positions, own)
    return pd.DataFrame(table, index=pd.Index([d.id for d in datasets]), columns=var_names)
