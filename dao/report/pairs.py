"""Obs columns two at a time: where one says what the other is, a model cannot tell them apart."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.choose.counts import crossed, occurring
from dao.printable import shortened
from dao.report.columns import NAME_WIDTH
from dao.report.facts import PairFact

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.report.facts import ColumnFact
    from dao.store import Store

__all__ = ["cramers_v", "pair_facts"]

_MOST_CELLS = 2_000_000
_MOST_COLUMNS = 8
_MOST_DISTINCT = 100
_MOST_PAIRS = 6
_MOST_ROWS, _MOST_VALUES = 12, 8
_TIMES_EACH = 3  # that a column is shown, so that one does not push out all others


@dataclass(frozen=True)
class _Coded:
    name: str
    codes: NDArray[Any]  # that of missing values is beyond the values
    values: list[Any]


def pair_facts(store: Store, columns: tuple[ColumnFact, ...]) -> tuple[PairFact, ...]:
    """Return the pairs of columns that say most of each other, as tables of cells."""
    step = max(1, -(-store.n_obs // _MOST_CELLS))
    names = ["dataset"] if len(store.datasets) > 1 else []
    names += [
        name
        for name, fact in zip(store.obs_columns, columns, strict=False)
        if fact.top is not None and 2 <= (fact.distinct or 0) <= _MOST_DISTINCT
    ]
    coded = [_coded(store, name, step) for name in names[:_MOST_COLUMNS]]
    found = []
    for a, b in combinations(coded, 2):
        row, column = (a, b) if len(a.values) >= len(b.values) else (b, a)
        table = _table(row, column)
        # With one value left of either there is nothing to say.
        if min((table.any(axis=1)).sum(), (table.any(axis=0)).sum()) > 1:
            found.append((cramers_v(table), table, row, column))
    found.sort(key=lambda one: -one[0])
    times: Counter[str] = Counter()
    facts: list[PairFact] = []
    for v, table, row, column in found:
        if len(facts) < _MOST_PAIRS and max(times[row.name], times[column.name]) < _TIMES_EACH:
            times.update((row.name, column.name))
            facts.append(_fact(v, table, row, column, is_sample=step > 1))
    return tuple(facts)


def cramers_v(table: NDArray[np.int64]) -> float:
    """Return Cramér's V of a table of counts: from 0, independent, to 1.

    >>> cramers_v(np.array([[5, 0], [0, 5]])), cramers_v(np.array([[5, 5], [5, 5]]))
    (1.0, 0.0)
    """
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    n, least = table.sum(), min(table.shape)
    if least < 2:
        return 0.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    chi_squared = float(((table - expected) ** 2 / expected).sum())
    return float(np.sqrt(chi_squared / (float(n) * (least - 1))))


def _coded(store: Store, name: str, step: int) -> _Coded:
    column = store.obs_column(name)
    codes, values = occurring(column if step == 1 else column.take(slice(None, None, step)))
    return _Coded(name, codes, values[:-1])


def _table(row: _Coded, column: _Coded) -> NDArray[np.int64]:
    """Count the cells that have both."""
    shape = len(row.values) + 1, len(column.values) + 1
    return crossed(row.codes, column.codes, shape)[:-1, :-1]


def _fact(
    v: float, table: NDArray[np.int64], row: _Coded, column: _Coded, *, is_sample: bool
) -> PairFact:
    n_obs = int(table.sum())
    table, row_values = _cut(table, row.values, _MOST_ROWS)
    turned, column_values = _cut(table.T, column.values, _MOST_VALUES)
    return PairFact(
        shortened(row.name, NAME_WIDTH),
        shortened(column.name, NAME_WIDTH),
        row_values,
        column_values,
        tuple(tuple(line) for line in turned.T.tolist()),
        v,
        n_obs,
        is_sample,
    )


def _cut(
    table: NDArray[np.int64], values: list[Any], most: int
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the rows with most cells, the others added up, and the values of the rows."""
    sums = table.sum(axis=1)
    order = np.argsort(-sums, kind="stable")
    order = order[sums[order] > 0]
    kept, rest = order[:most], order[most:]
    names = [shortened(values[i], NAME_WIDTH) for i in kept.tolist()]
    if not len(rest):
        return table[kept], tuple(names)
    others = table[rest].sum(axis=0, keepdims=True)
    return np.concatenate([table[kept], others]), (*names, f"{len(rest):,} others")
