"""How many cells have which value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dao.column import Column

__all__ = ["Counts", "cross_counts", "value_counts"]


class Counts(pd.Series):
    """Cells per value, most frequent first; a `pandas.Series` that notebooks show as a table."""

    @property
    def _constructor(self) -> Callable[..., pd.Series[Any]]:
        return pd.Series

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(max_rows=60))


def value_counts(name: str, column: Column) -> Counts:
    """Return how many cells have each value that occurs, missing ones last."""
    codes, values = _coded(column)
    counts = np.bincount(codes, minlength=len(values))
    order = _by_frequency(counts, column)
    return Counts(counts[order], index=_index(values, order, name), name="count")


def cross_counts(name: str, column: Column, by_name: str, by: Column) -> pd.DataFrame:
    """Return a table of one row per value and one column per value of ``by``."""
    codes, values = _coded(column)
    by_codes, by_values = _coded(by)
    shape = len(values), len(by_values)
    counts = np.bincount(codes * shape[1] + by_codes, minlength=shape[0] * shape[1]).reshape(shape)
    rows = _by_frequency(counts.sum(axis=1), column)
    columns = _by_frequency(counts.sum(axis=0), by)
    return pd.DataFrame(
        counts[np.ix_(rows, columns)],
        index=_index(values, rows, name),
        columns=_index(by_values, columns, by_name),
    )


def _coded(column: Column) -> tuple[NDArray[np.int64], list[Any]]:
    """Return codes into values that occur, the last of which is NaN for missing ones."""
    if column.categories is not None:
        n = len(column.categories)
        all_codes = np.where(column.missing, n, column.values)
        found = np.flatnonzero(np.bincount(all_codes, minlength=n + 1))
        place = np.zeros(n + 1, np.int64)
        place[found] = np.arange(len(found))
        names = [column.categories[i] if i < n else np.nan for i in found.tolist()]
        return place[all_codes], names
    held, own = np.unique(column.values[~column.missing], return_inverse=True)
    codes = np.full(len(column), len(held), np.int64)
    codes[~column.missing] = own
    return codes, [*held, *([np.nan] if column.missing.any() else [])]


def _by_frequency(counts: NDArray[Any], column: Column) -> NDArray[Any]:
    """Return the order from frequent to rare, with missing values at the end."""
    n = len(counts) - bool(column.missing.any())
    return np.append(np.argsort(-counts[:n], kind="stable"), np.arange(n, len(counts)))


def _index(values: list[Any], order: NDArray[Any], name: str) -> pd.Index:
    held = [values[i] for i in order.tolist()]
    is_text = any(isinstance(v, str | bool | np.bool_) for v in held)
    index: pd.Index = pd.Index(held, dtype=object if is_text or not held else None, name=name)
    return index
