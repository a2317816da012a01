"""Draws with replacement: each row exactly as likely as asked for, and yet read block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.cached import cached_property
from dao.ranges import ranges
from dao.samplers.blocks import Blocks
from dao.samplers.hot import HotRows, hot_rows
from dao.samplers.plan import EpochPlan, even_windows
from dao.samplers.rng import permutation, uniforms

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["Draws"]

_AT_ONCE = 1 << 20  # draws whose targets are held in memory together


@dataclass(frozen=True)
class Draws:
    """``size`` independent draws from rows with given weights.

    First it is drawn how many of them fall into each block of consecutive rows; the blocks are
    visited in random order; and which of its rows they are is drawn when a window comes to a
    block. Together that is one draw from the multinomial distribution over all rows, and what is
    held in memory is a number for each block. Rows that are drawn often are visited several times
    (see `HotRows`).

    Attributes
    ----------
    n
        Number of rows.
    weights
        Returns the float64 weights of some rows (a slice or an array), none below zero.
    size
        Number of draws.
    block, window
        Consecutive rows that are read together; draws that are decoded and shuffled together.
    """

    n: int
    weights: Callable[[Any], NDArray[np.float64]]
    size: int
    block: int
    window: int

    def plan(self, *, seed: int, epoch: int) -> EpochPlan:
        """Return the draws of an epoch as a stream."""
        epoch_draws = _EpochDraws(self, seed, epoch)
        return EpochPlan(even_windows(self.size, self.window), epoch_draws.window)


@dataclass(frozen=True)
class _EpochDraws:
    draws: Draws
    seed: int
    epoch: int

    def window(self, i: int) -> NDArray[np.int64]:
        low = i * self.draws.window
        high = min(low + self.draws.window, self.draws.size)
        found = self._rows(low, high)
        return found[permutation(len(found), self.seed, self.epoch, "window", i)]

    @cached_property
    def hot(self) -> HotRows:
        draws = self.draws
        return hot_rows(draws.n, draws.weights, draws.size)

    @cached_property
    def blocks(self) -> Blocks:
        """The blocks of which rows are drawn, in random order."""
        counts = self._counts()
        order = permutation(len(counts), self.seed, self.epoch, "blocks")
        order = order[counts[order] > 0]
        return Blocks(order, np.concatenate([[0], np.cumsum(counts[order])]), self.draws.block)

    def _counts(self) -> NDArray[np.int64]:
        """Draw how many draws fall into each block."""
        sums = self.hot.sums(self.draws.block)
        ends = np.cumsum(sums)
        counts = np.zeros(len(ends), np.int64)
        for start in range(0, self.draws.size, _AT_ONCE):
            n = min(_AT_ONCE, self.draws.size - start)
            drawn = uniforms(n, self.seed, self.epoch, "counts", start=start)
            found = _inverse(ends, drawn * ends[-1], ends[-1:])
            counts += np.bincount(found, minlength=len(ends))
        return counts

    def _rows(self, low: int, high: int) -> NDArray[np.int64]:
        """Return the rows of the draws ``low`` to ``high``, in the order of blocks."""
        here = self.blocks.touched(low, high)
        starts = self.blocks.order[here] * self.draws.block
        lengths = np.minimum(self.draws.block, self.hot.n_visits - starts)
        first = np.cumsum(lengths) - lengths
        visits = ranges(starts, lengths)
        ends = np.cumsum(self.hot.weights_of(visits))
        before = np.where(first, ends[first - 1], 0.0)
        after = np.append(before[1:], ends[-1])
        place = np.arange(low, high)
        block = np.searchsorted(self.blocks.ends, place, side="right") - 1 - here.start
        drawn = uniforms(high - low, self.seed, self.epoch, "rows", start=low)
        targets = before[block] + drawn * (after - before)[block]
        return self.hot.rows_of(visits[_inverse(ends, targets, after[block])])


def _inverse(
    ends: NDArray[np.float64], targets: NDArray[np.float64], limits: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the first place at which running sums exceed the targets, which are below limits."""
    # Rounding must neither reach the next block nor an item of weight zero.
    below = np.minimum(targets, np.nextafter(limits, 0))
    return np.asarray(np.searchsorted(ends, below, side="right"), np.int64)
