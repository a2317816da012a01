"""Hot rows: those that are drawn so often that all their draws in one window would be too many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.samplers.blocks import narrow

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["HotRows", "hot_rows"]

_AT_ONCE = 1 << 20  # rows whose weights are held in memory together
_EXPECTED = 4.0  # draws of a row in an epoch that make it hot
_MOST_PASSES = 16
_COST = 16  # rows that are decoded to have one that lies alone: those of its chunk
_AFFORDABLE = 0.5  # of an epoch's rows may be decoded more for further passes


@dataclass(frozen=True)
class HotRows:
    """Rows as a list of visits: each once, and the hot ones some times more after the others.

    A hot row's weight is divided over its visits, so that an epoch comes back to it: its draws lie
    in several windows, and those of rare cells beside those of all the others.

    Attributes
    ----------
    n
        Number of rows: visits below it are the rows themselves.
    weights
        Of some rows (a slice or an array).
    rows
        The hot rows, ascending.
    limit
        The weight from which a row is hot.
    passes
        How often an epoch comes to each hot row, the first time included.
    """

    n: int
    weights: Callable[[Any], NDArray[np.float64]]
    rows: NDArray[np.unsignedinteger]
    limit: float
    passes: int

    @property
    def n_visits(self) -> int:
        """Number of visits."""
        return self.n + (self.passes - 1) * len(self.rows)

    def rows_of(self, visits: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row of each visit."""
        rows = visits.copy()
        later = visits >= self.n
        rows[later] = self.rows[(visits[later] - self.n) % max(1, len(self.rows))]
        return rows

    def weights_of(self, visits: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the weight of each visit."""
        weights = self.weights(self.rows_of(visits))
        return np.where(weights >= self.limit, weights / self.passes, weights)

    def sums(self, block: int) -> NDArray[np.float64]:
        """Return the summed weights of each block of consecutive visits."""
        step = max(1, _AT_ONCE // block) * block
        parts = [
            np.add.reduceat(self.weights_of(np.arange(a, b)), np.arange(0, b - a, block))
            for a in range(0, self.n_visits, step)
            for b in [min(a + step, self.n_visits)]
        ]
        return np.concatenate([np.zeros(0), *parts])


def hot_rows(n: int, weights: Callable[[Any], NDArray[np.float64]], size: int) -> HotRows:
    """Return the visits of an epoch of ``size`` draws.

    There are as many passes over hot rows as can be read in half the time of the rest.
    """
    parts = [slice(a, min(a + _AT_ONCE, n)) for a in range(0, n, _AT_ONCE)]
    total = sum(float(weights(part).sum()) for part in parts)
    limit = _EXPECTED * total / size if size else np.inf
    found = [np.flatnonzero(weights(part) >= limit) + part.start for part in parts]
    hot = narrow(np.concatenate([np.zeros(0, np.int64), *found]), n)
    cost = min(len(hot) * _COST, n)
    affordable = 1 + int(_AFFORDABLE * size / cost) if cost else 1
    return HotRows(n, weights, hot, limit, min(_MOST_PASSES, affordable))
