"""Moments: mean and variance of every gene in float64, block by block, by a stable method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Moments", "moments_of"]


@dataclass(frozen=True, slots=True)
class Moments:
    """What is known of each gene over some cells; two of them can be added.

    Attributes
    ----------
    n_obs
        Cells.
    n_cells, total
        Per gene: cells in which it is not zero, and the sum.
    centre, squares
        Per gene: the mean, and the sum of squares about it. Squares about zero would lose the
        variance of a gene whose mean is large.
    """

    n_obs: int
    n_cells: NDArray[np.int64]
    total: NDArray[np.float64]
    centre: NDArray[np.float64]
    squares: NDArray[np.float64]

    def __add__(self, other: Moments) -> Moments:
        # Chan, Golub and LeVeque (1983).
        n = self.n_obs + other.n_obs
        share = other.n_obs / max(1, n)
        with _overflow():
            delta = other.centre - self.centre
            between = np.where(delta == 0, 0.0, delta**2 * (self.n_obs * share))
            return Moments(
                n,
                self.n_cells + other.n_cells,
                self.total + other.total,
                self.centre + delta * share,
                self.squares + other.squares + between,
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
        return self.squares / (self.n_obs - 1)


def moments_of(matrix: Any, _labels: object = None) -> Moments:
    """Return the moments of each column over some rows, a CSR matrix or an array.

    The mean comes first, then the squares about it, with the correction for the rounding of the
    mean.
    """
    if isinstance(matrix, np.ndarray):
        return _dense(matrix)
    n_obs, n_vars = matrix.shape
    n_cells, n_stored = np.zeros(n_vars, np.int64), np.zeros(n_vars, np.int64)
    total, rest, squares = np.zeros(n_vars), np.zeros(n_vars), np.zeros(n_vars)
    _add_up(matrix.data, matrix.indices, n_cells, n_stored, total)
    mean = total / max(1, n_obs)
    _add_squares(matrix.data, matrix.indices, mean, rest, squares)
    # What is not stored is zero.
    n_zeros = n_obs - n_stored
    with _overflow():
        rest -= n_zeros * mean
        squares += np.where(n_zeros == 0, 0.0, n_zeros * mean**2) - rest**2 / max(1, n_obs)
        centre = mean + rest / max(1, n_obs)
        return Moments(n_obs, n_cells, total, centre, np.maximum(squares, 0.0))


def _overflow() -> np.errstate:
    """Let squares of large numbers become infinite or NaN, which is seen in the result."""
    return np.errstate(over="ignore", invalid="ignore")


def _dense(matrix: NDArray[Any]) -> Moments:
    n_obs = len(matrix)
    with _overflow():
        total = matrix.sum(axis=0, dtype=np.float64)
        mean = total / max(1, n_obs)
        distance = matrix - mean
        rest = distance.sum(axis=0)
        squares = (distance**2).sum(axis=0) - rest**2 / max(1, n_obs)
        centre = mean + rest / max(1, n_obs)
    n_cells = np.count_nonzero(matrix, axis=0)
    return Moments(n_obs, n_cells, total, centre, np.maximum(squares, 0.0))


@njit(nogil=True, cache=True)
def _add_up(
    values: NDArray[Any],
    indices: NDArray[np.int32],
    n_cells: NDArray[np.int64],
    n_stored: NDArray[np.int64],
    total: NDArray[np.float64],
) -> None:
    for k in range(len(values)):
        gene, value = indices[k], values[k]
        n_cells[gene] += value != 0
        n_stored[gene] += 1
        total[gene] += value


@njit(nogil=True, cache=True)
def _add_squares(
    values: NDArray[Any],
    indices: NDArray[np.int32],
    mean: NDArray[np.float64],
    rest: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> None:
    for k in range(len(values)):
        gene = indices[k]
        distance = values[k] - mean[gene]
        rest[gene] += distance
        squares[gene] += distance * distance
