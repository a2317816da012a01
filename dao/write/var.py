"""The columns of var as a store can hold them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

__all__ = ["storable_var"]

# Columns of objects that are all of one kind get its dtype.
_OF_OBJECTS = {"boolean": "boolean", "integer": "Int64", "floating": "float64"}


_FITTING = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_timestamp,
    pa.types.is_duration,
    pa.types.is_date,
    pa.types.is_null,
)


def storable_var(table: pd.DataFrame) -> pd.DataFrame:
    """Return var columns as parquet can hold them; what it cannot becomes text."""
    columns = {name: _storable_column(table[name]) for name in table.columns}
    return pd.DataFrame(columns, index=table.index)


def _typed(values: pd.Series, kind: str) -> pd.Series | None:
    """Return objects of one kind with its dtype; None if they do not fit into it."""
    dtype: Any = _OF_OBJECTS[kind]
    try:
        typed: pd.Series = values.astype(dtype)
    except (OverflowError, TypeError, ValueError):
        return None
    return typed


def _storable_column(values: pd.Series) -> pd.Series:
    if values.dtype == object:
        kind = pd.api.types.infer_dtype(values, skipna=True)
        typed = _typed(values, kind) if kind in _OF_OBJECTS else None
        if typed is not None:
            return typed
        if kind in _OF_OBJECTS or kind.startswith("mixed") or kind in {"complex", "bytes"}:
            return values.map(str, na_action="ignore")
    elif isinstance(values.dtype, pd.SparseDtype):
        sparse: Any = values.sparse
        values = sparse.to_dense()
    try:
        arrow = pa.array(values, from_pandas=True).type
    except (pa.ArrowException, TypeError, ValueError):
        arrow = None
    if arrow is not None:
        inner = arrow.value_type if pa.types.is_dictionary(arrow) else arrow
        if any(fits(inner) for fits in _FITTING):
            return _with_plain_order(values)
    return values.astype(object).map(str, na_action="ignore")


def _with_plain_order(values: pd.Series) -> pd.Series:
    """Return categories that are not text as plain values, where their order would be lost."""
    if not isinstance(values.dtype, pd.CategoricalDtype):
        return values
    categories = values.cat.categories
    text = pd.api.types.infer_dtype(categories) in {"string", "empty"}
    if text or not values.cat.ordered or categories.is_monotonic_increasing:
        return values
    return values.astype(categories.dtype) if values.notna().all() else values.astype(object)
