"""Which stretches of a matrix are read for some of its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.write.matrix import SourceMatrix

__all__ = ["Range", "plan_ranges"]

# First line, end, and which lines between are wanted.
Range = tuple[int, int, "NDArray[np.bool_]"]

# What lies between two wanted rows is read along if it is no more than this: another request, and
# decoding the same chunk once more, would take longer.
_NEAR_ELEMENTS = 1 << 15
# The most that one thread reads at once.
_MOST_ELEMENTS = 1 << 20


def plan_ranges(rows: NDArray[np.int64], source: SourceMatrix) -> list[Range]:
    """Return the stretches that hold some rows, each row in one of them.

    Parameters
    ----------
    rows
        Ascending, each once.
    source
        A matrix that is read by rows.
    """
    if not len(rows):
        return []
    firsts, ends = source.boundaries[rows], source.boundaries[rows + 1]
    together = source.lines_at_once
    near = firsts[1:] - ends[:-1] <= _NEAR_ELEMENTS
    near |= rows[1:] // together == rows[:-1] // together
    # A stretch ends with a group of lines that are stored together, about where it is long enough.
    group = source.boundaries[rows - rows % together] // _MOST_ELEMENTS
    cuts = np.flatnonzero(~near | (np.diff(group) != 0)) + 1
    ranges = []
    for some in np.split(rows, cuts):
        start, stop = int(some[0]), int(some[-1]) + 1
        wanted = np.zeros(stop - start, np.bool_)
        wanted[some - start] = True
        ranges.append((start, stop, wanted))
    return ranges
