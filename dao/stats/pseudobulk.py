"""Pseudobulk: cells of each group added up."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from dao.errors import ArgumentError
from dao.lazy.source import matrix_source
from dao.stats.run import over_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dao.store import Store

__all__ = ["pseudobulk"]

Array = np.ndarray[Any, Any]


def pseudobulk(
    store: Store, by: str | Sequence[str], func: str, layer: str | None, transform: Any
) -> AnnData:
    """Return the cells of each group added up; see `dao.Store.pseudobulk`."""
    names = [by] if isinstance(by, str) else list(by)
    if not names or len(set(names)) < len(names):
        msg = f"by={by!r}: name one obs column or several, each once."
        raise ArgumentError(msg)
    if func not in {"sum", "mean"}:
        msg = f"func={func!r}: choose 'sum' or 'mean'."
        raise ArgumentError(msg)
    group, obs = _groups(store, names)
    source = matrix_source(store, layer, "csr", "float64", transform)
    narrow = group.astype(np.min_scalar_type(-len(obs) - 1))
    sums: Any = over_blocks(store, source, partial(group_sums, len(obs)), _added, narrow)
    if func == "mean":
        sums = sp.diags_array(1.0 / obs["n_obs_aggregated"].to_numpy()) @ sums
    return AnnData(sp.csr_matrix(sums), obs=obs, var=store.var)


def _groups(store: Store, names: Sequence[str]) -> tuple[Array, pd.DataFrame]:
    """Return the group of each cell (-1 if a value is missing), and what the groups are."""
    columns = {name: store.obs_column(name).to_pandas() for name in names}
    table = pd.DataFrame(columns)
    grouped = table.groupby(list(names), observed=True, sort=True, dropna=True)
    group = grouped.ngroup().fillna(-1).to_numpy(np.int64)
    counts = grouped.size()
    obs = counts.index.to_frame(index=False)
    labels = obs.astype(str).agg("_".join, axis=1) if len(obs) else pd.Series([], dtype=object)
    obs.index = pd.Index(labels.to_list(), dtype=object)
    for name in obs.columns:
        if not isinstance(obs[name].dtype, pd.CategoricalDtype):
            obs[name] = pd.Categorical(obs[name])
    obs["n_obs_aggregated"] = counts.to_numpy()
    return group, obs


def group_sums(n_groups: int, matrix: Any, group: Array) -> Any:
    """Return the sum of the rows of each group, as CSR; those of group -1 are left out."""
    rows = np.flatnonzero(group >= 0)
    here = np.ones(len(rows)), (group[rows].astype(np.int64), rows)
    member = sp.csr_array(here, shape=(n_groups, len(group)))
    return sp.csr_array(member @ sp.csr_array(matrix))


def _added(one: Any, other: Any) -> Any:
    return one + other
