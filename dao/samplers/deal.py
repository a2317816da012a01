"""Deal: who comes when, if each shall come evenly over the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dao.ranges import ranges
from dao.samplers.rng import uniforms

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["deal"]


def deal(counts: NDArray[np.int64], *key: int | str) -> NDArray[np.int64]:
    """Return who has each turn: the numbers of ``counts``, as often as these say.

    Turns of one are evenly spread over the whole, so that any run of turns has nearly the
    proportions of the whole. With a key they are moved at random, by less than their distance.

    >>> deal(np.array([4, 2])).tolist()
    [0, 1, 0, 0, 1, 0]
    """
    # Everybody claims places at even distances; claims in their order are the turns.
    who = np.repeat(np.arange(len(counts)), counts)
    number = ranges(0, counts)
    within = uniforms(len(who), *key) if key else 0.5
    return who[np.argsort((number + within) / counts[who], kind="stable")]
