"""What a report tells of obs columns: values and their cells, numbers as histograms."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from dao.choose.counts import value_counts
from dao.choose.describe import column_summary
from dao.printable import shortened
from dao.report.facts import ColumnFact, Histogram, Top

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pandas as pd
    from numpy.typing import NDArray

    from dao.column import Column
    from dao.store import Store

__all__ = ["MOST_COLUMNS", "NAME_WIDTH", "column_fact", "column_facts"]

MOST_COLUMNS = 100
NAME_WIDTH = 60
_MOST_VALUES = 12
_BINS = 30
_MOST_WHOLE = 1e6
_FEW_CELLS = 10
_MOST_COMPARED = 5_000
_MOST_ALIKE = 20
# What differs between ways to write the same; the signs of CD4+ and CD4- do not.
_SEPARATORS = re.compile(r"[\s_.,]+|(?<=\w)-(?=\w)")
_NUMBERS = {"int", "float"}


def column_facts(store: Store) -> tuple[ColumnFact, ...]:
    """Return the first obs columns of a selection; they are read one at a time."""
    names = store.obs_columns[:MOST_COLUMNS]
    return tuple(column_fact(name, store.obs_column(name)) for name in names)


def column_fact(name: str, column: Column) -> ColumnFact:
    """Return what a column holds."""
    summary = column_summary(name, column)
    kind, missing = str(summary["kind"]), int(summary["missing"])
    label, text = shortened(name, NAME_WIDTH), shortened(summary["values"], 200)
    if column.info.kind in _NUMBERS or column.info.kind == "other":
        found = _histogram(column) if column.info.kind in _NUMBERS else None
        return ColumnFact(label, kind, missing, None, text, histogram=found)
    distinct, known = int(summary["distinct"]), len(column) - missing
    counts: pd.Series = value_counts(name, column)
    counts = counts.iloc[: len(counts) - bool(missing)]
    # A name or barcode for each cell is nothing that bars could show.
    if not distinct or (distinct > _MOST_VALUES and 2 * distinct > known):
        return ColumnFact(label, kind, missing, distinct, text)
    alike = tuple(_alike(map(str, counts.index[:_MOST_COMPARED])))[:_MOST_ALIKE]
    n_rare, top = int((counts < _FEW_CELLS).sum()), _top(counts, column)
    return ColumnFact(label, kind, missing, distinct, text, top, None, n_rare, alike)


def _top(counts: pd.Series, column: Column) -> Top:
    shown, rest = counts.iloc[:_MOST_VALUES], counts.iloc[_MOST_VALUES:]
    pairs = list(zip(shown.index.tolist(), shown.tolist(), strict=True))
    if column.info.ordered and not len(rest):
        place = {value: i for i, value in enumerate(column.categories or ())}
        pairs.sort(key=lambda pair: place[pair[0]])
    values = tuple(shortened(value, NAME_WIDTH) for value, _ in pairs)
    return Top(values, tuple(int(n) for _, n in pairs), len(rest), int(rest.sum()))


def _alike(values: Iterable[str]) -> Iterator[str]:
    """Yield values that are the same but for case, spaces and separators."""
    groups: dict[str, list[str]] = defaultdict(list)
    for value in values:
        groups[_SEPARATORS.sub("", value).casefold()].append(shortened(value, NAME_WIDTH))
    yield from (" = ".join(map(repr, group)) for group in groups.values() if len(group) > 1)


def _histogram(column: Column) -> Histogram | None:
    numbers = column.values[~column.missing].astype(np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return None
    low, high = float(numbers.min()), float(numbers.max())
    if not np.isfinite(high - low) or low == high:
        return None
    cells, edges = np.histogram(numbers, _edges(numbers, low, high))
    return Histogram(tuple(edges.tolist()), tuple(cells.tolist()))


def _edges(numbers: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Return the edges of bins; for whole numbers between them, as many in each bin."""
    n_whole = high - low + 1
    if n_whole < _MOST_WHOLE and bool((numbers == np.trunc(numbers)).all()):
        step = int(-(-n_whole // _BINS))
        return np.arange(low, high + step + 1, step) - 0.5
    return np.linspace(low, high, _BINS + 1)
