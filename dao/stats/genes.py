"""Mean and variance of every gene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numba import njit

from dao.lazy.source import matrix_source
from dao.stats.run import over_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.store import Store

__all__ = ["Sums", "gene_stats", "gene_sums"]


@dataclass(frozen=True, slots=True)
class Sums:
    """Of some cells, per gene: cells in which it is not zero, sum, sum of squares."""

    n_obs: int
    n_cells: NDArray[np.int64]
    total: NDArray[np.float64]
    squares: NDArray[np.float64]

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.n_obs + other.n_obs,
            self.n_cells + other.n_cells,
            self.total + other.total,
            self.squares + other.squares,
        )

    @property
    def mean(self) -> NDArray[np.float64]:
        """Of all cells; NaN if there is none."""
        return self.total / self.n_obs if self.n_obs else np.full(len(self.total), np.nan)

    @property
    def var(self) -> NDArray[np.float64]:
        """Of all cells, about their mean, divided by one less than their number."""
        if self.n_obs < 2:
            return np.full(len(self.total), np.nan)
        centred = self.squares - self.n_obs * self.mean**2
        return np.maximum(centred, 0.0) / (self.n_obs - 1)


def gene_stats(store: Store, layer: str | None, transform: Any) -> pd.DataFrame:
    """Return statistics of every gene; see `dao.Store.gene_stats`."""
    sums = gene_sums(store, layer, transform)
    columns = {"n_cells": sums.n_cells, "total": sums.total, "mean": sums.mean, "var": sums.var}
    return pd.DataFrame(columns, index=store.var_names)


def gene_sums(store: Store, layer: str | None, transform: Any) -> Sums:
    """Return the sums of every gene over the selection, in one pass."""
    source = matrix_source(store, layer, "csr", "float64", transform)
    return over_blocks(store, source, sums_of, Sums.__add__)


def sums_of(matrix: Any, _labels: object = None) -> Sums:
    """Return the sums over some rows."""
    n_vars = matrix.shape[1]
    n_cells = np.zeros(n_vars, np.int64)
    total, squares = np.zeros(n_vars), np.zeros(n_vars)
    _add_up(matrix.data, matrix.indices, n_cells, total, squares)
    return Sums(matrix.shape[0], n_cells, total, squares)


@njit(nogil=True, cache=True)
def _add_up(
    values: NDArray[np.float64],
    indices: NDArray[np.int32],
    n_cells: NDArray[np.int64],
    total: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> None:
    for k in range(len(values)):
        gene, value = indices[k], values[k]
        n_cells[gene] += value != 0
        total[gene] += value
        squares[gene] += value * value
