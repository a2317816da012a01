"""obs as a dask dataframe, in the blocks of X."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dao.arguments import names
from dao.backend import missing_extra
from dao.format.obs_schema import SOURCE_ROW_COLUMN, VIRTUAL_COLUMNS
from dao.lazy.blocks import Block
from dao.lazy.source import ObsSource, cut, matrix_source, read_obs, shared_reader
from dao.where.bind import unknown_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dask.dataframe as dd

    from dao.store import Store

__all__ = ["obs_to_dask"]

_NAME = "obs_to_dask"


def obs_to_dask(
    store: Store, columns: Sequence[str] | None, x_format: str, rows_per_block: int | None
) -> dd.DataFrame:
    """Return obs of the selection as a dask dataframe; see `dao.Store.obs_to_dask`."""
    try:
        from dask.base import tokenize
        from dask.dataframe import from_graph
    except ImportError as error:
        raise missing_extra(_NAME, "dask", error) from error
    source = ObsSource(shared_reader(store), _names(store, columns))
    parts = cut(store, matrix_source(store, x_format=x_format), rows_per_block)
    token = tokenize(source.shared.digest, source.columns, parts)
    name, shared = f"dao-obs-{token}", f"dao-source-{token}"
    graph: dict[Any, Any] = {(name, i): (read_obs, shared, block) for i, block in enumerate(parts)}
    graph[shared] = source
    meta = read_obs(source, Block(0, 0, ()))
    divisions = (*(part.start for part in parts), max(0, store.n_obs - 1))
    keys = [(name, i) for i in range(len(parts))]
    make: Any = from_graph  # dask has few types
    collection: dd.DataFrame = make(graph, meta, divisions, keys, "dao-obs")
    return collection


def _names(store: Store, columns: Sequence[str] | None) -> tuple[str, ...]:
    offered = (*VIRTUAL_COLUMNS, *store.obs_columns, SOURCE_ROW_COLUMN)
    if columns is None:
        return offered
    asked = names("columns", columns)
    for name in asked:
        if name not in offered:
            raise unknown_column(name, offered)
    return tuple(asked)
