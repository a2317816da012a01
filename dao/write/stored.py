"""A portion of a store, open as a source: its tables, as the studies had them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dao.column import from_arrow
from dao.features.own import agreed_columns, own_names, own_table
from dao.format.obs_schema import INDEX_COLUMN, SOURCE_ROW_COLUMN
from dao.format.origins import joined_origins
from dao.write.portion import Matched, Origin
from dao.write.stored_matrix import measured_columns

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from dao.format.manifest import ColumnInfo, DatasetInfo, OriginInfo
    from dao.write.portion import Portion

__all__ = ["origin_of", "stored_obs", "stored_uns", "stored_var"]


def stored_obs(portion: Portion) -> pd.DataFrame:
    """Return the obs columns of the studies, with the types that they had there.

    Of several datasets: with the types that the store has united them to.
    """
    store, datasets = portion.store, portion.datasets
    names = [c for c in store.obs_columns if any(c in d.obs.columns for d in datasets)]
    if len(datasets) > 1 or portion.keep_ids is not None:
        obs = store.obs
        frame = obs[names]
        if portion.keep_ids is not None:
            ids = pd.Categorical(obs["dataset"].astype(str), [d.id for d in datasets])
            frame = frame.assign(**{portion.keep_ids: ids})
        return frame
    infos = datasets[0].obs.columns
    (table,) = _tables(portion, [INDEX_COLUMN, *names])
    columns = {name: _values(table[name].combine_chunks(), infos[name]) for name in names}
    index = table[INDEX_COLUMN].to_numpy()
    called = datasets[0].obs.index_name or None
    return pd.DataFrame(columns, index=pd.Index(index, dtype=object, name=called), copy=False)


def stored_var(portion: Portion) -> pd.DataFrame:
    """Return the features that the studies measured, and what they said of them themselves."""
    positions = measured_columns(portion)
    index = portion.store.var_names[np.isin(portion.store.feature_positions(), positions)]
    reader, several = portion.store.reader, len(portion.datasets) > 1
    columns: dict[str, Any] = {}
    for dataset in reversed(portion.datasets):
        table = own_table(reader.table(dataset.features.path))
        # What speaks of one study speaks of several only where they agree.
        apart = own_names(table) if several else ()
        own = table.loc[positions].filter(regex="^var:")
        texts = {str(n).removeprefix("var:"): own[n].array for n in own.columns}
        columns |= {n: values for n, values in texts.items() if n not in apart}
    if several:
        agreed = agreed_columns(reader, portion.datasets)
        columns |= {n: values.reindex(positions).array for n, values in agreed.items()}
    return pd.DataFrame(columns, index=index)


def stored_uns(portion: Portion) -> dict[str, Any]:
    """Return the annotation of a dataset, or of several by their ids."""
    reader = portion.store.reader
    documents = {d.id: reader.document(d.uns.path) for d in portion.datasets}
    return documents if len(documents) > 1 else dict(documents[portion.datasets[0].id])


def origin_of(portion: Portion) -> Origin:
    """Return what else is known of the cells."""
    store, first = portion.store, portion.datasets[0]
    matrices = [n for n in first.matrices if all(n in d.matrices for d in portion.datasets)]
    source_rows, origins = _source_rows(portion)
    return Origin(
        portion.order,
        source_rows,
        tuple(n for n in matrices if n != "X"),
        store.var.loc[stored_var(portion).index],
        len(portion.datasets) == 1 and portion.order is None and first.shuffled,
        _matched(portion) if portion.is_again else None,
        origins,
    )


def _matched(portion: Portion) -> Matched:
    reader, dataset = portion.store.reader, portion.datasets[0]
    measured = own_table(reader.table(dataset.features.path)).reset_index()
    if dataset.dropped is None:
        return Matched(measured, None, dataset.matching)
    return Matched(measured, reader.table(dataset.dropped.path).to_pandas(), dataset.matching)


def _source_rows(portion: Portion) -> tuple[NDArray[np.int64], tuple[OriginInfo, ...]]:
    """Return the rows in the first sources, and whose they are.

    Those of several datasets are counted as if their sources lay one after another.
    """
    found, first, counted = [np.empty(0, np.int64)], 0, []
    for dataset, table in zip(
        _ordered(portion), _tables(portion, [SOURCE_ROW_COLUMN]), strict=True
    ):
        rows = table[SOURCE_ROW_COLUMN].to_numpy()
        found.append(rows + first)
        n_rows = int(rows.max(initial=-1)) + 1
        counted.append((dataset, n_rows))
        first += n_rows
    return np.concatenate(found), joined_origins(counted)


def _ordered(portion: Portion) -> list[DatasetInfo]:
    """Return the datasets in store order."""
    return sorted(portion.datasets, key=lambda d: portion.store.manifest.ordinals[d.id])


def _tables(portion: Portion, names: list[str]) -> list[pa.Table]:
    """Return obs columns of the cells of each dataset, as they are stored."""
    store, tables = portion.store, []
    for dataset in _ordered(portion):
        table = store.reader.table(dataset.obs.file.path, names)
        rows = store.selection.chosen[store.manifest.ordinals[dataset.id]]
        tables.append(table if rows is None else table.take(rows))
    return tables


def _values(array: pa.Array, info: ColumnInfo) -> Any:
    if info.dtype == "null":
        return np.full(len(array), None, object)
    return from_arrow(array, info, None, own_codes=True).to_pandas()
