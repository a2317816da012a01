"""Values of a column renamed: the dtype, and the order of categories, stay where they can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dao.write.columns import simplified

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["is_missing", "known_values", "rename_values"]

_NUMBERS = {"integer", "floating", "mixed-integer-float"}


def is_missing(value: Any) -> bool:
    """Return whether a value stands for a missing one: None, NaN, NaT or pandas.NA."""
    return pd.api.types.is_scalar(value) and bool(pd.isna(value))


def known_values(column: pd.Series) -> list[Any]:
    """Return the values of a column; of categories all, in their order."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return list(column.cat.categories.tolist())
    return list(pd.Index(column.dropna().unique()).tolist())


def rename_values(column: pd.Series, values: Mapping[Any, Any]) -> pd.Series:
    """Return a column with values replaced; those that are not named stay.

    Parameters
    ----------
    values
        Old value, or its text -> new value. What stands for missing may be on both sides.
    """
    column = simplified(column)
    known = known_values(column)
    # Recipes are text, so that 1 may be written as "1".
    targets = [values.get(k, values.get(str(k), k)) for k in known]
    filler = next((new for old, new in values.items() if is_missing(old)), None)
    targets = [None if is_missing(t) else t for t in [*targets, filler]]
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _categorical(column, targets)
    codes = pd.Index(known, dtype=object).get_indexer(pd.Index(column, dtype=object))
    codes = np.where(column.isna(), len(known), codes)
    return _plain(targets, codes, column)


def _categorical(column: pd.Series, targets: Sequence[Any]) -> pd.Series:
    merged = list(dict.fromkeys(t for t in targets if t is not None))
    runs = [t for i, t in enumerate(targets[:-1]) if i == 0 or targets[i - 1] != t]
    in_order = len(runs) == len(set(runs)) and (targets[-1] is None or targets[-1] in runs)
    dtype = pd.CategoricalDtype(merged, ordered=bool(column.cat.ordered) and in_order)
    place = {t: i for i, t in enumerate(merged)}
    codes = np.array([place.get(t, -1) for t in targets])[column.cat.codes.to_numpy()]
    return pd.Series(pd.Categorical.from_codes(codes, dtype=dtype), index=column.index)


def _plain(targets: list[Any], codes: Any, column: pd.Series) -> pd.Series:
    if len(targets) - 1 not in codes:
        targets[-1] = None  # nothing is missing
    known = [t for t in targets if t is not None]
    kind = pd.api.types.infer_dtype(known, skipna=False)
    dtype = _number(known, column.dtype) if kind in _NUMBERS else None
    if dtype is not None:
        gaps = np.array([t is None for t in targets])
        numbers = np.array([0 if t is None else t for t in targets], dtype)
        return _masked(numbers[codes], gaps[codes], column.index)
    objects = np.empty(len(targets), object)
    objects[:] = targets
    values = pd.Series(objects[codes], column.index, dtype=object)
    if kind == "string":
        return values.astype("category")
    if kind == "boolean":
        return values.astype("boolean" if values.isna().any() else bool)
    if kind.startswith(("datetime", "timedelta")):
        return _times(values.where(values.notna(), pd.NaT), column.dtype)
    return values


def _masked(numbers: NDArray[Any], gaps: NDArray[np.bool_], index: pd.Index) -> pd.Series:
    if numbers.dtype.kind == "f":
        return pd.Series(np.where(gaps, numbers.dtype.type(np.nan), numbers), index)
    if not gaps.any():
        return pd.Series(numbers, index)
    return pd.Series(pd.arrays.IntegerArray(numbers, gaps), index)


def _times(values: pd.Series, dtype: Any) -> pd.Series:
    found = values.infer_objects()
    if isinstance(dtype, pd.ArrowDtype) or found.dtype == object:
        return found
    try:
        again = found.astype(dtype)
    except (TypeError, ValueError):
        return found
    return again if (again.dropna() == found.dropna()).all() else found


def _number(known: Sequence[Any], old: Any) -> np.dtype[Any] | None:
    """Return the dtype of the old values if it holds the new ones, else a wider one that does."""
    is_number = pd.api.types.is_numeric_dtype(old) and not pd.api.types.is_bool_dtype(old)
    own = [np.dtype(getattr(old, "numpy_dtype", old))] if is_number else []
    wider = [np.dtype(t) for t in (np.int64, np.uint64, np.float64)]
    return next((d for d in [*own, *wider] if all(_holds(d, t) for t in known)), None)


def _holds(dtype: np.dtype[Any], number: Any) -> bool:
    """Return whether a dtype holds a number: whole ones exactly, fractions rounded."""
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return isinstance(number, int | np.integer) and bool(info.min <= number <= info.max)
    if isinstance(number, int | np.integer):
        return bool(abs(int(number)) <= 2**1023 and int(dtype.type(number)) == number)
    return bool(not np.isfinite(number) or abs(number) <= np.finfo(dtype).max)
