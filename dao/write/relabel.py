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
from dao.format.obs_schema import RESERVED_COLUMNS
from dao.warn import warn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dao.write.source import Source

__all__ = ["prepare_obs"]


def prepare_obs(
    source: Source, obs: pd.DataFrame, obs_columns: Sequence[str] | None
) -> pd.DataFrame:
    """Return obs with the renames, values, constants and columns that the source asks for.

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
    obs = _renamed(source, obs)
    for name, value in source.constants.items():
        if name in obs.columns:
            msg = f"{source.label}: {name!r} is a column of obs and a constant; give one."
            raise ArgumentError(msg)
        constant = [value] * len(obs)
        obs[name] = pd.Categorical(constant) if isinstance(value, str) else constant
    clash = next((c for c in obs.columns if c in RESERVED_COLUMNS), None)
    if clash is not None:
        msg = f"{source.label}: obs column {clash!r} has a name that dao uses itself."
        raise ArgumentError(msg)
    if obs_columns is not None:
        obs = obs[[c for c in obs.columns if c in set(obs_columns)]]
    return obs


def _renamed(source: Source, obs: pd.DataFrame) -> pd.DataFrame:
    """Return the columns in the order of the source, renamed ones in the place of the old."""
    asked: dict[str, list[tuple[str, Mapping[Any, Any] | None]]] = {}
    for new, what in source.obs.items():
        old, values = what if isinstance(what, tuple) else (what, None)
        if old not in obs.columns:
            msg = f"obs of {source.label} has no column {old!r}.{near_matches(old, obs.columns)}"
            raise UnknownColumnError(msg)
        asked.setdefault(old, []).append((new, values))
    untouched = [c for c in obs.columns if c not in asked]
    taken = next((n for n in source.obs if n in untouched), None)
    if taken is not None:
        what = source.obs[taken]
        old = what[0] if isinstance(what, tuple) else what
        msg = (
            f"obs of {source.label} has a column {taken!r} already; {old!r} cannot take its name "
            f"before it has another one: obs={{'{taken}_original': {taken!r}, ...}}."
        )
        raise ArgumentError(msg)
    columns = {}
    for old in obs.columns:
        for new, values in asked.get(old, [(_without_reserved(source, old), None)]):
            if new in columns:
                msg = f"obs of {source.label} would have two columns {new!r}. Rename one."
                raise ObsTypeError(msg)
            mapped = obs[old] if values is None else _mapped(source, obs[old], values)
            columns[new] = mapped.rename(new)
    return pd.DataFrame(columns, index=obs.index, copy=False)


def _mapped(source: Source, column: pd.Series, values: Mapping[Any, Any]) -> pd.Series:
    """Return a column with its values replaced; values that are not named stay."""
    categorical = isinstance(column.dtype, pd.CategoricalDtype)
    # Not `unique`, which for categories forgets their order.
    known = column.cat.categories.tolist() if categorical else column.dropna().unique().tolist()
    # Recipes are text, so that 1 may be written as "1".
    lookup = {k: values.get(k, values.get(str(k), k)) for k in known}
    _check_keys(source, column, values, known)
    if not categorical:
        mapped = column.map(lookup, na_action="ignore").astype(object).infer_objects()
        text = pd.api.types.infer_dtype(mapped, skipna=True) == "string"
        return mapped.astype("category") if text else mapped
    targets = [lookup[k] for k in known]
    merged = list(dict.fromkeys(t for t in targets if t is not None))
    runs = [t for i, t in enumerate(targets) if i == 0 or targets[i - 1] != t]
    dtype = pd.CategoricalDtype(merged, ordered=column.cat.ordered and len(runs) == len(set(runs)))
    place = {t: i for i, t in enumerate(merged)}
    codes = pd.Series([*(place.get(t, -1) for t in targets), -1])
    return pd.Series(
        pd.Categorical.from_codes(codes.to_numpy()[column.cat.codes], dtype=dtype),
        index=column.index,
    )


def _check_keys(
    source: Source, column: pd.Series, values: Mapping[Any, Any], known: Sequence[Any]
) -> None:
    names = [str(k) for k in known]
    unused = [v for v in values if v not in known and str(v) not in names]
    if values and len(unused) == len(values):
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


def _without_reserved(source: Source, name: str) -> str:
    if name not in RESERVED_COLUMNS:
        return name
    other = f"{name.lstrip('_')}_original"
    warn(
        f"obs column {name!r} of {source.label} is stored as {other!r}: dao fills {name!r} itself."
    )
    return other
