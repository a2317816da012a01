"""Relabel: a study's obs under the names and values that the store uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from dao.errors import (
    ArgumentError,
    ObsTypeError,
    UnknownColumnError,
    UnknownValueError,
    near_matches,
)
from dao.format.obs_schema import RESERVED_COLUMNS, SOURCE_ROW_COLUMN, VIRTUAL_COLUMNS
from dao.warn import warn
from dao.write.values import is_missing, known_values, rename_values

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from dao.write.source import Source

__all__ = ["prepare_obs"]


def prepare_obs(
    source: Source,
    obs: pd.DataFrame,
    obs_columns: Sequence[str] | None,
    declared: Collection[str] | None = None,
) -> pd.DataFrame:
    """Return obs with the renames, values, constants and columns that the source asks for.

    Parameters
    ----------
    obs_columns
        Those that are kept; all if None.
    declared
        Those that will be stored, if not all are; for warnings.

    Raises
    ------
    dao.errors.UnknownColumnError, dao.errors.UnknownValueError
        If a column or value to rename does not exist.
    dao.errors.ObsTypeError
        If column names repeat.
    """
    obs = obs.copy(deep=False)
    obs.columns = pd.Index([str(c) for c in obs.columns], dtype=object)
    if not obs.columns.is_unique:
        twice = obs.columns[obs.columns.duplicated()][0]
        msg = f"obs of {source.label} has two columns {twice!r}. Rename one."
        raise ObsTypeError(msg)
    shadows = _shadows(source, obs)
    obs = _renamed(source, obs, shadows)
    for name, value in source.constants.items():
        if name in obs.columns:
            msg = f"{source.label}: {name!r} is a column of obs and a constant; give one."
            raise ArgumentError(msg)
        constant = [None if is_missing(value) else value] * len(obs)
        obs[name] = pd.Categorical(constant) if isinstance(value, str) else constant
    clash = next((c for c in obs.columns if c in RESERVED_COLUMNS), None)
    if clash is not None:
        msg = f"{source.label}: obs column {clash!r} has a name that dao uses itself."
        raise ArgumentError(msg)
    if obs_columns is not None:
        obs = obs[[c for c in obs.columns if c in set(obs_columns)]]
    _warn_of_shadows(source, shadows, obs.columns if declared is None else declared)
    return obs


def _renamed(source: Source, obs: pd.DataFrame, shadows: Mapping[str, str | None]) -> pd.DataFrame:
    """Return the columns in the order of the source, renamed ones in the place of the old."""
    asked: dict[str, list[tuple[str, Mapping[Any, Any] | None]]] = {}
    for new, what in source.obs.items():
        old, values = (what, None) if isinstance(what, str) else what
        if old not in obs.columns:
            msg = f"obs of {source.label} has no column {old!r}.{near_matches(old, obs.columns)}"
            raise UnknownColumnError(msg)
        asked.setdefault(old, []).append((new, values))
    untouched = [c for c in obs.columns if c not in asked]
    taken = next((n for n in source.obs if n in untouched), None)
    if taken is not None:
        what = source.obs[taken]
        old = what if isinstance(what, str) else what[0]
        msg = (
            f"obs of {source.label} has a column {taken!r} already; {old!r} cannot take its name "
            f"before it has another one: obs={{'{taken}_original': {taken!r}, ...}}."
        )
        raise ArgumentError(msg)
    columns = {}
    for old in obs.columns:
        if old not in asked and shadows.get(old, old) is None:
            continue
        for new, values in asked.get(old, [(shadows.get(old) or old, None)]):
            if new in columns:
                msg = f"obs of {source.label} would have two columns {new!r}. Rename one."
                raise ObsTypeError(msg)
            columns[new] = obs[old].rename(new)
            if values is not None:
                _check_keys(source, obs[old], values)
                columns[new] = rename_values(obs[old], values).rename(new)
    return pd.DataFrame(columns, index=obs.index, copy=False)


def _check_keys(source: Source, column: pd.Series, values: Mapping[Any, Any]) -> None:
    known = known_values(column)
    names = [str(k) for k in known]
    asked = [v for v in values if not is_missing(v)]
    unused = [v for v in asked if v not in known and str(v) not in names]
    if unused and len(unused) == len(values):
        near = near_matches(unused[0], names)
        msg = f"{source.label}: no cell has {column.name} = {unused[0]!r} (obs=).{near}"
        raise UnknownValueError(msg)
    unmapped = [n for n in names if n not in map(str, values)]
    for value in unused:
        near = near_matches(value, unmapped)
        # A map for many studies has values that one of them lacks; a typing error comes close.
        if near.startswith(" Did you mean"):
            msg = f"{source.label}: no cell has {column.name} = {value!r} (obs=).{near}"
            warn(msg)


def _shadows(source: Source, obs: pd.DataFrame) -> dict[str, str | None]:
    """Return columns whose names dao uses itself -> the names under which they are stored.

    None where the column is what dao has filled into an AnnData that it exported, and the study's
    own is next to it.
    """
    renamed = {what if isinstance(what, str) else what[0] for what in source.obs.values()}
    taken = {*(c for c in obs.columns if c not in renamed), *source.obs, *source.constants}
    is_export = {SOURCE_ROW_COLUMN, *VIRTUAL_COLUMNS} <= set(obs.columns)
    found: dict[str, str | None] = {}
    for name in (c for c in obs.columns if c in RESERVED_COLUMNS and c not in renamed):
        other = base = f"{name.lstrip('_')}_original"
        number = 2
        while other in taken:
            other, number = f"{base}_{number}", number + 1
        taken.add(other)
        found[name] = None if is_export and other != base else other
    return found


def _warn_of_shadows(
    source: Source, shadows: Mapping[str, str | None], stored: Collection[str]
) -> None:
    for name, other in shadows.items():
        if other is None:
            warn(
                f"obs column {name!r} of {source.label} is left out: dao filled it when the store "
                f"was exported, and '{name.lstrip('_')}_original' is kept. To keep both, rename "
                f"it: dao.Source(..., obs={{'new name': {name!r}}})."
            )
        elif other in stored:
            warn(
                f"obs column {name!r} of {source.label} is stored as {other!r}: dao fills {name!r} "
                "itself."
            )
