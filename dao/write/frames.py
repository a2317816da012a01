"""A DataFrame of numbers as one array: every value exactly, or an error that names the column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import SourceError
from dao.warn import warn

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["table_values"]

# Whole numbers up to this one are exact in float64.
_EXACT = 1 << 53


def table_values(table: pd.DataFrame, where: str) -> np.ndarray[Any, Any]:
    """Return the values of a table of numbers as a matrix of their common dtype.

    Missing values of nullable columns become NaN.

    Raises
    ------
    dao.errors.SourceError
        If a column holds no numbers, or no dtype holds the values of all columns exactly.
    """
    columns = [_values(table.iloc[:, i], where) for i in range(table.shape[1])]
    if not columns:
        return np.empty((len(table), 0), np.float32)
    dtype = np.result_type(*(c.dtype for c in columns))
    flags = [str(n) for n, c in zip(table.columns, columns, strict=True) if c.dtype.kind == "b"]
    if flags and dtype.kind != "b":
        warn(
            f"{where}: its columns become one matrix of {dtype}, in which the flags of "
            f"{flags[0]!r} are 0 and 1. Put flags into obs, or into a table of their own."
        )
    for name, values in zip(table.columns, columns, strict=True):
        if dtype.kind == "f" and values.dtype.kind in "iu" and _too_large(values):
            msg = (
                f"{where}: the column {str(name)!r} holds whole numbers beyond 2^53, which the "
                f"common type of the columns ({dtype}) cannot hold exactly. Convert it first, or "
                "put it into a table of its own."
            )
            raise SourceError(msg)
    return np.column_stack([c.astype(dtype) for c in columns])


def _values(column: pd.Series, where: str) -> np.ndarray[Any, Any]:
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        return column.to_numpy()
    plain = getattr(dtype, "numpy_dtype", None)
    if not (isinstance(plain, np.dtype) and plain.kind in "biuf"):
        plain = getattr(getattr(dtype, "subtype", None), "type", None)  # of a sparse column
        plain = None if plain is None else np.dtype(plain)
    if plain is None or plain.kind not in "biuf":
        msg = (
            f"{where}: the column {str(column.name)!r} holds {dtype}, not numbers. Leave it out, "
            "or turn it into numbers, as with pandas.get_dummies."
        )
        raise SourceError(msg)
    missing = column.isna().to_numpy()
    if not missing.any() or plain.kind == "f":
        return (
            column.to_numpy(plain, na_value=np.nan) if plain.kind == "f" else _plain(column, plain)
        )
    known = _plain(column[~missing], plain)
    if _too_large(known):
        msg = (
            f"{where}: the column {str(column.name)!r} has missing values and whole numbers beyond "
            "2^53, which float64 cannot hold exactly. Convert it first."
        )
        raise SourceError(msg)
    result = np.full(len(column), np.nan)
    result[~missing] = known
    return result


def _plain(column: pd.Series, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    return np.asarray(column.array, dtype=dtype)


def _too_large(values: np.ndarray[Any, Any]) -> bool:
    if values.dtype.kind == "b" or values.dtype.itemsize < 8:
        return False
    return bool((values > _EXACT).any() or (values < -_EXACT).any())
