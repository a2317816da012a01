"""Pseudobulk: cells of each group added up."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from anndata.utils import make_index_unique
from numba import njit

from dao.arguments import choice, names, shown
from dao.errors import ArgumentError
from dao.lazy.source import matrix_source
from dao.ranges import ranges
from dao.stats.run import in_float64, over_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dao.store import Store

__all__ = ["pseudobulk"]

Array = np.ndarray[Any, Any]


def pseudobulk(
    store: Store, by: str | Sequence[str], func: str, layer: str | None, transform: Any
) -> AnnData:
    """Return the cells of each group added up; see `dao.Store.pseudobulk`."""
    columns = names("by", by)
    if not columns:
        msg = f"by={shown(by)}: pass the name of an obs column, or a list of names."
        raise ArgumentError(msg)
    choice("func", func, ("sum", "mean"))
    group, obs = _groups(store, columns)
    narrow = group.astype(np.min_scalar_type(-len(obs) - 1))
    with in_float64():
        source = matrix_source(store, layer, "csr", "float64", transform)
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
    for name in obs.columns:
        obs[name] = pd.Categorical(obs[name]).remove_unused_categories()
    # One text for each category, whatever the others are: a day is always a day at midnight.
    texts = [pd.Index(map(str, obs[n].cat.categories))[obs[n].cat.codes.to_numpy()] for n in names]
    labels = pd.Index(["_".join(parts) for parts in zip(*texts, strict=True)], dtype=object)
    # The values of ("a_b", "c") and ("a", "b_c") join to one text.
    obs.index = make_index_unique(labels)
    obs["n_obs_aggregated"] = counts.to_numpy()
    return group, obs


def group_sums(n_groups: int, matrix: Any, group: Array) -> Any:
    """Return the sum of the rows of each group, as CSR; those of group -1 are left out."""
    order = np.argsort(group, kind="stable")
    ends = np.searchsorted(group[order], np.arange(n_groups + 1))
    room = np.zeros(n_groups + 1, np.int64)
    stored = np.append(0, np.cumsum(np.diff(matrix.indptr)[order], dtype=np.int64))[ends]
    np.cumsum(np.minimum(np.diff(stored), matrix.shape[1]), out=room[1:])
    values, columns = np.empty(room[-1]), np.empty(room[-1], np.int32)
    counts = np.zeros(n_groups, np.int64)
    arrays = matrix.data, matrix.indices, matrix.indptr
    _add_rows(*arrays, order, ends, room, matrix.shape[1], values, columns, counts)
    kept = ranges(room[:-1], counts)
    indptr = np.append(0, np.cumsum(counts))
    shape = n_groups, matrix.shape[1]
    return sp.csr_array((values[kept], columns[kept], indptr), shape=shape)


@njit(nogil=True, cache=True)
def _add_rows(
    values: Array,
    indices: Array,
    indptr: Array,
    order: Array,
    ends: Array,
    room: Array,
    n_vars: int,
    out_values: Array,
    out_columns: Array,
    counts: Array,
) -> None:
    """Add up the rows ``order[ends[g]:ends[g + 1]]`` of each group, and write what is not zero."""
    total = np.zeros(n_vars)
    for g in range(len(counts)):
        if ends[g] == ends[g + 1]:
            continue
        for row in order[ends[g] : ends[g + 1]]:
            for k in range(indptr[row], indptr[row + 1]):
                total[indices[k]] += values[k]
        out = room[g]
        for column in range(n_vars):
            if total[column] != 0:
                out_values[out], out_columns[out] = total[column], column
                total[column] = 0
                out += 1
        counts[g] = out - room[g]


def _added(one: Any, other: Any) -> Any:
    return one + other
