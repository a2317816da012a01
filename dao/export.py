"""A selection as an AnnData in memory, with the dtypes that the sources had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from dao.batches.columns import ColumnMap
from dao.batches.fetch import fetch
from dao.batches.locate import locate
from dao.batches.segment import segment
from dao.batches.spec import MatrixSpec

if TYPE_CHECKING:
    from dao.store import Store

__all__ = ["to_anndata"]


def to_anndata(store: Store) -> AnnData:
    """Return the selected cells and features in memory; see `dao.Store.to_anndata`."""
    columns = ColumnMap(store.feature_positions().astype(np.int32))
    datasets = store.selected_datasets
    shared = [set(d.matrices) for d in datasets]
    others = sorted(set.intersection(*shared) - {"X"}) if shared else []
    adata = AnnData(X=_matrix(store, "X", columns), obs=store.obs, var=store.var)
    for name in others:
        kind, _, key = name.partition("/")
        infos = store.matrix_infos(name)
        if kind == "layers":
            adata.layers[key] = _matrix(store, name, columns)
        elif len({i.shape[1] for i in infos}) == 1:
            width = ColumnMap(np.arange(infos[0].shape[1], dtype=np.int32))
            values = _matrix(store, name, width, dense=True)
            names = infos[0].columns
            if names is not None and all(i.columns == names for i in infos):
                values = pd.DataFrame(values, index=adata.obs_names, columns=list(names))
            adata.obsm[key] = values
    if len(datasets) == 1:
        adata.uns.update(store.uns[datasets[0].id])
    return adata


def _matrix(store: Store, name: str, columns: ColumnMap, *, dense: bool = False) -> Any:
    infos = store.matrix_infos(name)
    dtypes = [np.dtype(i.source_dtype) for i in infos]
    dtype = np.result_type(*dtypes) if dtypes else np.dtype(np.float32)
    # Kernels know no half precision and no booleans; both are exact in float32 and uint8.
    stand_ins: dict[str, np.dtype[Any]] = {
        "float16": np.dtype(np.float32),
        "bool": np.dtype(np.uint8),
    }
    working = stand_ins.get(str(dtype), dtype)
    rows = np.arange(store.n_obs, dtype=np.int64)
    dense = dense or (bool(infos) and all(i.source_encoding == "dense" for i in infos))
    specs = {name: MatrixSpec(columns, working, dense)}
    cuts = [0, store.n_obs]
    fetched = fetch(store.reader, specs, locate(store.manifest, store.selection, rows, cuts))
    matrix: Any = segment(fetched, 0, specs).matrices[name]
    # scipy has no half precision either.
    return matrix if dtype == np.float16 and not dense else matrix.astype(dtype, copy=False)
