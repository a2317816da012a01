"""How obs columns of several datasets become columns of a store: kinds, dtypes, categories."""

from __future__ import annotations

import itertools
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

import numpy as np

from dao.errors import CorruptStoreError, ObsTypeError
from dao.format.manifest import ColumnInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "INDEX_COLUMN",
    "RESERVED_COLUMNS",
    "SOURCE_ROW_COLUMN",
    "VIRTUAL_COLUMNS",
    "parse_category",
    "unite_categories",
    "unite_columns",
]

INDEX_COLUMN = "_index"
SOURCE_ROW_COLUMN = "_source_row"
# Known of every cell without being stored per cell.
VIRTUAL_COLUMNS = ("dataset", "organism")
RESERVED_COLUMNS = (INDEX_COLUMN, SOURCE_ROW_COLUMN, *VIRTUAL_COLUMNS)


def unite_columns(columns: Mapping[str, Mapping[str, ColumnInfo]]) -> dict[str, ColumnInfo]:
    """Return what each obs column is in the whole store.

    Numbers take the dtype that holds all of them; categories and strings become strings; a
    column that is empty in a dataset agrees with anything.

    Parameters
    ----------
    columns
        Dataset id -> its columns by name; where a dataset lacks one, it can be missing.

    Raises
    ------
    dao.errors.ObsTypeError
        If two datasets hold what cannot be united; both are named.
    """
    by_name: dict[str, dict[str, ColumnInfo]] = {}
    for dataset, infos in columns.items():
        for name, info in infos.items():
            by_name.setdefault(name, {})[dataset] = info
    return {name: _united(name, infos, len(columns)) for name, infos in by_name.items()}


def _united(name: str, infos: Mapping[str, ColumnInfo], n_datasets: int) -> ColumnInfo:
    known = {d: i for d, i in infos.items() if i.dtype != "null"} or dict(infos)
    nullable = len(infos) < n_datasets or any(i.nullable for i in infos.values())
    kinds = {i.kind for i in known.values()}
    dtypes = sorted({i.dtype for i in known.values()})
    first = next(iter(known.values()))
    if kinds == {"categorical"} and len(dtypes) == 1:
        ordered = all(i.ordered for i in known.values())
        return ColumnInfo("categorical", first.dtype, ordered, nullable)
    if kinds <= {"int", "float"}:
        dtype = np.result_type(*dtypes)
        if dtype.kind == "f" and kinds == {"int"}:
            # uint64 beside int64: NumPy would fall back to float64 and lose digits.
            raise _conflict(name, known)
        return ColumnInfo("float" if dtype.kind == "f" else "int", str(dtype), False, nullable)
    if kinds <= {"categorical", "string"} and set(dtypes) <= {"string"}:
        return ColumnInfo("string", "string", False, nullable)
    if len(kinds) == 1 and len(dtypes) == 1:
        return ColumnInfo(first.kind, first.dtype, False, nullable)
    raise _conflict(name, known)


def unite_categories(
    name: str, categories: Mapping[str, Sequence[str]], *, ordered: bool
) -> list[str]:
    """Return the categories of a column over all datasets.

    Unordered ones come in the order of first appearance, so that codes never change when
    datasets are appended. Ordered ones are merged so that every dataset's order holds.

    Raises
    ------
    dao.errors.ObsTypeError
        If two datasets order the same categories differently.
    """
    first_seen = list(dict.fromkeys(c for cs in categories.values() for c in cs))
    if not ordered:
        return first_seen
    graph: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(first_seen, ()))
    for listed in categories.values():
        for before, after in itertools.pairwise(listed):
            graph.add(after, before)
    try:
        return list(graph.static_order())
    except CycleError as error:
        loop = " < ".join(map(repr, reversed(error.args[1])))
        msg = (
            f"The ordered categories of obs column {name!r} contradict each other ({loop}) in "
            f"datasets {', '.join(map(repr, categories))}. Rename the column of one, or make it "
            "unordered."
        )
        raise ObsTypeError(msg) from error


def parse_category(text: str, dtype: str) -> object:
    """Return a category, which is stored as text, as the value it was.

    Raises
    ------
    dao.errors.CorruptStoreError
        If it is none of that dtype.
    """
    if dtype == "string":
        return text
    if dtype == "bool":
        return text == "True"
    try:
        return np.dtype(dtype).type(text).item()
    except (ValueError, OverflowError) as error:
        msg = f"The category {text!r} is no {dtype}, which the manifest says its column holds."
        raise CorruptStoreError(msg) from error


def _conflict(name: str, infos: Mapping[str, ColumnInfo]) -> ObsTypeError:
    held = ", ".join(
        f"{i.kind}{'' if i.kind in {'bool', 'string'} else f' of {i.dtype}'} in {d!r}"
        for d, i in infos.items()
    )
    msg = (
        f"obs column {name!r} has types that cannot be united: {held}. Convert one of them, or "
        f"give it another name with dao.Source(..., obs={{'new name': {name!r}}})."
    )
    return ObsTypeError(msg)
