"""obs columns as plain numbers, for frameworks whose tensors hold nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import ArgumentError, ObsTypeError
from dao.format.casts import always_fits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.obs import Column

__all__ = ["check_exact", "numeric_dtype", "numeric_obs"]


def numeric_dtype(name: str, column: Column) -> np.dtype[Any]:
    """Return the dtype of a column as a tensor, decided for the whole selection.

    Categoricals and strings are int64 codes with -1 for missing. Numbers and booleans are as
    they are; where whole numbers or booleans are missing they are float64 with NaN.

    Raises
    ------
    dao.errors.ObsTypeError
        For times and other values that are not numbers.
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
    """Return the values of a column as an array of `numeric_dtype`.

    Raises
    ------
    dao.errors.ArgumentError
        If a whole number becomes float64, which would round it.
    """
    dtype = numeric_dtype(name, column)
    check_exact(name, column, dtype)
    values = column.values.astype(dtype)
    if column.categories is None and column.missing.any():
        values[column.missing] = np.nan
    return values


def check_exact(name: str, column: Column, dtype: np.dtype[Any]) -> None:
    """Refuse a float dtype that would round whole numbers of a column.

    Raises
    ------
    dao.errors.ArgumentError
        With the first number that would be rounded, and what to do.
    """
    whole = column.values
    if dtype.kind != "f" or whole.dtype.kind not in "iu" or always_fits(whole.dtype, dtype):
        return
    floats = whole.astype(dtype)
    # A float from here on was rounded up, and the integer dtype does not hold it.
    beyond = floats >= 2.0 ** np.iinfo(whole.dtype).bits / (2 if whole.dtype.kind == "i" else 1)
    rounded = beyond | (np.where(beyond, 0, floats).astype(whole.dtype) != whole)
    rounded &= ~column.missing
    if rounded.any():
        msg = (
            f"obs column {name!r} has missing values in the store, so its whole numbers become "
            f"{dtype} with NaN, and {dtype} cannot hold {whole[rounded][0].item()} exactly. Leave "
            "the column out of obs_keys and take it from store.obs by the batch's index, or write "
            "it as a category or as text."
        )
        raise ArgumentError(msg)
