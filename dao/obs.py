"""obs columns in memory: read from parquet, united over datasets, shared codes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dao.cached import cached_property
from dao.column import Column, Texts, constant_column, empty_column, from_arrow, joined
from dao.errors import ArgumentError, CorruptStoreError
from dao.format.categories import parse_category
from dao.format.manifest import ColumnInfo
from dao.format.obs_schema import INDEX_COLUMN, SOURCE_ROW_COLUMN, VIRTUAL_COLUMNS
from dao.ontology import Ontology
from dao.threads import in_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.backend import Reader
    from dao.selection import Selection
    from dao.where.branch import Descendants

__all__ = ["Column", "ObsStore"]

T = TypeVar("T")

_STORED = {
    INDEX_COLUMN: ColumnInfo("string", "string"),
    SOURCE_ROW_COLUMN: ColumnInfo("int", "int64"),
}


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
        self._ontologies: dict[str, Ontology] = {}

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
        held = [Texts.of(c.categories or []).array for c in self._everywhere(name)]
        # New texts go behind the old ones, so that an append changes no code.
        ordered = [texts.take(pc.sort_indices(texts)) for texts in map(pc.unique, held)]
        return Texts(pc.unique(pa.chunked_array(ordered, pa.large_string())))

    def branch(self, name: str, wanted: Descendants) -> list[Any]:
        """Return the values of a column that lie in a branch of its ontology.

        Raises
        ------
        dao.errors.ArgumentError
            If the column has no ontology.
        dao.errors.UnknownValueError
            If the ontology has no such term.
        """
        if name not in self._ontologies:
            info = self._manifest.ontologies.get(name)
            if info is None:
                msg = (
                    f"{name!r} has no ontology, so {wanted} has no meaning there. Add one: "
                    f"store.add_ontology({name!r}, 'file.obo')."
                )
                raise ArgumentError(msg)
            table = self._reader.table(info.file.path)
            self._ontologies[name] = Ontology.from_table(info.source, table)
        return self._ontologies[name].labels_in(wanted, self.categories(name))

    def columns(self, ordinal: int, together: Iterable[str] = ()) -> Mapping[str, Column]:
        """Return a mapping that reads columns of a dataset when they are looked up.

        For filters: categoricals may have codes of their own in each dataset.

        Parameters
        ----------
        together
            Those that are read at once, as soon as one of them is looked up: a file is opened and
            checked only once for all of them.
        """
        return _LazyColumns(self, ordinal, [n for n in together if self._stores(ordinal, n)])

    def column(
        self,
        ordinal: int,
        name: str,
        rows: NDArray[np.uint32] | None = None,
        *,
        own_codes: bool = False,
        table: pa.Table | None = None,
    ) -> Column:
        """Return a column of a dataset.

        Parameters
        ----------
        rows
            Which of its rows; all if None.
        own_codes
            Whether codes may be those of the dataset, which is faster; else categoricals
            have those of the store.
        table
            The obs of the dataset, where it was read already.
        """
        dataset, info = self._manifest.datasets[ordinal], self.infos[name]
        n = dataset.n_obs if rows is None else len(rows)
        if name in VIRTUAL_COLUMNS:
            value = dataset.id if name == "dataset" else dataset.organism
            return constant_column(info, n, self.categories(name), value)
        known = self.categories(name) if info.kind == "categorical" else None
        array = self._array(ordinal, name, rows, table)
        if array is None:
            return empty_column(info, n, known or [])
        # The order of categories is one of the whole store.
        try:
            return from_arrow(array, info, known, own_codes=own_codes and not info.ordered)
        except (AttributeError, OverflowError, TypeError, ValueError, pa.ArrowException) as error:
            msg = (
                f"{dataset.obs.file.path} holds {array.type} as {name!r}, which the manifest "
                f"says is {info.kind}. Restore it from a copy."
            )
            raise CorruptStoreError(msg) from error

    def _array(
        self,
        ordinal: int,
        name: str,
        rows: NDArray[np.uint32] | None,
        table: pa.Table | None = None,
    ) -> pa.Array | None:
        """Return what is stored; None where all is missing."""
        if not self._stores(ordinal, name):
            return None
        array = (self.table(ordinal, [name]) if table is None else table)[name].combine_chunks()
        return array if rows is None else array.take(pa.array(rows))

    def _stores(self, ordinal: int, name: str) -> bool:
        own = self._manifest.datasets[ordinal].obs.columns.get(name)
        return name in _STORED or (own is not None and not own.is_empty)

    def table(self, ordinal: int, names: Sequence[str]) -> pa.Table:
        """Return stored columns of a dataset."""
        return self._reader.table(self._manifest.datasets[ordinal].obs.file.path, names)

    def selected(self, selection: Selection, name: str) -> Column:
        """Return a column of the selected rows, in their order, in the codes of the store."""
        info = self.infos[name]
        coded = info.kind in {"categorical", "string"}
        parts = self._each(selection, self.column, name)
        column = joined(info, parts, self.categories(name) if coded else None)
        return column if selection.order is None else column.take(selection.order)

    def which(self, selection: Selection, name: str, texts: pa.Array) -> NDArray[np.int32]:
        """Return for each selected row which of some texts it has; -1 for none of them."""

        def found(ordinal: int, name: str, rows: NDArray[np.uint32] | None) -> NDArray[np.int32]:
            array = self._array(ordinal, name, rows)
            if array is None:
                n_obs = self._manifest.datasets[ordinal].n_obs
                return np.full(n_obs if rows is None else len(rows), -1, np.int32)
            codes = pc.index_in(array, value_set=texts.cast(array.type))
            return np.asarray(codes.fill_null(-1)).astype(np.int32, copy=False)

        places = np.concatenate([np.empty(0, np.int32), *self._each(selection, found, name)])
        return places if selection.order is None else places[selection.order]

    def frame(self, selection: Selection, names: Sequence[str]) -> pd.DataFrame:
        """Return columns of the selected rows as a table, indexed by obs names."""
        columns = {name: self._plain(selection, name) for name in names}
        index = self._plain(selection, INDEX_COLUMN)
        called, dtype = self._called(selection), None if len(index) else object
        return pd.DataFrame(columns, index=pd.Index(index, dtype=dtype, name=called))

    def _called(self, selection: Selection) -> str | None:
        """Return what the selected studies call their obs names, if all call them the same."""
        datasets = self._manifest.datasets
        selected = [datasets[i] for i in selection.datasets] or datasets
        called = {dataset.obs.index_name for dataset in selected}
        name = called.pop() if len(called) == 1 else ""
        return name if name and name not in self.infos else None

    def _plain(self, selection: Selection, name: str) -> Any:
        if self.infos[name].kind != "string":
            return self.selected(selection, name).to_pandas()
        # Texts need no codes that all datasets share.
        texts = np.concatenate([np.empty(0, object), *self._each(selection, self._texts, name)])
        return texts if selection.order is None else texts[selection.order]

    def _texts(self, ordinal: int, name: str, rows: NDArray[np.uint32] | None) -> NDArray[Any]:
        array = self._array(ordinal, name, rows)
        if array is None:
            n = self._manifest.datasets[ordinal].n_obs if rows is None else len(rows)
            return np.full(n, None, object)
        plain = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
        return np.asarray(plain.to_numpy(zero_copy_only=False))

    def _each(self, selection: Selection, read: Callable[..., T], name: str) -> list[T]:
        return in_threads([partial(read, i, name, rows) for i, rows in selection.parts()])

    def _everywhere(self, name: str) -> list[Column]:
        ordinals = range(len(self._manifest.datasets))
        return in_threads([partial(self.column, i, name) for i in ordinals])

    @cached_property
    def _vocabulary(self) -> dict[str, list[Any]]:
        path = self._manifest.vocabulary.path
        table = self._reader.table(path).to_pydict()
        columns, texts = table.get("column", []), table.get("category", [])
        if len(table) != 2 or len(columns) != len(texts):
            msg = f"{path} is not a table of categories of obs columns. Restore it from a copy."
            raise CorruptStoreError(msg)
        found: dict[str, list[Any]] = {}
        for name, text in zip(columns, texts, strict=True):
            # The categories of a column outlive the last dataset that had it: so codes stay.
            if name in self.infos:
                found.setdefault(name, []).append(parse_category(text, self.infos[name].dtype))
        return found


class _LazyColumns(Mapping[str, Column]):
    def __init__(self, obs: ObsStore, ordinal: int, together: Sequence[str]) -> None:
        self._obs, self._ordinal, self._together = obs, ordinal, together
        self._read: dict[str, Column] = {}

    def __getitem__(self, name: str) -> Column:
        if name not in self._read:
            table = self._table if name in self._together else None
            column = self._obs.column(self._ordinal, name, own_codes=True, table=table)
            self._read[name] = column
        return self._read[name]

    @cached_property
    def _table(self) -> pa.Table:
        return self._obs.table(self._ordinal, self._together)

    def __iter__(self) -> Iterator[str]:
        return iter(self._obs.infos)

    def __len__(self) -> int:
        return len(self._obs.infos)
