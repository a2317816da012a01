"""The compiled loops: moving row segments, casting, selecting and checking on the way.

Numba functions without the GIL, compiled on first use for the dtypes at hand and cached on
disk. None is ``parallel=True``: threads are ours (`dao.threads`), so that they survive a fork.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from dao.intrinsics import lowest_bit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "coordinates",
    "copy_segments",
    "count_selected",
    "dense_from_dense",
    "fill_dense",
    "fill_selected",
    "fill_sorted",
    "mark",
    "take_marked",
]


@njit(nogil=True, cache=True)
def coordinates(
    indptr: NDArray[Any], indices: NDArray[Any], first: int, stop: int, out: NDArray[np.int64]
) -> None:
    """Write row and column of each element of some rows of a CSR matrix to ``out``."""
    for row in range(first, stop):
        for k in range(indptr[row], indptr[row + 1]):
            out[k, 0] = row
            out[k, 1] = indices[k]


@njit(nogil=True, cache=True)
def copy_segments(
    source: NDArray[Any],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    out: NDArray[Any],
    out_starts: NDArray[np.int64],
) -> Any:
    """Copy and cast segments of ``source`` to places in ``out``; return the largest value."""
    largest = source.dtype.type(0)
    for i in range(len(starts)):
        s, n, o = starts[i], lengths[i], out_starts[i]
        # One slice per segment: the compiler vectorises it, an indexed loop it does not.
        part = source[s : s + n]
        target = out[o : o + n]
        for k in range(n):
            target[k] = part[k]
            largest = max(largest, part[k])
    return largest


@njit(nogil=True, cache=True)
def count_selected(
    indices: NDArray[Any],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    place: NDArray[np.int32],
    counts: NDArray[np.int64],
) -> bool:
    """Count how many elements of each segment have a selected column; False if out of bounds."""
    for i in range(len(starts)):
        n = 0
        for k in range(starts[i], starts[i] + lengths[i]):
            column = np.int64(indices[k])
            if column >= len(place) or column < 0:
                return False
            if place[column] >= 0:
                n += 1
        counts[i] = n
    return True


@njit(nogil=True, cache=True)
def fill_selected(
    values: NDArray[Any],
    indices: NDArray[Any],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    place: NDArray[np.int32],
    out_values: NDArray[Any],
    out_indices: NDArray[np.int32],
    out_starts: NDArray[np.int64],
) -> None:
    """Copy the elements with a selected column; bounds were checked by `count_selected`."""
    for i in range(len(starts)):
        o = out_starts[i]
        for k in range(starts[i], starts[i] + lengths[i]):
            column = place[np.int64(indices[k])]
            if column >= 0:
                out_values[o] = values[k]
                out_indices[o] = column
                o += 1


@njit(nogil=True, cache=True)
def mark(words: NDArray[np.uint64], number: Any) -> None:
    """Set a bit."""
    words[number >> 6] |= np.uint64(1) << np.uint64(number & 63)


@njit(nogil=True, cache=True)
def take_marked(
    words: NDArray[np.uint64],
    held: NDArray[Any],
    out_values: NDArray[Any],
    out_indices: NDArray[Any],
    out: int,
) -> int:
    """Write the items of ``held`` whose bits are set, in order, and clear the bits.

    Returns where in ``out_values`` and ``out_indices`` the last one ends.
    """
    for w in range(len(words)):
        word = words[w]
        words[w] = 0
        while word:
            at = (w << 6) + np.int64(lowest_bit(word))
            out_values[out] = held[at]
            out_indices[out] = at
            out += 1
            word &= word - np.uint64(1)
    return out


@njit(nogil=True, cache=True)
def fill_sorted(
    values: NDArray[Any],
    indices: NDArray[Any],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    place: NDArray[np.int32],
    n_vars: int,
    out_values: NDArray[Any],
    out_indices: NDArray[np.int32],
    out_starts: NDArray[np.int64],
) -> None:
    """Copy as `fill_selected` does, each row by ascending place, where places do not ascend.

    Values go to their places in a row of all columns and a bit is set for each; the bits are then
    read in order, which takes much less time than sorting.
    """
    held = np.empty(n_vars, out_values.dtype)
    words = np.zeros((n_vars + 63) // 64, np.uint64)
    for i in range(len(starts)):
        for k in range(starts[i], starts[i] + lengths[i]):
            column = np.int64(place[np.int64(indices[k])])
            if column >= 0:
                held[column] = values[k]
                mark(words, column)
        take_marked(words, held, out_values, out_indices, out_starts[i])


@njit(nogil=True, cache=True)
def fill_dense(
    values: NDArray[Any],
    indices: NDArray[Any],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    place: NDArray[np.int32],
    out: NDArray[Any],
    out_rows: NDArray[np.int64],
) -> bool:
    """Write sparse segments into rows of a dense array, zeros first; False if out of bounds."""
    for i in range(len(starts)):
        row = out[out_rows[i]]
        row[:] = 0
        for k in range(starts[i], starts[i] + lengths[i]):
            column = np.int64(indices[k])
            if column >= len(place) or column < 0:
                return False
            target = place[column]
            if target >= 0:
                row[target] = values[k]
    return True


@njit(nogil=True, cache=True)
def dense_from_dense(
    values: NDArray[Any],
    slots: NDArray[np.int64],
    columns: NDArray[np.int32],
    out: NDArray[Any],
    out_rows: NDArray[np.int64],
) -> None:
    """Copy and cast rows of a dense array; ``columns[j]`` is where column j of ``out`` is from."""
    for i in range(len(slots)):
        row = out[out_rows[i]]
        source = values[slots[i]]
        for j in range(len(columns)):
            if columns[j] >= 0:
                row[j] = source[columns[j]]
            else:
                row[j] = 0
