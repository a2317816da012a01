"""Every row on its own: a perfectly random order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from dao.samplers.blocks import narrow, set_lengths
from dao.samplers.plan import EpochPlan, even_windows
from dao.samplers.rng import permutation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.samplers.rows import Rows

__all__ = ["Random"]


@dataclass(frozen=True, slots=True)
class Random:
    """Visit the rows in an order that is drawn from all orders with equal probability.

    Guarantees: every row once per epoch; another order in each epoch; which rows come
    together does not depend on where they lie in the store. Slower than `Shuffle`, because
    each chunk is decoded for the few of its rows that a window needs.

    Parameters
    ----------
    window
        Rows that are decoded together. Does not change the order; larger is faster, as more
        rows share a chunk, and takes more memory.

    Examples
    --------
    >>> batches = list(store.generator(128, sampler=Random()))
    >>> sorted(i for batch in batches for i in batch["index"]) == list(range(store.n_obs))
    True
    """

    window: int = 16_384

    def __post_init__(self) -> None:
        set_lengths(self, "window")

    def plan(self, rows: Rows, *, seed: int, epoch: int) -> EpochPlan:
        """Return the row stream of an epoch."""
        n = rows.n
        boundaries = even_windows(n, self.window)

        @cache
        def order() -> NDArray[np.unsignedinteger]:
            # Only when a row is asked for: the length of the epoch is known without it.
            return narrow(permutation(n, seed, epoch, "rows"), n)

        def window(i: int) -> NDArray[np.int64]:
            return order()[boundaries[i] : boundaries[i + 1]].astype(np.int64)

        return EpochPlan(boundaries, window)
