"""How many cells have which value."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dao.errors import ArgumentError
from dao.notebook import table_html

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dao.column import Column

__all__ = ["Counts", "cross_counts", "crossed", "occurring", "value_counts"]

_MOST_ENTRIES = 100_000_000
_NUMBERS = ({"i"}, {"u"}, {"f"})


class Counts(pd.Series):
    """Cells per value, most frequent first; a `pandas.Series` that notebooks show as a table."""

    @property
    def _constructor(self) -> Callable[..., pd.Series[Any]]:
        return pd.Series

    def _repr_html_(self) -> str:
        return table_html(self.to_frame())


def value_counts(
    name: str, column: Column, *, normalize: bool = False, dropna: bool = False
) -> Counts:
    """Return how many cells have each value that occurs, missing ones last."""
    codes, values = _coded(column)
    counts = np.bincount(codes, minlength=len(values))
    counts[-1] *= not dropna
    order = _by_frequency(counts)
    found = Counts(counts[order], index=_index(values, order, name), name="count")
    return Counts((found / max(1, counts.sum())).rename("proportion")) if normalize else found


def cross_counts(
    name: str,
    column: Column,
    by_name: str,
    by: Column,
    *,
    normalize: bool = False,
    dropna: bool = False,
) -> pd.DataFrame:
    """Return a table of one row per value and one column per value of ``by``.

    Raises
    ------
    dao.errors.ArgumentError
        If the table would have more than 100 million entries.
    """
    codes, values = occurring(column)
    by_codes, by_values = occurring(by)
    if len(values) * len(by_values) > _MOST_ENTRIES:
        msg = (
            f"{name!r} has {len(values):,} values and {by_name!r} {len(by_values):,}: a table of "
            "them all would not fit into memory. Count one of the two, or the pairs that occur: "
            f"store.obs.groupby([{name!r}, {by_name!r}], observed=True).size()."
        )
        raise ArgumentError(msg)
    counts = crossed(codes, by_codes, (len(values), len(by_values)))
    counts[-1] *= not dropna
    counts[:, -1] *= not dropna
    rows, columns = _by_frequency(counts.sum(axis=1)), _by_frequency(counts.sum(axis=0))
    shown: NDArray[Any] = counts / max(1, counts.sum()) if normalize else counts
    return pd.DataFrame(
        shown[np.ix_(rows, columns)],
        index=_index(values, rows, name),
        columns=_index(by_values, columns, by_name),
    )


def crossed(
    codes: NDArray[Any], by_codes: NDArray[Any], shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Return how many cells have both of two codes, as a table."""
    numbers = codes.astype(np.int64) * shape[1] + by_codes
    return np.bincount(numbers, minlength=shape[0] * shape[1]).reshape(shape)


def _coded(column: Column) -> tuple[NDArray[Any], list[Any]]:
    """Return codes and the values behind them; the last value is NaN, for missing ones."""
    if column.categories is not None:
        held, codes = list(column.categories), column.values
    elif column.info.kind == "bool":
        held, codes = [False, True], column.values.astype(np.int8)
    else:
        known, own = np.unique(column.values[~column.missing], return_inverse=True)
        codes = np.zeros(len(column), np.int64)
        codes[~column.missing] = own
        # As pandas shows them: times with the zone that they have.
        held = list(
            replace(column, values=known, missing=np.zeros(len(known), np.bool_)).to_pandas()
        )
    filled: NDArray[Any] = np.where(column.missing, np.intp(len(held)), codes)
    return filled, [*held, np.nan]


def occurring(column: Column) -> tuple[NDArray[Any], list[Any]]:
    """Return codes and the values behind them that occur; the last is NaN, for missing ones."""
    codes, values = _coded(column)
    found = np.flatnonzero(np.bincount(codes, minlength=len(values)))
    place: NDArray[Any] = np.zeros(len(values), np.intp)
    place[found] = np.arange(len(found))
    last = len(values) - 1
    kept = [values[i] for i in found.tolist()]
    # NaN stays the last one, also where no value is missing.
    compact: NDArray[Any] = place[codes]
    return compact, kept if last in found[-1:] else [*kept, np.nan]


def _by_frequency(counts: NDArray[Any]) -> NDArray[Any]:
    """Return the values that occur, from frequent to rare, and missing ones at the end."""
    order: NDArray[Any] = np.append(np.argsort(-counts[:-1], kind="stable"), len(counts) - 1)
    return np.asarray(order[counts[order] > 0])


def _kind(value: Any) -> str:
    return "M" if isinstance(value, pd.Timestamp) else np.asarray(value).dtype.kind


def _index(values: list[Any], order: NDArray[Any], name: str) -> pd.Index:
    held = [values[i] for i in order.tolist()]
    # One value of each type is enough to look at: there may be millions of values.
    kinds = {_kind(value) for value in {type(v): v for v in held}.values()}
    # NaN beside whole numbers must not make floats of them; beside times it becomes NaT.
    inferred = kinds in _NUMBERS or (kinds & {"M", "m"} and len(kinds - {"f"}) == 1)
    index: pd.Index = pd.Index(held, dtype=None if inferred else object, name=name)
    return index
