"""Which rows of a source meet its ``subset=``, by the same rules as `dao.Store.subset`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dao.choose.conditions import conditions
from dao.column import Column, constant_column
from dao.errors import ArgumentError, DaoError, DaoWarning
from dao.format.manifest import ColumnInfo
from dao.format.obs_schema import INDEX_COLUMN, SOURCE_ROW_COLUMN, VIRTUAL_COLUMNS
from dao.frames import frame_column
from dao.where import columns_of, evaluate
from dao.write.organisms import organism_of
from dao.write.relabel import prepare_obs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from dao.where import Descendants
    from dao.write.opened import OpenSource
    from dao.write.source import Source

__all__ = ["matching_rows"]


def matching_rows(source: Source, opened: OpenSource, stored: pd.DataFrame) -> NDArray[np.bool_]:
    """Return for each row of a source whether it meets the condition of the source.

    The rows are those that ``store.subset`` would choose if the whole source had been written with
    all of its columns: under their new names and values, with constants, also columns that
    ``obs_columns`` or ``obs_schema`` leave out of the store.

    Parameters
    ----------
    stored
        obs as it will be stored: its columns have the declared types.

    Raises
    ------
    dao.errors.DaoError
        If the condition cannot be used, with the name of the source.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DaoWarning)  # was shown when `stored` was made
        whole = prepare_obs(source, opened.obs(), None)
    columns = _columns(source, opened, whole, stored)
    try:
        expression = conditions(
            source.subset,
            None,
            {},
            known=_Infos(columns),
            categories=lambda name: columns[name]().categories or (),
            branch=_no_branch,
        )
        needed = {name: columns[name]() for name in columns_of(expression)}
        return evaluate(expression, needed, len(whole))
    except DaoError as error:
        msg = f"subset of {source.label}: {error}"
        raise type(error)(msg) from error


def _columns(
    source: Source, opened: OpenSource, whole: pd.DataFrame, stored: pd.DataFrame
) -> dict[str, Callable[[], Column]]:
    """Return functions that make the columns, those that dao fills itself included."""
    text = ColumnInfo("categorical", "string")
    n = len(whole)
    numbers = pd.Series(np.arange(n, dtype=np.int64))
    names = pd.Series(whole.index.astype(str).to_numpy(object))
    own = [*whole.columns, *(c for c in stored.columns if c not in whole.columns)]
    frames = {name: stored if name in stored.columns else whole for name in own}

    def constant(value: Callable[[], str]) -> Column:
        return constant_column(text, n, [value()], value())

    made: dict[str, Callable[[], Column]] = {
        "dataset": partial(constant, lambda: str(source.id)),
        "organism": partial(constant, lambda: organism_of(source, opened, opened.obs())),
        INDEX_COLUMN: partial(frame_column, INDEX_COLUMN, names),
        SOURCE_ROW_COLUMN: partial(frame_column, SOURCE_ROW_COLUMN, numbers),
        **{c: partial(frame_column, c, frames[c][c], str(source.id)) for c in own},
    }
    # A column of the study that has one of these names is stored under another one. Which of the
    # two is meant cannot be known, so neither has the name here.
    shadowed = {c for c in VIRTUAL_COLUMNS if f"{c}_original" in own}
    return {name: cache(make) for name, make in made.items() if name not in shadowed}


class _Infos(Mapping[str, ColumnInfo]):
    """What each column is, found out when it is looked up: a source may have hundreds."""

    def __init__(self, columns: Mapping[str, Callable[[], Column]]) -> None:
        self._columns = columns

    def __getitem__(self, name: str) -> ColumnInfo:
        return self._columns[name]().info

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


def _no_branch(column: str, wanted: Descendants) -> Sequence[Any]:
    msg = (
        f"{column!r} of a source has no ontology: write it whole, then choose {wanted} with subset."
    )
    raise ArgumentError(msg)
