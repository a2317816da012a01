"""Blocks in random order, rows in random order within a window of many blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dao.errors import ArgumentError
from dao.samplers.plan import EpochPlan
from dao.samplers.rng import permutation

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Shuffle"]


@dataclass(frozen=True, slots=True)
class Shuffle:
    """Shuffle blocks of consecutive rows, then the rows of each window of such blocks.

    Guarantees: every row once per epoch; another order in each epoch; a selection that fits
    into one window is shuffled perfectly. Rows of one block (neighbours in the store, which
    are a random sample of their dataset unless it was written with ``shuffle=False`` or
    ``cluster_by``) come within the same window.

    Parameters
    ----------
    block
        Consecutive rows that are read together: larger is faster, smaller mixes better.
    window
        Rows that are decoded and shuffled together: larger mixes better and takes more memory.
    """

    block: int = 256
    window: int = 16_384

    def __post_init__(self) -> None:
        if self.block < 1 or self.window < 1:
            msg = f"block={self.block}, window={self.window}: both have at least one row."
            raise ArgumentError(msg)

    def plan(self, sizes: NDArray[np.int64], *, seed: int, epoch: int) -> EpochPlan:
        """Return the row stream of an epoch."""
        n = int(sizes.sum())
        n_blocks = -(-n // self.block)
        order = permutation(n_blocks, seed, epoch, "blocks")
        lengths = np.minimum(self.block, n - order * self.block)
        ends = np.concatenate([[0], np.cumsum(lengths)])
        # Windows are cut by rows: a block that is split between two of them costs less than
        # windows of uneven lengths, which no batch size would divide.
        boundaries = np.append(np.arange(0, n, self.window), n).astype(np.int64)

        def window(i: int) -> NDArray[np.int64]:
            low, high = boundaries[i], boundaries[i + 1]
            first = int(np.searchsorted(ends, low, side="right")) - 1
            last = int(np.searchsorted(ends, high, side="left"))
            rows = (order[first:last, None] * self.block + np.arange(self.block)).ravel()
            rows = rows[rows < n][low - ends[first] : high - ends[first]]
            return rows[permutation(len(rows), seed, epoch, "window", i)]

        return EpochPlan(boundaries, window)
