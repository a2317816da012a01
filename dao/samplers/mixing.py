"""Mixing: how varied the labels of a batch are, beside those of a perfect shuffle."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from dao.samplers.rng import integers, permutation

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dao.samplers.plan import EpochPlan

__all__ = ["Mixing", "measure_mixing"]

_MOST_WINDOWS = 64
_MOST_BATCHES = 64
_MOST_EPOCHS = 8


@dataclass(frozen=True, slots=True)
class Mixing:
    """The expected label entropy of a batch, in bits, measured on a sample of batches.

    Attributes
    ----------
    key
        Whose labels.
    batch
        Mean over batches as the sampler gives them.
    perfect
        Mean over batches of as many cells drawn from all that the sampler gives.
    error
        Standard error of `ratio`.
    n_batches
        How many batches were looked at.

    Examples
    --------
    >>> Mixing("cell_type", batch=1.5, perfect=2.0, error=0.01).ratio
    0.75
    """

    key: str
    batch: float
    perfect: float
    error: float = 0.0
    n_batches: int = 0

    @property
    def ratio(self) -> float:
        """Share of the entropy of a perfect shuffle that batches reach."""
        return min(1.0, self.batch / self.perfect) if self.perfect else 1.0

    def __str__(self) -> str:
        return (
            f"{100 * self.ratio:.1f} ± {100 * self.error:.1f} % of the {self.key!r} entropy of a "
            f"perfect shuffle ({self.batch:.2f} of {self.perfect:.2f} bits)"
        )


def measure_mixing(
    plan: Callable[[int], EpochPlan],
    batch_size: int | None,
    key: str,
    labels: Callable[[NDArray[np.int64]], NDArray[np.integer]],
) -> Mixing:
    """Return how well an order mixes labels.

    Parameters
    ----------
    plan
        Returns the order of an epoch; where the first has few batches, others are looked at too.
    batch_size
        Cells in a batch; None where the plan says what batches are.
    key
        The name of the labels.
    labels
        Returns the label of each row as a number of at least -1.
    """
    found: list[float] = []
    perfect: list[float] = []
    for epoch in range(_MOST_EPOCHS):
        batches, pool = _sample(plan(epoch), batch_size, labels)
        found += map(_entropy, batches)
        perfect += [_entropy(_drawn(pool, len(b), epoch, i)) for i, b in enumerate(batches)]
        if len(found) >= _MOST_BATCHES:
            break
    if not found:
        return Mixing(key, 0.0, 0.0)
    mean, ideal = float(np.mean(found)), float(np.mean(perfect))
    spread = np.hypot(np.std(found), np.std(perfect)) / np.sqrt(max(1, len(found) - 1))
    return Mixing(key, mean, ideal, float(spread) / ideal if ideal else 0.0, len(found))


def _sample(
    plan: EpochPlan,
    batch_size: int | None,
    labels: Callable[[NDArray[np.int64]], NDArray[np.integer]],
) -> tuple[list[NDArray[np.integer]], NDArray[np.integer]]:
    """Return the labels of some batches, and all those of the windows that they are from."""
    chosen = _spread(len(plan.boundaries) - 1, _MOST_WINDOWS)
    windows = [labels(plan.window(i)) for i in chosen]
    batches: list[NDArray[np.integer]] = []
    for i, window in zip(chosen, windows, strict=True):
        low, high = int(plan.boundaries[i]), int(plan.boundaries[i + 1])
        cuts = _cuts(plan, batch_size, low, high)
        batches += [window[a - low : b - low] for a, b in pairwise(cuts)]
    some = [batches[i] for i in _spread(len(batches), _MOST_BATCHES)]
    return some, np.concatenate([np.empty(0, np.int64), *windows])


def _cuts(plan: EpochPlan, batch_size: int | None, low: int, high: int) -> list[int]:
    """Return where whole batches of a window begin and end; the window itself if none does."""
    if plan.batches is not None:
        inside = plan.batches[(plan.batches >= low) & (plan.batches <= high)].tolist()
    else:
        size = batch_size or high - low
        inside = list(range(-(-low // size) * size, high + 1, size))
    return inside if len(inside) > 1 else [low, high]


def _drawn(pool: NDArray[np.integer], n: int, *key: int) -> NDArray[np.integer]:
    """Draw from all labels; without replacement where that makes a difference."""
    if len(pool) <= 16 * n:
        return pool[permutation(len(pool), *key, "perfect")[:n]]
    return pool[integers(np.full(n, len(pool)), *key, "perfect")]


def _entropy(labels: NDArray[np.integer]) -> float:
    shares = np.bincount(labels + 1) / max(1, len(labels))
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())


def _spread(n: int, most: int) -> list[int]:
    """Return at most so many numbers below ``n``, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64)).tolist() if n else []
