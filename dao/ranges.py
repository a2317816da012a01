"""Ranges of whole numbers, all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ranges"]


def ranges(starts: NDArray[np.int64] | int, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of ranges, one range behind the other.

    Parameters
    ----------
    starts
        Where each range begins; or where all do.
    lengths
        How many numbers each has.

    >>> ranges(np.array([7, 20]), np.array([2, 3])).tolist()
    [7, 8, 20, 21, 22]
    >>> ranges(0, np.array([2, 3])).tolist()
    [0, 1, 0, 1, 2]
    """
    shifts = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return np.asarray(shifts + np.arange(len(shifts)), np.int64)
