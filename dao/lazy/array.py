"""X and its relatives as a dask array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from dao.backend import missing_extra
from dao.lazy.source import cut, matrix_source, read_matrix

if TYPE_CHECKING:
    import dask.array as da

    from dao.store import Store

__all__ = ["to_dask"]

_NAME = "to_dask"


def to_dask(
    store: Store,
    layer: str | None,
    x_format: str,
    dtype: Any,
    transform: Any,
    rows_per_block: int | None,
) -> da.Array:
    """Return a matrix of the selection as a dask array; see `dao.Store.to_dask`."""
    try:
        from dask.array import Array
        from dask.base import tokenize
    except ImportError as error:
        raise missing_extra(_NAME, "dask", error) from error
    source = matrix_source(store, layer, x_format, dtype, transform)
    parts = cut(store, source, rows_per_block)
    token = tokenize(source.digest, parts)
    name, shared = f"dao-{layer or 'X'}-{token}", f"dao-source-{token}"
    graph: dict[Any, Any] = {
        (name, i, 0): (read_matrix, shared, block) for i, block in enumerate(parts)
    }
    graph[shared] = source
    how = source.how
    meta = np.empty((0, 0), how.dtype) if how.dense else sp.csr_matrix((0, 0), dtype=how.dtype)
    make: Any = Array  # dask has few types
    collection: da.Array = make(
        graph, name, (tuple(map(len, parts)), (how.columns.n_vars,)), meta=meta
    )
    return collection
