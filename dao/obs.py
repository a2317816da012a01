"""obs columns in memory: read from parquet, united over datasets, shared codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from dao.format.manifest import ColumnInfo
from dao.format.obs_schema import (
    INDEX_COLUMN,
    SOURCE_ROW_COLUMN,
    VIRTUAL_COLUMNS,
    parse_category,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.backend import Reader
    from dao.selection import Selection

__all__ = ["Column", "ObsStore", "frame_columns"]

_STORED = {
    INDEX_COLUMN: ColumnInfo("string", "string"),
    SOURCE_ROW_COLUMN: ColumnInfo("int", "int64"),
}


@dataclass(frozen=True)
class Column:
    """A column of some rows.

    Attributes
    ----------
    info
        What the column is in the whole store.
    values
        Codes into ``categories`` for categoricals and strings (int32, -1 for missing), the
        numbers, booleans or times themselves otherwise.
    missing
        Where the value is missing.
    categories
        The values behind the codes; None for numbers, booleans and times.
    """

    info: ColumnInfo
    values: NDArray[Any]
    missing: NDArray[np.bool_]
    categories: Sequence[Any] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[Any] | slice) -> Column:
        """Return the column of these rows."""
        taken = Column(self.info, self.values[rows], self.missing[rows], self.categories)
        if self.info.kind == "categorical":
            # Making a dtype hashes all categories: too slow to do for every batch.
            taken.__dict__["dtype"] = self.dtype
        return taken

    def to_pandas(self) -> Any:
        """Return an array with the dtype that pandas users expect."""
        if self.info.kind == "categorical":
            return pd.Categorical.from_codes(self.values, dtype=self.dtype, validate=False)
        if self.categories is not None:
            return np.array([*self.categories, None], object)[self.values]
        if self.info.kind == "int" and self.missing.any():
            return pd.arrays.IntegerArray(self.values, self.missing)
        if self.info.kind == "bool" and self.missing.any():
            return pd.arrays.BooleanArray(self.values, self.missing)
        return self.values

    @cached_property
    def dtype(self) -> pd.CategoricalDtype:
        """The dtype of a categorical column."""
        return pd.CategoricalDtype(list(self.categories or ()), ordered=self.info.ordered)


class ObsStore:
    """The obs of a whole store, read column by column and dataset by dataset.

    Parameters
    ----------
    reader
        Where the tables come from.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._manifest = reader.manifest()
        self.infos: Mapping[str, ColumnInfo] = {
            **self._manifest.obs_columns,
            **{c: ColumnInfo("categorical", "string") for c in VIRTUAL_COLUMNS},
            **_STORED,
        }

    def categories(self, name: str) -> Sequence[Any]:
        """Return all values behind the codes of a categorical or string column.

        They are those of the whole store, independent of any selection.
        """
        if name == "dataset":
            return [d.id for d in self._manifest.datasets]
        if name == "organism":
            return [s.organism for s in self._manifest.feature_spaces]
        if self.infos[name].kind == "categorical":
            return self._vocabulary.get(name, [])
        seen: set[Any] = set()
        for i in range(len(self._manifest.datasets)):
            column = self.column(i, name)
            seen.update(column.categories or ())
        return sorted(seen)

    def columns(self, ordinal: int) -> Mapping[str, Column]:
        """Return a mapping that reads columns of a dataset when they are looked up."""
        return _LazyColumns(self, ordinal)

    def column(self, ordinal: int, name: str) -> Column:
        """Return a column of all rows of a dataset, in the codes of the store."""
        dataset = self._manifest.datasets[ordinal]
        info, n = self.infos[name], dataset.n_obs
        if name in VIRTUAL_COLUMNS:
            categories = self.categories(name)
            value = dataset.id if name == "dataset" else dataset.organism
            codes = np.full(n, categories.index(value), np.int32)
            return Column(info, codes, np.zeros(n, np.bool_), categories)
        own = dataset.obs.columns.get(name)
        if name not in _STORED and (own is None or own.dtype == "null"):
            return _empty(info, n, self.categories(name) if info.kind == "categorical" else [])
        table = self._reader.table(dataset.obs.file.path, [name])
        array = table[name].combine_chunks()
        known = self.categories(name) if info.kind == "categorical" else None
        return _from_arrow(array, info, known)

    def selected(self, selection: Selection, name: str) -> Column:
        """Return a column of the selected rows, over all datasets."""
        parts: list[Column] = []
        for ordinal, rows in selection.parts():
            column = self.column(ordinal, name)
            parts.append(column if rows is None else column.take(rows))
        info = self.infos[name]
        if info.kind == "string" or (info.kind == "categorical" and not parts):
            return _concat_strings(info, parts, self.categories(name))
        if not parts:
            return _empty(info, 0, [])
        values = np.concatenate([p.values for p in parts])
        missing = np.concatenate([p.missing for p in parts])
        return Column(info, values, missing, parts[0].categories)

    @cached_property
    def _vocabulary(self) -> dict[str, list[Any]]:
        table = self._reader.table(self._manifest.vocabulary.path).to_pydict()
        found: dict[str, list[Any]] = {}
        for name, text in zip(table["column"], table["category"], strict=True):
            found.setdefault(name, []).append(parse_category(text, self.infos[name].dtype))
        return found


