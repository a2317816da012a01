"""Mean and variance of every gene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dao.lazy.source import matrix_source
from dao.moments import Moments, moments_of
from dao.stats.run import in_float64, over_blocks
from dao.warn import warn

if TYPE_CHECKING:
    from dao.store import Store

__all__ = ["gene_moments", "gene_stats"]


def gene_stats(store: Store, layer: str | None, transform: Any) -> pd.DataFrame:
    """Return statistics of every gene; see `dao.Store.gene_stats`."""
    moments = gene_moments(store, layer, transform)
    columns = {
        "n_cells": moments.n_cells,
        "total": moments.total,
        "mean": moments.mean,
        "var": moments.var,
    }
    return pd.DataFrame(columns, index=store.var_names)


def gene_moments(store: Store, layer: str | None, transform: Any) -> Moments:
    """Return the moments of every gene over the selection, in one pass over the matrix."""
    with in_float64():
        source = matrix_source(store, layer, "csr", "float64", transform)
        moments = over_blocks(store, source, moments_of, Moments.__add__)
    beyond = np.flatnonzero(np.isfinite(moments.centre) & ~np.isfinite(moments.squares))
    if len(beyond):
        warn(
            f"The variance of {len(beyond):,} features, as {store.var_names[beyond[0]]!r}, is NaN: "
            "their values are so large that float64 cannot hold the squares."
        )
        moments.squares[beyond] = np.nan
    return moments
