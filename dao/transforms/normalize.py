"""The same total in every cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from dao.arguments import number, optional_text
from dao.errors import ArgumentError
from dao.threads import over_ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.obs import Column

__all__ = ["NormalizeTotal", "known_totals", "row_totals"]


@dataclass(frozen=True, slots=True, init=False)
class NormalizeTotal:
    """Scale each cell so that its counts add up to ``target_sum``, as `scanpy.pp.normalize_total`.

    Parameters
    ----------
    target_sum
        What cells add up to. None is scanpy's default: the median of the totals of the selected
        cells that have counts. It is found when a generator is made, which reads X once, unless
        ``totals`` names a column; it is the same on every rank and in every worker.
    totals
        obs column with the total of each cell. If None the genes of the batch are added up: with
        chosen genes (``var_names``) that is another number than the total over all genes.

    Raises
    ------
    dao.errors.ArgumentError
        If ``target_sum`` is not a number above 0, or for an argument of scanpy that is not
        supported, as ``exclude_highly_expressed``.

    Examples
    --------
    >>> batch = next(iter(store.generator(100, transform=NormalizeTotal(1e4))))
    >>> np.allclose(batch["X"].sum(axis=1), 1e4)
    True
    """

    target_sum: float | None
    totals: str | None

    def __init__(
        self, target_sum: float | None = 1e4, totals: str | None = None, **others: Any
    ) -> None:
        for name in others:
            msg = (
                f"NormalizeTotal has no argument {name!r}: it takes target_sum and totals. What "
                "depends on more than the total of a cell, as exclude_highly_expressed does, can "
                "be put into an obs column and named by totals=."
            )
            raise ArgumentError(msg)
        if target_sum is not None:
            median = ", or None for the median of the selected cells"
            given = number("target_sum", target_sum, 0, median)
            target_sum = target_sum if type(target_sum) is int else given
        optional_text("totals", totals, "n_counts")
        object.__setattr__(self, "target_sum", target_sum)
        object.__setattr__(self, "totals", totals)

    def with_median(self, totals: NDArray[np.float64]) -> NormalizeTotal:
        """Return the transform to the median of the totals of some cells.

        Raises
        ------
        dao.errors.ArgumentError
            If a total is not a number.
        """
        if not np.isfinite(totals).all():
            msg = "target_sum=None: some cells have no finite total, so there is no median."
            raise ArgumentError(msg)
        counted = totals[totals > 0]
        # Cells without counts stay as they are, whatever the target is.
        return NormalizeTotal(float(np.median(counted)) if len(counted) else 1.0, self.totals)

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
        if self.target_sum is None:
            msg = "target_sum=None is known to a generator only: pass the transform to one."
            raise ArgumentError(msg)
        target = float(self.target_sum)
        totals = np.zeros(0) if obs is None else known_totals(str(self.totals), obs, rows)

        def scale(start: int, stop: int) -> None:
            own = totals[start:stop]
            if isinstance(X, np.ndarray):
                _scale_dense(X[start:stop], own, target)
            else:
                _scale_csr(X.data, X.indptr[start : stop + 1], own, target)

        over_ranges(scale, X.shape[0], X.size if isinstance(X, np.ndarray) else X.nnz)


def known_totals(name: str, column: Column, rows: NDArray[np.int64] | slice) -> NDArray[np.float64]:
    """Return the totals of some cells, from an obs column.

    Raises
    ------
    dao.errors.ArgumentError
        If it has none for some of them.
    """
    totals = column.values[rows].astype(np.float64)
    if column.missing[rows].any() or not np.isfinite(totals).all():
        msg = f"obs column {name!r} has no total for some cells, so they cannot be normalized."
        raise ArgumentError(msg)
    return totals


def row_totals(X: Any) -> NDArray[np.float64]:
    """Return the sum of each row of a CSR matrix or an array, as it is normalized by."""
    totals = np.empty(X.shape[0])

    def add(start: int, stop: int) -> None:
        if isinstance(X, np.ndarray):
            _add_dense(X[start:stop], totals[start:stop])
        else:
            _add_csr(X.data, X.indptr[start : stop + 1], totals[start:stop])

    over_ranges(add, X.shape[0], X.size if isinstance(X, np.ndarray) else X.nnz)
    return totals


@njit(nogil=True, cache=True)
def _sum(row: NDArray[Any]) -> float:
    """Add up in float64: in float32 the total of a deep cell would lose its last digits."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    end = len(row) // 4 * 4
    # Four sums at a time, as each addition waits for the one before.
    for k in range(0, end, 4):
        a += row[k]
        b += row[k + 1]
        c += row[k + 2]
        d += row[k + 3]
    for k in range(end, len(row)):
        a += row[k]
    return (a + b) + (c + d)


@njit(nogil=True, cache=True)
def _scale(row: NDArray[Any], total: float, target: float) -> None:
    if total > 0:
        factor = target / total
        for k in range(len(row)):
            row[k] = np.float64(row[k]) * factor


@njit(nogil=True, cache=True)
def _scale_csr(
    values: NDArray[Any], indptr: NDArray[Any], totals: NDArray[np.float64], target: float
) -> None:
    for i in range(len(indptr) - 1):
        row = values[indptr[i] : indptr[i + 1]]
        _scale(row, totals[i] if len(totals) else _sum(row), target)


@njit(nogil=True, cache=True)
def _scale_dense(X: NDArray[Any], totals: NDArray[np.float64], target: float) -> None:
    for i in range(len(X)):
        _scale(X[i], totals[i] if len(totals) else _sum(X[i]), target)


@njit(nogil=True, cache=True)
def _add_csr(values: NDArray[Any], indptr: NDArray[Any], totals: NDArray[np.float64]) -> None:
    for i in range(len(totals)):
        totals[i] = _sum(values[indptr[i] : indptr[i + 1]])


@njit(nogil=True, cache=True)
def _add_dense(X: NDArray[Any], totals: NDArray[np.float64]) -> None:
    for i in range(len(X)):
        totals[i] = _sum(X[i])