class _LazyColumns(Mapping[str, Column]):
    def __init__(self, obs: ObsStore, ordinal: int) -> None:
        self._obs, self._ordinal = obs, ordinal
        self._read: dict[str, Column] = {}

    def __getitem__(self, name: str) -> Column:
        if name not in self._read:
            self._read[name] = self._obs.column(self._ordinal, name)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._obs.infos)

    def __len__(self) -> int:
        return len(self._obs.infos)


def frame_columns(obs: pd.DataFrame) -> dict[str, Column]:
    """Return the columns of a DataFrame, for filters on a study that is not in a store yet."""
    columns = {}
    for name in obs.columns:
        values = obs[name]
        missing = values.isna().to_numpy()
        if isinstance(values.dtype, pd.CategoricalDtype):
            info = ColumnInfo(
                "categorical",
                "string" if values.cat.categories.inferred_type == "string" else "float64",
                bool(values.cat.ordered),
            )
            codes = values.cat.codes.to_numpy().astype(np.int32)
            columns[str(name)] = Column(info, codes, missing, values.cat.categories.tolist())
        elif values.dtype.kind in "biuf" and isinstance(values.dtype, np.dtype):
            kind = {"b": "bool", "f": "float"}.get(values.dtype.kind, "int")
            info = ColumnInfo(kind, str(values.dtype))
            columns[str(name)] = Column(info, values.to_numpy(), missing)
        else:
            numbers, uniques = pd.factorize(values)
            info = ColumnInfo("string", "string")
            columns[str(name)] = Column(info, numbers.astype(np.int32), missing, list(uniques))
    return columns


def _from_arrow(array: pa.Array, info: ColumnInfo, known: Sequence[Any] | None) -> Column:
    missing = np.asarray(array.is_null())
    if info.kind == "categorical":
        own = [parse_category(t, info.dtype) for t in array.dictionary.to_pylist()]
        place = {c: i for i, c in enumerate(known or ())}
        shared = np.array([*(place[c] for c in own), -1], np.int32)
        own_codes: NDArray[Any] = np.asarray(array.indices.fill_null(-1))
        return Column(info, shared[own_codes], missing, known)
    if info.kind == "string":
        if not pa.types.is_dictionary(array.type):
            array = array.dictionary_encode()
        codes = np.asarray(array.indices.fill_null(-1)).astype(np.int32)
        return Column(info, codes, missing, array.dictionary.to_pylist())
    if info.kind == "other":
        return Column(info, array.to_pandas().to_numpy(), missing)
    fill: Any = {"bool": False, "int": 0}.get(info.kind, np.nan)
    values = np.asarray(array.fill_null(fill) if array.null_count else array)
    return Column(info, values.astype(info.dtype), missing)


def _empty(info: ColumnInfo, n: int, categories: Sequence[Any]) -> Column:
    missing = np.ones(n, np.bool_)
    if info.kind in {"categorical", "string"}:
        return Column(info, np.full(n, -1, np.int32), missing, categories)
    if info.kind == "other":
        return Column(info, np.full(n, None, object), missing)
    fill = np.nan if info.kind == "float" else 0
    return Column(info, np.full(n, fill, np.dtype(info.dtype)), missing)


def _concat_strings(info: ColumnInfo, parts: Sequence[Column], categories: Sequence[Any]) -> Column:
    place = {c: i for i, c in enumerate(categories)}
    codes = [
        np.array([*(place[c] for c in p.categories or ()), -1], np.int32)[p.values] for p in parts
    ]
    missing = [p.missing for p in parts]
    return Column(
        info,
        np.concatenate([*codes, np.empty(0, np.int32)]),
        np.concatenate([*missing, np.empty(0, np.bool_)]),
        categories,
    )
