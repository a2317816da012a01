"""X and its relatives as a dask array."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from dao.backend import missing_extra
from dao.lazy.source import cut, matrix_source, read_matrix
from dao.lazy.sparse_block import CscBlock, CsrBlock, concatenate, tensordot

if TYPE_CHECKING:
    import dask.array as da

    from dao.lazy.blocks import Block
    from dao.lazy.source import Source
    from dao.store import Store

__all__ = ["received", "to_dask"]

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
    graph: dict[Any, Any] = {(name, i, 0): (_read, shared, block) for i, block in enumerate(parts)}
    graph[shared] = source
    how = source.how
    meta = np.empty((0, 0), how.dtype) if how.dense else _no_rows(how.dtype)
    make: Any = Array  # dask has few types
    collection: da.Array = make(
        graph, name, (tuple(map(len, parts)), (how.columns.n_vars,)), meta=meta
    )
    return collection


def _read(source: Source, block: Block) -> Any:
    """Return the rows of a block in the form that dask computes with."""
    found: Any = read_matrix(source, block)
    if not isinstance(found, sp.csr_matrix):
        return found
    return received(CsrBlock, found.data, found.indices, found.indptr, found.shape)


def received(kind: type, data: Any, indices: Any, indptr: Any, shape: Any) -> Any:
    """Return a sparse block, in a process in which dask knows what to do with it."""
    _let_dask_join()
    return kind((data, indices, indptr), shape)


def _no_rows(dtype: Any) -> Any:
    """Return the sparse block without rows that stands for all."""
    _let_dask_join()
    _let_anndata_write()
    return CsrBlock((0, 0), dtype=dtype)


@cache
def _let_dask_join() -> None:
    """Let dask join sparse blocks and multiply them as matrices."""
    from dask.array import dispatch

    lookups: Any = dispatch  # dask has few types
    for kind in (CsrBlock, CscBlock):
        lookups.concatenate_lookup.register(kind, concatenate)
        lookups.tensordot_lookup.register(kind, tensordot)


@cache
def _let_anndata_write() -> None:
    """Let anndata write arrays of sparse blocks as those of scipy's matrices.

    It finds its functions by exact classes.
    """
    from anndata._io.specs.registry import _REGISTRY

    blocks = {sp.csr_matrix: CsrBlock, sp.csc_matrix: CscBlock}
    tables: list[dict[Any, Any]] = [_REGISTRY.write, _REGISTRY.write_specs]
    for table in tables:
        for key, known in list(table.items()):
            other = _replaced(key, blocks)
            if other != key:
                table[other] = known


def _replaced(key: Any, blocks: dict[Any, Any]) -> Any:
    if isinstance(key, tuple):
        return tuple(_replaced(part, blocks) for part in key)
    return blocks.get(key, key)
