"""The same total in every cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from dao.errors import ArgumentError
from dao.threads import over_ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.obs import Column

__all__ = ["NormalizeTotal"]


@dataclass(frozen=True, slots=True)
class NormalizeTotal:
    """Scale each cell so that its counts add up to ``target_sum``, as `scanpy.pp.normalize_total`.

    Parameters
    ----------
    target_sum
        What cells add up to. scanpy's default, the median of all cells, is not known while
        streaming; give it if you want it.
    totals
        obs column with the total of each cell. If None the genes of the batch are added up: with
        chosen genes (``var_names``) that is another number than the total over all genes.

    Examples
    --------
    >>> batch = next(iter(store.generator(100, transform=NormalizeTotal(1e4))))
    >>> np.allclose(batch["X"].sum(axis=1), 1e4)
    True
    """

    target_sum: float = 1e4
    totals: str | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.target_sum) and self.target_sum > 0):
            msg = f"target_sum={self.target_sum!r}: give a number above 0."
            raise ArgumentError(msg)

    @property
    def obs_key(self) -> str | None:
        """The column with the totals."""
        return self.totals

    @property
    def needs_dense(self) -> bool:
        """Zeros stay zeros."""
        return False

    def check(self, n_vars: int) -> None:
        """Accept everything."""

    def apply(self, X: Any, obs: Column | None, rows: NDArray[np.int64]) -> None:
        """Change X in place; cells without counts stay as they are."""
        totals = np.zeros(0) if obs is None else _totals(str(self.totals), obs, rows)

        def scale(start: int, stop: int) -> None:
            own = totals[start:stop]
            if isinstance(X, np.ndarray):
                _scale_dense(X[start:stop], own, self.target_sum)
            else:
                _scale_csr(X.data, X.indptr[start : stop + 1], own, self.target_sum)

        over_ranges(scale, X.shape[0], X.size if isinstance(X, np.ndarray) else X.nnz)


def _totals(name: str, column: Column, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    totals = column.values[rows].astype(np.float64)
    if column.missing[rows].any() or not np.isfinite(totals).all():
        msg = f"obs column {name!r} has no total for some cells, so they cannot be normalized."
        raise ArgumentError(msg)
    return totals


@njit(nogil=True, cache=True)
def _scale_csr(
    values: NDArray[Any], indptr: NDArray[Any], totals: NDArray[np.float64], target: float
) -> None:
    for i in range(len(indptr) - 1):
        row = values[indptr[i] : indptr[i + 1]]
        total = totals[i] if len(totals) else row.sum()
        if total > 0:
            row *= values.dtype.type(target / total)


@njit(nogil=True, cache=True)
def _scale_dense(X: NDArray[Any], totals: NDArray[np.float64], target: float) -> None:
    for i in range(len(X)):
        total = totals[i] if len(totals) else X[i].sum()
        if total > 0:
            X[i] *= X.dtype.type(target / total)
