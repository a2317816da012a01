"""obs columns as plain numbers, for frameworks whose tensors hold nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import ObsTypeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.obs import Column

__all__ = ["numeric_dtype", "numeric_obs"]


def numeric_dtype(name: str, column: Column) -> np.dtype[Any]:
    """Return the dtype of a column as a tensor, decided for the whole selection.

    Categoricals and strings are int64 codes with -1 for missing. Numbers and booleans are as
    they are; where whole numbers or booleans are missing they are float64 with NaN.

    Raises
    ------
    dao.errors.ObsTypeError
        For times and other values that are no numbers.
    """
    if column.categories is not None:
        return np.dtype(np.int64)
    if column.info.kind == "other":
        msg = (
            f"obs column {name!r} holds {column.info.dtype}, which no tensor can. Leave it out of "
            "obs_keys, or take it from store.obs by the batch's index."
        )
        raise ObsTypeError(msg)
    if column.info.nullable and column.info.kind in {"int", "bool"}:
        return np.dtype(np.float64)
    return column.values.dtype


def numeric_obs(name: str, column: Column) -> NDArray[Any]:
    """Return the values of a column as an array of `numeric_dtype`."""
    values = column.values.astype(numeric_dtype(name, column))
    if column.categories is None and column.missing.any():
        values[column.missing] = np.nan
    return values
