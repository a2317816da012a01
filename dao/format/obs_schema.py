"""How obs columns of several datasets become columns of a store: kinds and dtypes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dao.errors import ObsTypeError
from dao.format.manifest import ColumnInfo
from dao.format.times import UNITS, parse_time, unite_decimals, unite_times

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "INDEX_COLUMN",
    "RESERVED_COLUMNS",
    "SOURCE_ROW_COLUMN",
    "VIRTUAL_COLUMNS",
    "may_be_missing",
    "unite_columns",
]

INDEX_COLUMN = "_index"
SOURCE_ROW_COLUMN = "_source_row"
# Known of every cell without being stored per cell.
VIRTUAL_COLUMNS = ("dataset", "organism")
RESERVED_COLUMNS = (INDEX_COLUMN, SOURCE_ROW_COLUMN, *VIRTUAL_COLUMNS)
_THE_STORE = ""  # no dataset has this id
_PLAIN = {"bool", "string"}


def unite_columns(
    columns: Mapping[str, Mapping[str, ColumnInfo]],
    known: Mapping[str, ColumnInfo] | None = None,
    there: Sequence[Mapping[str, ColumnInfo]] = (),
) -> dict[str, ColumnInfo]:
    """Return what each obs column is in the whole store.

    Numbers take the dtype that holds all of them exactly, times the finest unit that does;
    categories of text next to text become text; a column without values agrees with anything.

    Parameters
    ----------
    columns
        Dataset -> its columns by name; where a dataset lacks one, it can be missing.
    known
        What the columns are in the store that the datasets are added to, whose codes stay.
    there
        The columns of each dataset that the store has already.

    Raises
    ------
    dao.errors.ObsTypeError
        If two datasets hold what cannot be united; both are named.
    """
    everywhere = [*there, *columns.values()]
    by_name: dict[str, dict[str, ColumnInfo]] = {}
    for dataset, infos in ((_THE_STORE, known or {}), *columns.items()):
        for name, info in infos.items():
            by_name.setdefault(name, {})[dataset] = info
    return {
        name: replace(_united(name, infos), nullable=may_be_missing(name, everywhere))
        for name, infos in by_name.items()
        if any(name in c for c in everywhere)
    }


def may_be_missing(name: str, columns: Sequence[Mapping[str, ColumnInfo]]) -> bool:
    """Return whether a value is missing in a column of some datasets, or one lacks the column."""
    return any(name not in c or c[name].nullable for c in columns)


def _united(name: str, infos: Mapping[str, ColumnInfo]) -> ColumnInfo:
    full = {d: i for d, i in infos.items() if not i.is_empty}
    if not full:
        typed = [i for i in infos.values() if i.dtype != "null"]
        return (typed or list(infos.values()))[0]
    united = _of_kinds(name, full)
    if _THE_STORE in full:
        united = _as_known(name, full, full[_THE_STORE], united)
    return replace(united, fits=_fits(united, list(full.values())))


def _fits(united: ColumnInfo, infos: Sequence[ColumnInfo]) -> tuple[str, ...]:
    """Return the other dtypes or units that hold the values of all datasets."""
    if united.kind == "other":
        time = parse_time(united.dtype)
        others = () if time is None else (u for u in UNITS if u != time.unit)
        return tuple(u for u in others if all(_holds_unit(u, i) for i in infos))
    if united.kind not in {"int", "categorical"} or united.dtype in _PLAIN:
        return ()
    others = (d for d in ("float64", "int64", "uint64") if d != united.dtype)
    return tuple(d for d in others if all(_holds(d, i) for i in infos))


def _holds_unit(unit: str, info: ColumnInfo) -> bool:
    time = parse_time(info.dtype)
    return unit in info.fits or (time is not None and time.unit == unit)


def _of_kinds(name: str, infos: Mapping[str, ColumnInfo]) -> ColumnInfo:
    kinds = {i.kind for i in infos.values()}
    dtypes = sorted({i.dtype for i in infos.values()})
    first = next(iter(infos.values()))
    ordered = kinds == {"categorical"} and all(i.ordered for i in infos.values())
    if len(kinds) == 1 and len(dtypes) == 1:
        return ColumnInfo(first.kind, first.dtype, ordered)
    if kinds == {"categorical"} and not _PLAIN & set(dtypes):
        return ColumnInfo("categorical", _number(name, infos), ordered)
    if kinds <= {"int", "float"}:
        dtype = _number(name, infos)
        return ColumnInfo("float" if dtype.startswith("float") else "int", dtype)
    if kinds <= {"categorical", "string"} and set(dtypes) <= {"string"}:
        return ColumnInfo("string", "string")
    if kinds == {"other"}:
        return ColumnInfo("other", _other(name, infos))
    raise _conflict(name, infos)


def _as_known(
    name: str, infos: Mapping[str, ColumnInfo], known: ColumnInfo, united: ColumnInfo
) -> ColumnInfo:
    """Return what a column of a store is after an append: its codes stay."""
    if known.kind == "string" and united.dtype == "string":
        return known
    if known.kind == "categorical" and united.kind != "categorical":
        raise _conflict(name, infos)
    if known.ordered and not united.ordered:
        dataset = next(d for d, i in infos.items() if not i.ordered)
        msg = (
            f"obs column {name!r} is ordered in the store, but not in {dataset!r}, which has other "
            "values. Order its categories as the store does, with pd.Categorical(values, "
            "categories=[...], ordered=True), or give it another name with "
            f"dao.Source(..., obs={{'new name': {name!r}}})."
        )
        raise ObsTypeError(msg)
    return replace(united, ordered=known.ordered)


def _number(name: str, infos: Mapping[str, ColumnInfo]) -> str:
    """Return the dtype that holds all numbers exactly.

    Raises
    ------
    dao.errors.ObsTypeError
        If there is none.
    """
    dtype = np.result_type(*{i.dtype for i in infos.values()})
    large = {d: i for d, i in infos.items() if i.dtype in {"int64", "uint64"}}
    if any(np.dtype(i.dtype).kind == "f" for i in infos.values()):
        broken = [d for d, i in large.items() if "float64" not in i.fits]
        if not broken:
            return str(dtype)
        why = f"whole numbers beyond 2^53 in {', '.join(map(_label, broken))} next to fractions"
        raise _conflict(name, infos, f"{why}, which float64 would round")
    if dtype.kind != "f":
        return str(dtype)
    # uint64 next to a signed dtype: NumPy would take float64.
    for wanted in ("int64", "uint64"):
        if all(_holds(wanted, i) for i in infos.values()):
            return wanted
    raise _conflict(name, infos, "whole numbers that no dtype holds together")


def _holds(wanted: str, info: ColumnInfo) -> bool:
    # NumPy calls it safe to cast int64 to float64.
    rounds = info.dtype in {"int64", "uint64"} and wanted == "float64"
    return wanted in info.fits or (np.can_cast(info.dtype, wanted) and not rounds)


def _other(name: str, infos: Mapping[str, ColumnInfo]) -> str:
    decimal = unite_decimals([i.dtype for i in infos.values()])
    if decimal is not None:
        return decimal
    found = unite_times(list(infos.values()))
    if isinstance(found, str):
        raise _conflict(name, infos, found)
    return str(found)


def _conflict(
    name: str, infos: Mapping[str, ColumnInfo], why: str = "types that cannot be united"
) -> ObsTypeError:
    held = ", ".join(f"{_shown(i)} in {_label(d)}" for d, i in infos.items())
    zones = [t.zone is None for i in infos.values() if (t := parse_time(i.dtype)) is not None]
    hint = ""
    if len(set(zones)) == 2:
        hint = " Give each a zone with .dt.tz_localize, or none with .dt.tz_localize(None)."
    msg = (
        f"obs column {name!r} has {why}: {held}.{hint} Convert one of them, or give it another "
        f"name with dao.Source(..., obs={{'new name': {name!r}}})."
    )
    return ObsTypeError(msg)


def _label(dataset: str) -> str:
    return "the store" if dataset == _THE_STORE else repr(dataset)


def _shown(info: ColumnInfo) -> str:
    if info.kind == "other":
        return info.dtype
    return info.kind if info.kind in _PLAIN else f"{info.kind} of {info.dtype}"
