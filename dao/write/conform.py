"""Conform: obs of a study brought to the columns that a store declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

from dao.errors import ObsTypeError, near_matches

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from dao.format.declared import ObsColumn

__all__ = ["conform_obs"]

_SHOWN = 5
_NUMBERS = {"boolean", "integer", "floating", "mixed-integer-float"}


def conform_obs(
    obs: pd.DataFrame,
    schema: Mapping[str, ObsColumn] | None,
    label: str,
    text: Collection[str] = (),
) -> pd.DataFrame:
    """Return the declared columns of obs, in their order, with the declared types.

    Columns that are not declared are left out. A column that the study lacks is filled with its
    default, or left out where it has none. Categories keep the type of their values: numbers and
    booleans stay what they are.

    Parameters
    ----------
    text
        Columns whose categories the store already holds as text.

    Raises
    ------
    dao.errors.ObsTypeError
        With every column that does not fit: missing, of another type, or with other values.
    """
    if schema is None:
        return obs
    columns, problems = {}, []
    for name, declared in schema.items():
        if name not in obs.columns and declared.required:
            near = near_matches(name, obs.columns)
            problems.append(f"{name!r} is required and missing.{near}")
        elif name in obs.columns or declared.default is not None:
            values = obs[name] if name in obs.columns else pd.Series(None, obs.index, dtype=object)
            try:
                columns[name] = _conformed(values, declared, as_text=name in text)
            except (TypeError, ValueError) as error:
                problems.append(f"{name!r} {error}.")
    if problems:
        listed = "".join(f"\n  {p}" for p in problems)
        msg = (
            f"obs of {label} does not follow obs_schema:{listed}\nRename columns and values with "
            "dao.Source(..., obs={'store column': ('source column', {'old': 'new'})}), or give "
            "constants."
        )
        raise ObsTypeError(msg)
    return pd.DataFrame(columns, index=obs.index, copy=False)


def _conformed(values: pd.Series, declared: ObsColumn, *, as_text: bool) -> pd.Series:
    if declared.dtype is None and declared.values is None and declared.default is None:
        return values
    plain = values.astype(object).where(values.notna(), declared.default)
    if declared.dtype == "category":
        return _as_category(values, plain, declared, as_text=as_text)
    if declared.dtype == "bool":
        plain = _as_bool(plain)
    elif declared.dtype == "string":
        plain = plain.map(str, na_action="ignore")
    elif declared.dtype is not None:
        return _as_number(_allowed(plain, declared), np.dtype(declared.dtype))
    plain = _allowed(plain, declared)
    if declared.dtype is None and isinstance(values.dtype, pd.CategoricalDtype):
        return pd.Series(pd.Categorical(plain), values.index)
    return plain.infer_objects() if declared.dtype is None else plain


def _as_category(
    values: pd.Series, plain: pd.Series, declared: ObsColumn, *, as_text: bool
) -> pd.Series:
    known = list(values.cat.categories) if isinstance(values.dtype, pd.CategoricalDtype) else []
    if declared.values is not None:
        as_text = isinstance(next(iter(declared.values), ""), str)
    elif not as_text:
        kind = infer_dtype([*known, *plain.dropna()], skipna=True)
        as_text = kind not in _NUMBERS
    if as_text:
        plain = plain.map(str, na_action="ignore")
        known = [str(c) for c in known]
    plain = _allowed(plain, declared)
    if declared.values is not None:
        categories = list(declared.values)
    else:
        # The study's own ones come in their order, and before a default that they lack.
        categories = list(dict.fromkeys([*known, *sorted(plain.dropna().unique())]))
    index = pd.Index(categories, dtype=None if categories else object)
    if list(index) != categories:
        msg = (
            "holds large whole numbers next to fractions, which float64 would round: declare it "
            "as 'string'"
        )
        raise ValueError(msg)
    codes = index.get_indexer(plain.to_numpy(object))
    dtype = pd.CategoricalDtype(index, ordered=declared.ordered)
    return pd.Series(pd.Categorical.from_codes(codes, dtype=dtype), values.index)


def _allowed(plain: pd.Series, declared: ObsColumn) -> pd.Series:
    if declared.values is None:
        return plain
    strange = plain[plain.notna() & ~plain.isin(declared.values)].value_counts()
    if len(strange):
        shown = ", ".join(f"{v!r} ({n:,} cells)" for v, n in strange.head(_SHOWN).items())
        rest = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
        near = f".{near_matches(strange.index[0], declared.values)}"
        if isinstance(strange.index[0], str) and not isinstance(
            next(iter(declared.values), ""), str
        ):
            near = f", which is text, and those of obs_schema are not: {declared.values[0]!r}"
        msg = f"has values that are not allowed: {shown}{rest}{near}".rstrip(".")
        raise ValueError(msg)
    return plain


def _as_bool(plain: pd.Series) -> pd.Series:
    known = plain.dropna()
    if not known.map(lambda v: isinstance(v, bool | np.bool_) or v in (0, 1)).all():
        msg = f"holds {known.iloc[0]!r} and must hold True and False"
        raise TypeError(msg)
    return plain.map(bool, na_action="ignore").astype("boolean")


def _as_number(plain: pd.Series, dtype: np.dtype[Any]) -> pd.Series:
    missing = plain.isna().to_numpy()
    try:
        # Without the missing ones: beside them pandas would make whole numbers floats.
        known = pd.to_numeric(plain[~missing].infer_objects()).to_numpy()
    except (ValueError, TypeError) as error:
        msg = f"holds what is no number ({error})"
        raise TypeError(msg) from error
    numbers = np.full(len(plain), 0 if dtype.kind in "iu" else np.nan, dtype)
    (_check_whole if dtype.kind in "iu" else _check_float)(known, dtype)
    numbers[~missing] = known.astype(dtype)
    if dtype.kind == "f" or not missing.any():
        return pd.Series(numbers, plain.index)
    return pd.Series(pd.arrays.IntegerArray(numbers, missing), plain.index)


def _check_whole(known: Any, dtype: np.dtype[Any]) -> None:
    broken = known[known != np.floor(known)]
    if len(broken):
        msg = f"holds {broken[0].item()!r}, which is no whole number"
        raise ValueError(msg)
    info = np.iinfo(dtype)
    if len(known) and (known.min() < info.min or known.max() > info.max):
        msg = f"holds numbers beyond {dtype}"
        raise ValueError(msg)


def _check_float(known: Any, dtype: np.dtype[Any]) -> None:
    """Refuse whole numbers that would be rounded, and numbers that would become infinite."""
    with np.errstate(over="ignore"):
        floats = known.astype(dtype)
    if np.isinf(floats[np.isfinite(known)]).any():
        msg = f"holds numbers beyond {dtype}"
        raise ValueError(msg)
    limit = 2.0 ** (np.finfo(dtype).nmant + 1)  # below it all whole numbers are exact
    large = np.isfinite(known) & (np.abs(floats) >= limit)
    large &= known.dtype.kind in "iu" or known == np.floor(known)
    for value, rounded in zip(known[large].tolist(), floats[large].tolist(), strict=True):
        if int(rounded) != int(value):
            msg = f"holds {value!r}, which {dtype} would round"
            raise ValueError(msg)
