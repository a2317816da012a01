"""A selection as an AnnData in memory, with the dtypes that the sources had."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from dao.batches.columns import ColumnMap
from dao.batches.fetch import fetch
from dao.batches.locate import locate
from dao.batches.segment import segment
from dao.batches.spec import MatrixSpec
from dao.errors import ArgumentError
from dao.format.casts import fits, widest, without_advice
from dao.matrices import check_alike, common_dtype
from dao.warn import warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dao.format.manifest import DatasetInfo
    from dao.store import Store

__all__ = ["to_anndata"]


def to_anndata(store: Store) -> AnnData:
    """Return the selected cells and features in memory; see `dao.Store.to_anndata`."""
    columns = ColumnMap(store.feature_positions().astype(np.int32))
    datasets = store.selected_datasets
    others, left = _further(datasets)
    adata = AnnData(X=_matrix(store, "X", columns), obs=store.obs, var=store.var)
    for name in others:
        kind, _, key = name.partition("/")
        if kind == "layers":
            adata.layers[key] = _matrix(store, name, columns)
        else:
            adata.obsm[key] = _obsm(store, name, adata.obs_names)
    if left:
        warn(f"Left out of the AnnData: {'; '.join(left)}.")
    if len(datasets) == 1:
        adata.uns.update(store.uns[datasets[0].id])
    return adata


def _further(datasets: Sequence[DatasetInfo]) -> tuple[list[str], list[str]]:
    """Return the layers and obsm that all datasets have alike, and why others are left out."""
    have = [set(d.matrices) for d in datasets]
    kept, left = [], []
    for name in sorted(set().union(*have) - {"X"}):
        lacking = [d.id for d in datasets if name not in d.matrices]
        if lacking:
            left.append(f"{name}, which {lacking[0]!r} does not have")
            continue
        try:
            if name.startswith("obsm/"):
                check_alike(name, datasets)
            kept.append(name)
        except ArgumentError as error:
            left.append(str(error).removesuffix("."))
    return kept, left


def _obsm(store: Store, name: str, index: pd.Index) -> Any:
    info = store.matrix_infos(name)[0]
    width = ColumnMap(np.arange(info.shape[1], dtype=np.int32))
    values = _matrix(store, name, width, dense=info.columns is not None)
    if info.columns is None:
        return values
    return pd.DataFrame(values, index=index, columns=list(info.columns))


def _matrix(store: Store, name: str, columns: ColumnMap, *, dense: bool = False) -> Any:
    infos = store.matrix_infos(name)
    dtype = common_dtype(name, infos, [np.dtype(i.source_dtype) for i in infos])
    # Kernels know no half precision and no booleans; both are exact in float32 and uint8.
    stand_ins: dict[str, np.dtype[Any]] = {
        "float16": np.dtype(np.float32),
        "bool": np.dtype(np.uint8),
    }
    working = stand_ins.get(str(dtype), dtype)
    rows = np.arange(store.n_obs, dtype=np.int64)
    dense = dense or (bool(infos) and all(i.source_encoding == "dense" for i in infos))
    spec = MatrixSpec.of(infos, columns, working, dense=dense)
    fetched = fetch(
        store.reader,
        {name: spec},
        locate(store.manifest, store.selection, rows, [0, store.n_obs]),
    )
    try:
        matrix: Any = segment(fetched, 0, {name: spec}).matrices[name]
    except ArgumentError as error:
        # Sums of repeated entries of a file may have outgrown its dtype.
        outgrown = widest([working, *(p.values.dtype for p in fetched.stored[name].parts)])
        if outgrown == working:
            msg = (
                f"{without_advice(error)} No dtype holds all selected datasets: export them one by "
                'one, as in store.subset(dataset="a").to_anndata().'
            )
            raise ArgumentError(msg) from error
        return segment(fetched, 0, {name: replace(spec, dtype=outgrown)}).matrices[name]
    values = matrix if dense else matrix.data
    # scipy has no half precision either.
    is_half = dtype == np.float16
    if (is_half and not dense) or not fits(values, dtype):
        return matrix
    return matrix.astype(dtype, copy=False)
