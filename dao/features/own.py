"""What the selected studies themselves say of the features, where they agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

    from dao.backend import Reader
    from dao.format.manifest import DatasetInfo

__all__ = ["agreed_columns", "is_text", "own_names", "own_table", "rows_of", "with_own_columns"]

_PREFIX = "var:"


def with_own_columns(
    table: pd.DataFrame, reader: Reader, datasets: Sequence[DatasetInfo]
) -> pd.DataFrame:
    """Return the features of a space with the columns on which some studies agree.

    Numbers, flags, times and categories speak of the studies; text is in the table already.

    Parameters
    ----------
    table
        All features of a space, with what the store knows of them.
    datasets
        Of this space.
    """
    own = agreed_columns(reader, datasets)
    if not own:
        return table
    columns = {}
    for name, values in own.items():
        if isinstance(values.dtype, pd.CategoricalDtype) and name in table:
            columns[name] = _as_categories(table[name], values)
        else:
            columns[name] = _everywhere(values, len(table)).set_axis(table.index)
    return table.assign(**columns)


def agreed_columns(reader: Reader, datasets: Iterable[DatasetInfo]) -> dict[str, pd.Series]:
    """Return the columns on which some studies agree: values by place in the feature space.

    Studies agree on a column if they have the same value wherever two of them have one. Values
    are left out where none has one. Categories are united, and need not agree.
    """
    known: dict[str, pd.Series] = {}
    apart: set[str] = set()
    for dataset in datasets:
        names = dataset.var_columns
        if names is not None and not set(names) - apart:
            continue
        wanted = None if names is None else ["position", *(_PREFIX + n for n in names)]
        table = own_table(reader.table(dataset.features.path, wanted))
        for name in own_names(table):
            if name in apart:
                continue
            values = table[_PREFIX + name].dropna()
            joined = _joined(known[name], values) if name in known else values
            if joined is None:
                apart.add(name)
                known.pop(name, None)
            else:
                known[name] = joined
    return known


def own_table(arrow: pa.Table) -> pd.DataFrame:
    """Return what a study measured, by place in the feature space.

    Parquet has no categories but text; of others it is only known that they were categories.
    """
    table: pd.DataFrame = arrow.to_pandas()
    for column in (arrow.schema.pandas_metadata or {}).get("columns", ()):
        name = column["name"]
        if column["pandas_type"] != "categorical" or name not in table:
            continue
        if not isinstance(table[name].dtype, pd.CategoricalDtype):
            values = pd.Categorical(table[name], ordered=bool(column["metadata"]["ordered"]))
            table[name] = values
    return table.set_index("position")


def own_names(table: pd.DataFrame) -> tuple[str, ...]:
    """Return the columns of a study's own table that hold anything but plain text."""
    found = (str(c) for c in table.columns if str(c).startswith(_PREFIX))
    return tuple(
        name.removeprefix(_PREFIX)
        for name in found
        if name == f"{_PREFIX}feature_id" or not _is_plain_text(table[name])
    )


def is_text(values: pd.Series) -> bool:
    """Whether a column, or the categories of one, are text."""
    kind = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else values
    return pd.api.types.infer_dtype(kind, skipna=True) == "string"


def _is_plain_text(values: pd.Series) -> bool:
    if isinstance(values.dtype, pd.CategoricalDtype):
        return False
    return pd.api.types.infer_dtype(values, skipna=True) in {"string", "empty"}


def _joined(one: pd.Series, other: pd.Series) -> pd.Series | None:
    """Return the values of two studies together; None if they do not agree."""
    categorical = [isinstance(s.dtype, pd.CategoricalDtype) for s in (one, other)]
    text = is_text(one) and is_text(other)
    if any(categorical) and not all(categorical):
        one, other = one.astype(object), other.astype(object)
    shared = one.index.intersection(other.index)
    new = other[~other.index.isin(one.index)]
    if not text and not _equal(one[shared], other[shared]):
        return None
    if all(categorical):
        return _united(one, new)
    together: pd.Series = pd.concat([s for s in (one, new) if len(s)] or [one])
    if one.dtype == other.dtype:
        return together
    kinds = {pd.api.types.infer_dtype(s, skipna=True) for s in (one, other)}
    if kinds <= {"integer", "floating"}:
        both = pd.concat([one.astype(object), new.astype(object)])
        numbers: pd.Series = both.infer_objects()
        exact = both.empty or all(a == b for a, b in zip(numbers, both, strict=True))
        return numbers if exact else None
    return together if len(kinds) == 1 else None


def _equal(one: pd.Series, other: pd.Series) -> bool:
    left, right = one.to_numpy(object), other.to_numpy(object)
    return bool(len(left) == len(right) and np.equal(left, right).all())


def _united(one: pd.Series, new: pd.Series) -> pd.Series:
    first, second = one.cat.categories, new.cat.categories
    if first.equals(second):
        ordered = bool(one.cat.ordered and new.cat.ordered)
        categories = first
    else:
        categories, ordered = first.append(second[~second.isin(first)]), False
    values = [*one.to_numpy(object), *new.to_numpy(object)]
    united = pd.Categorical(values, categories=categories, ordered=ordered)
    return pd.Series(united, index=one.index.append(new.index))


def _as_categories(texts: pd.Series, own: pd.Series) -> pd.Series:
    """Return a text column of the store with the categories of the studies."""
    categories = own.cat.categories
    others = pd.Index(texts.dropna().unique(), dtype=object)
    others = others[~others.isin(categories)]
    ordered = bool(own.cat.ordered) and not len(others)
    every = [*categories, *sorted(others)]
    return pd.Series(pd.Categorical(texts, every, ordered=ordered), texts.index)


def rows_of(table: pd.DataFrame, features: pd.Index) -> pd.DataFrame:
    """Return the rows of some features; those that a table does not have are missing."""
    if features.isin(table.index).all():
        return table.loc[features]
    return table.assign(**{str(n): _nullable(table[n]) for n in table}).reindex(features)


def _everywhere(values: pd.Series, n_vars: int) -> pd.Series:
    """Return values for all features; where there are none they are missing."""
    values = _nullable(values) if len(values) < n_vars else values
    return values.reindex(pd.RangeIndex(n_vars))


def _nullable(values: pd.Series) -> pd.Series:
    """Return a column whose dtype has a value for what is missing."""
    nullable: Any = {"i": "Int", "u": "UInt"}.get(values.dtype.kind)
    if not isinstance(values.dtype, np.dtype):
        return values
    if nullable:
        dtype: Any = f"{nullable}{8 * values.dtype.itemsize}"
        return values.astype(dtype)
    return values.astype("boolean") if values.dtype == bool else values
