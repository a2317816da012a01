"""Loops over rows that are held in memory.

Each writing loop is run by several threads at once, which take parts of the rows from a common
counter until none is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import carray, njit  # type: ignore[attr-defined]

from dao_backends.local.fused import cast_items
from dao_backends.local.intrinsics import as_pointer, claim, fence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = tuple[NDArray[Any], ...]

__all__ = ["cast_rows", "count_rows", "pack_rows", "scatter_rows", "take_rows"]

_BYTE = 255


@njit(nogil=True, cache=True)
def cast_rows(
    held: Arrays,
    slots: NDArray[np.int64],
    value_targets: NDArray[np.int64],
    index_targets: NDArray[np.int64],
    bounds: NDArray[np.int64],
    turn: NDArray[np.int64],
    like_values: NDArray[Any],
    like_indices: NDArray[Any],
) -> None:
    """Write values and column numbers of rows to addresses, cast.

    Parameters
    ----------
    held
        `HeldSparse.arrays`.
    slots, value_targets, index_targets
        Which rows, and the addresses that each goes to.
    bounds
        Where each part begins in the rows, and their number.
    turn
        One item, 0 before the first thread: the part that is next, for all threads.
    like_values, like_indices
        Arrays of the dtypes that are written.
    """
    row_starts, values, indices, wide_starts, wide_at, wide = held
    size = like_values.itemsize
    part = claim(turn.ctypes.data)
    while part < len(bounds) - 1:
        for i in range(bounds[part], bounds[part + 1]):
            slot, target = slots[i], value_targets[i]
            start, stop = row_starts[slot], row_starts[slot + 1]
            cast_items(values[start:stop], target, like_values)
            for k in range(wide_starts[slot], wide_starts[slot + 1]):
                at = target + np.int64(wide_at[k]) * size
                carray(as_pointer(at), (1,), like_values.dtype)[0] = wide[k]
            cast_items(indices[start:stop], index_targets[i], like_indices)
        part = claim(turn.ctypes.data)
    fence()


@njit(nogil=True, cache=True)
def scatter_rows(
    held: Arrays,
    slots: NDArray[np.int64],
    targets: NDArray[np.int64],
    bounds: NDArray[np.int64],
    turn: NDArray[np.int64],
    place: NDArray[Any],
    like: NDArray[Any],
) -> None:
    """Write sparse rows to the addresses of dense ones.

    Parameters
    ----------
    held, slots, targets, bounds, turn, like
        As of `cast_rows`.
    place
        Unsigned: for each stored column its place in the row; that of columns which are not
        wanted is the last, one beyond what is kept, so that no branch depends on the data.
    """
    row_starts, values, indices, wide_starts, wide_at, wide = held
    row = np.empty(like.shape[1] + 1, wide.dtype)  # narrow, so it stays in the cache
    part = claim(turn.ctypes.data)
    while part < len(bounds) - 1:
        for i in range(bounds[part], bounds[part + 1]):
            slot = slots[i]
            start = row_starts[slot]
            row[:] = 0
            for k in range(start, row_starts[slot + 1]):
                row[place[np.uint64(indices[k])]] = values[k]
            for k in range(wide_starts[slot], wide_starts[slot + 1]):
                row[place[np.uint64(indices[start + np.int64(wide_at[k])])]] = wide[k]
            cast_items(row[:-1], targets[i], like)
        part = claim(turn.ctypes.data)
    fence()


@njit(nogil=True, cache=True)
def take_rows(
    held: Arrays,
    slots: NDArray[np.int64],
    out_values: NDArray[Any],
    out_indices: NDArray[Any],
    out_starts: NDArray[np.int64],
) -> None:
    """Copy rows to places in arrays."""
    row_starts, values, indices, wide_starts, wide_at, wide = held
    for i in range(len(slots)):
        slot, out = slots[i], out_starts[i]
        start, n = row_starts[slot], row_starts[slot + 1] - row_starts[slot]
        source, target = values[start : start + n], out_values[out : out + n]
        for k in range(n):
            target[k] = source[k]
        for k in range(wide_starts[slot], wide_starts[slot + 1]):
            target[wide_at[k]] = wide[k]
        out_indices[out : out + n] = indices[start : start + n]


@njit(nogil=True, cache=True)
def count_rows(
    values: NDArray[Any],
    indices: NDArray[Any],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    n_items: NDArray[np.int64],
    n_wide: NDArray[np.int64],
) -> bool:
    """Count per row the items in wanted columns, and how many of them need more than a byte.

    Returns False if a column number lies outside of ``wanted``.
    """
    for i in range(len(starts)):
        held = apart = 0
        for k in range(starts[i], starts[i] + lengths[i]):
            column = np.int64(indices[k])
            if column < 0 or column >= len(wanted):
                return False
            if wanted[column]:
                held += 1
                apart += values[k] > _BYTE
        n_items[i], n_wide[i] = held, apart
    return True


@njit(nogil=True, cache=True)
def pack_rows(
    values: NDArray[Any],
    indices: NDArray[Any],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    narrow: bool,  # noqa: FBT001 - numba knows no keywords
    out_starts: NDArray[np.int64],
    wide_starts: NDArray[np.int64],
    out_values: NDArray[Any],
    out_indices: NDArray[Any],
    wide_at: NDArray[np.uint32],
    wide: NDArray[Any],
) -> None:
    """Copy the items in wanted columns; if ``narrow``, those above a byte are put apart as well."""
    for i in range(len(starts)):
        begin, w = out_starts[i], wide_starts[i]
        out = begin
        for k in range(starts[i], starts[i] + lengths[i]):
            column = indices[k]
            if not wanted[np.int64(column)]:
                continue
            out_values[out], out_indices[out] = values[k], column
            if narrow and values[k] > _BYTE:
                wide_at[w], wide[w] = out - begin, values[k]
                w += 1
            out += 1
