"""Mean and variance of every gene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from dao.lazy.source import matrix_source
from dao.moments import Moments, moments_of
from dao.stats.run import over_blocks

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
    source = matrix_source(store, layer, "csr", "float64", transform)
    return over_blocks(store, source, moments_of, Moments.__add__)
