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


@dataclass(frozen=True, slots=True)
class Mixing:
    """The expected label entropy of a batch, in bits, measured on a sample of an epoch.

    Attributes
    ----------
    key
        Whose labels.
    batch
        Mean over batches as the sampler gives them.
    perfect
        Mean over batches of as many cells drawn from all that the sampler gives.
    """

    key: str
    batch: float
    perfect: float

    @property
    def ratio(self) -> float:
        """Share of the entropy of a perfect shuffle that batches reach."""
        return min(1.0, self.batch / self.perfect) if self.perfect else 1.0

    def __str__(self) -> str:
        return (
            f"{100 * self.ratio:.1f} % of the {self.key!r} entropy of a perfect shuffle "
            f"({self.batch:.2f} of {self.perfect:.2f} bits)"
        )


def measure_mixing(
    plan: EpochPlan,
    batch_size: int | None,
    key: str,
    labels: Callable[[NDArray[np.int64]], NDArray[np.integer]],
) -> Mixing:
    """Return how well an order mixes labels.

    Parameters
    ----------
    plan
        The order of an epoch.
    batch_size
        Cells in a batch; None where the plan says what batches are.
    key
        The name of the labels.
    labels
        Returns the label of each row as a number of at least -1.
    """
    chosen = _spread(len(plan.boundaries) - 1, _MOST_WINDOWS)
    windows = [labels(plan.window(i)) for i in chosen]
    pool = np.concatenate([np.empty(0, np.int64), *windows])
    batches: list[NDArray[np.integer]] = []
    for i, window in zip(chosen, windows, strict=True):
        low, high = int(plan.boundaries[i]), int(plan.boundaries[i + 1])
        cuts = _cuts(plan, batch_size, low, high)
        batches += [window[a - low : b - low] for a, b in pairwise(cuts)]
    batches = [batches[i] for i in _spread(len(batches), _MOST_BATCHES)]
    perfect = [_entropy(_drawn(pool, len(b), i)) for i, b in enumerate(batches)]
    mean = float(np.mean([_entropy(b) for b in batches])) if batches else 0.0
    return Mixing(key, mean, float(np.mean(perfect)) if perfect else 0.0)


def _cuts(plan: EpochPlan, batch_size: int | None, low: int, high: int) -> list[int]:
    """Return where whole batches of a window begin and end; the window itself if none does."""
    if plan.batches is not None:
        inside = plan.batches[(plan.batches >= low) & (plan.batches <= high)].tolist()
    else:
        size = batch_size or high - low
        inside = list(range(-(-low // size) * size, high + 1, size))
    return inside if len(inside) > 1 else [low, high]


def _drawn(pool: NDArray[np.integer], n: int, number: int) -> NDArray[np.integer]:
    """Draw from all labels; without replacement where that makes a difference."""
    if len(pool) <= 16 * n:
        return pool[permutation(len(pool), number, "perfect")[:n]]
    return pool[integers(np.full(n, len(pool)), number, "perfect")]


def _entropy(labels: NDArray[np.integer]) -> float:
    shares = np.bincount(labels + 1) / max(1, len(labels))
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())


def _spread(n: int, most: int) -> list[int]:
    """Return at most so many numbers below ``n``, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64)).tolist() if n else []
