"""Join: columns of a study brought to the categories of the store that it is appended to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dao.errors import ObsTypeError
from dao.format.categories import parse_category
from dao.write.columns import simplified

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["StoredCategories", "join_categories"]

# What pandas calls the values of a column -> the dtypes of categories that they may join.
_JOINS = {
    "string": {"string"},
    "boolean": {"bool"},
    "integer": {"int64", "uint64", "float64"},
    "floating": {"int64", "uint64", "float64"},
}


@dataclass(frozen=True)
class StoredCategories:
    """A categorical column of a store.

    Attributes
    ----------
    dtype
        Of its categories.
    order
        The categories, as text, where they have an order.
    """

    dtype: str
    order: Sequence[str] | None = field(default=None)


def join_categories(
    obs: pd.DataFrame, stored: Mapping[str, StoredCategories], label: str
) -> pd.DataFrame:
    """Return obs with those columns categorical that are so in the store.

    Text joins categories of text, and so do numbers and booleans theirs: codes of the store stay.
    A column without an order takes that of the store, if the store knows all its values.

    Raises
    ------
    dao.errors.ObsTypeError
        If a column of the store is ordered, and the study has a value that is not in it.
    """
    joined = {}
    for name in (n for n in obs.columns if n in stored):
        values, there = simplified(obs[name]), stored[name]
        if not isinstance(values.dtype, pd.CategoricalDtype):
            values = _as_categories(values, there)
        if isinstance(values.dtype, pd.CategoricalDtype):
            if there.order is not None and not values.cat.ordered:
                values = _in_order(values, there, name, label)
            joined[name] = values
    return obs.assign(**joined) if joined else obs


def _as_categories(values: pd.Series, stored: StoredCategories) -> pd.Series:
    """Return plain values as categories where they are of the kind of those in the store."""
    kind = _kind(values)
    if stored.dtype not in _JOINS.get(kind, ()):
        return values
    known = values.dropna()
    if kind == "floating" and stored.dtype != "float64" and bool((known % 1 == 0).all()):
        known = known.astype("int64")  # whole numbers some of which are missing
    listed: Any = sorted(known.unique().tolist())
    codes = pd.Index(listed, dtype=object).get_indexer(pd.Index(known, dtype=object))
    places = np.full(len(values), -1, np.int64)
    places[values.notna().to_numpy()] = codes
    return pd.Series(pd.Categorical.from_codes(places, listed), values.index, name=values.name)


def _kind(values: pd.Series) -> str:
    if not isinstance(values.dtype, pd.ArrowDtype):
        return str(pd.api.types.infer_dtype(values, skipna=True))
    kinds = {"b": "boolean", "i": "integer", "u": "integer", "f": "floating"}
    if pd.api.types.is_string_dtype(values.dtype):
        return "string"
    return kinds.get(str(values.dtype.kind), "")


def _in_order(values: pd.Series, stored: StoredCategories, name: str, label: str) -> pd.Series:
    order = [parse_category(text, stored.dtype) for text in stored.order or ()]
    used = values.cat.remove_unused_categories().cat.categories
    new = [v for v in used.tolist() if v not in set(order)]
    if new:
        shown = ", ".join(map(repr, new[:5])) + (", …" if len(new) > 5 else "")
        msg = (
            f"obs column {name!r} is ordered in the store ({', '.join(map(repr, order))}), and the "
            f"place of {shown} of {label} in that order is unknown. Order the categories of the "
            "study with pd.Categorical(values, categories=[...], ordered=True): new ones go behind "
            "those of the store. Or rename its values or the column with dao.Source(..., obs=...)."
        )
        raise ObsTypeError(msg)
    return values.cat.set_categories(order, ordered=True)
