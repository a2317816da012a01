"""Highly variable genes, by dispersion, as in scanpy (flavours of Seurat and Cell Ranger)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import median_abs_deviation

from dao.arguments import choice, whole
from dao.errors import ArgumentError
from dao.stats.genes import gene_moments
from dao.transforms import Log1p, NormalizeTotal

if TYPE_CHECKING:
    from dao.store import Store

__all__ = ["dispersions", "highly_variable_genes"]

Array = np.ndarray[Any, Any]

_FLAVORS = ("seurat", "cell_ranger")
_MOST_BINS = 1_000_000


def highly_variable_genes(
    store: Store, n_top_genes: int, flavor: str, n_bins: int, target_sum: float, totals: str | None
) -> pd.DataFrame:
    """Return which genes vary most; see `dao.Store.highly_variable_genes`."""
    choice("flavor", flavor, _FLAVORS)
    n_top_genes = whole("n_top_genes", n_top_genes, 1)
    n_bins = whole("n_bins", n_bins, 1, _MOST_BINS)
    if store.n_obs < 2:
        msg = f"{store.n_obs} cells are selected, and one alone does not vary. Select more."
        raise ArgumentError(msg)
    normalize = NormalizeTotal(target_sum, totals)
    steps = [normalize] if flavor == "seurat" else [normalize, Log1p()]
    moments = gene_moments(store, None, steps)
    table = dispersions(moments.mean, moments.var, flavor, n_bins)
    table.index = store.var_names
    return table.assign(highly_variable=_top(table["dispersions_norm"].to_numpy(), n_top_genes))


def dispersions(mean: Array, var: Array, flavor: str, n_bins: int = 20) -> pd.DataFrame:
    """Return means, dispersions, and dispersions beside those of genes of about the same mean.

    Satija et al. (2015) for "seurat", whose logarithms are taken here; Zheng et al. (2017) for
    "cell_ranger".
    """
    mean = np.where(mean == 0, 1e-12, mean)
    ratio = var / mean
    if flavor == "seurat":
        ratio = np.log(np.where(ratio == 0, np.nan, ratio))
        mean = np.log1p(mean)
        bins = pd.cut(pd.Series(mean), bins=n_bins)
    else:
        edges = np.percentile(mean, np.arange(10, 105, 5))
        bins = pd.cut(pd.Series(mean), bins=np.r_[-np.inf, edges, np.inf])
    table = pd.DataFrame({"means": mean, "dispersions": ratio})
    grouped = table.groupby(bins, observed=True)["dispersions"]
    if flavor == "seurat":
        centre, spread = grouped.transform("mean"), grouped.transform("std")
        # A gene that is alone in its bin is not compared with anything: it gets a 1.
        alone = spread.isna()
        spread, centre = spread.where(~alone, centre), centre.where(~alone, 0.0)
    else:
        centre, spread = grouped.transform("median"), grouped.transform(_mad)
    return table.assign(dispersions_norm=(table["dispersions"] - centre) / spread)


def _mad(values: pd.Series) -> float:
    return float(median_abs_deviation(values, scale="normal"))


def _top(norm: Array, n: int) -> Array:
    """Return whether genes are among the first ``n``; as many as share the last place."""
    known = np.sort(norm[~np.isnan(norm)])[::-1]
    if not len(known):
        return np.zeros(len(norm), np.bool_)
    return np.asarray(np.nan_to_num(norm, nan=-np.inf) >= known[min(n, len(known)) - 1])
