"""Loops that decode a chunk and write its rows where they belong in a batch, in one go.

A decoded chunk is small enough to stay in the processor's cache, so what was compressed goes
through main memory only once more: as the rows of a batch, in their final dtype.

Each loop is run by several threads at once over the same rows. They take parts of them from a
common counter until none is left, without Python in between: no thread waits for the GIL, and
all end at about the same time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import carray, njit  # type: ignore[attr-defined]

from dao_backends.local.intrinsics import LANES, as_pointer, claim, fence, stream_lanes
from dao_backends.local.kernel import load_chunk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao_backends.local.kernel import Chunks

__all__ = ["cast_items", "cast_rows", "load_both", "scatter_rows", "within"]

_LANES = LANES  # numba takes globals of this module for constants


@njit(nogil=True, cache=True)
def cast_items(part: NDArray[Any], target: int, like: NDArray[Any]) -> None:
    """Write items to an address in the dtype of ``like``."""
    n, size = len(part), like.itemsize
    kept = carray(as_pointer(target), (n,), like.dtype)
    # Up to where the vectors that go past the cache are aligned.
    head = min(n, -(target // size) % _LANES)
    for k in range(head):
        kept[k] = part[k]
    done, source = head, part.ctypes.data
    if target % size == 0:
        while done + _LANES <= n and stream_lanes(
            target + done * size, source + done * part.itemsize, like, part
        ):
            done += _LANES
    for k in range(done, n):
        kept[k] = part[k]


@njit(nogil=True, cache=True)
def within(columns: NDArray[Any], n_vars: int) -> bool:
    """Whether all of some column numbers, at least one, are those of a matrix so wide."""
    smallest = largest = columns[0]
    for k in range(len(columns)):
        smallest, largest = min(smallest, columns[k]), max(largest, columns[k])
    return bool(smallest >= 0 and np.int64(largest) < n_vars)


@njit(nogil=True, cache=True)
def load_both(
    functions: NDArray[np.int64],
    values: Chunks,
    indices: Chunks,
    number: int,
    compressed: NDArray[np.uint8],
    numbers: NDArray[Any],
    columns: NDArray[Any],
) -> int:
    """Decode a chunk of values and of column numbers; return -1, or which of them is damaged."""
    if not load_chunk(functions, values, number, compressed, numbers):
        return 0
    if not load_chunk(functions, indices, number, compressed, columns):
        return 1
    return -1


@njit(nogil=True, cache=True)
def cast_rows(
    functions: NDArray[np.int64],
    chunks: Chunks,
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    targets: NDArray[np.int64],
    bounds: NDArray[np.int64],
    turn: NDArray[np.int64],
    compressed: NDArray[np.uint8],
    decoded: NDArray[Any],
    like: NDArray[Any],
    n_vars: int,
) -> tuple[int, bool, int]:
    """Write rows to addresses, cast; parts of them, as long as there are some.

    Parameters
    ----------
    functions
        `dao_backends.local.native.native_functions`.
    chunks
        Where the chunks are.
    starts, stops, targets
        Per row: its items in the array, ascending, and the address that it goes to.
    bounds
        Where each part begins in the rows, and their number.
    turn
        One item, 0 before the first thread: the part that is next, for all threads.
    compressed, decoded
        Working memory: a chunk as it is stored, with room for what is added to it, and one in
        its stored dtype.
    like
        An array of the dtype that is written.
    n_vars
        What all items must be below, none negative; -1 for items that are not column numbers.

    Returns
    -------
    bad, out_of_bounds, loaded
        The first bad chunk or -1; whether a column number in it is; how many were decoded.
    """
    size, chunk_items = like.itemsize, len(decoded)
    known, n_loaded = -1, 0
    part = claim(turn.ctypes.data)
    while part < len(bounds) - 1:
        for i in range(bounds[part], bounds[part + 1]):
            at, stop, target = starts[i], stops[i], targets[i]
            while at < stop:
                number = at // chunk_items
                if number != known:
                    if not load_chunk(functions, chunks, number, compressed, decoded):
                        return number, False, n_loaded
                    known, n_loaded = number, n_loaded + 1
                begin = at - number * chunk_items
                items = decoded[begin : min(chunk_items, begin + stop - at)]
                if n_vars >= 0 and not within(items, n_vars):
                    return number, True, n_loaded
                cast_items(items, target, like)
                at += len(items)
                target += len(items) * size
        part = claim(turn.ctypes.data)
    fence()
    return -1, False, n_loaded


@njit(nogil=True, cache=True)
def scatter_rows(
    functions: NDArray[np.int64],
    values: Chunks,
    indices: Chunks,
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    targets: NDArray[np.int64],
    bounds: NDArray[np.int64],
    turn: NDArray[np.int64],
    compressed: NDArray[np.uint8],
    numbers: NDArray[Any],
    columns: NDArray[Any],
    place: NDArray[Any],
    row: NDArray[Any],
    like: NDArray[Any],
) -> tuple[int, int, int]:
    """Write sparse rows to the addresses of dense ones; parts of them, as long as there are some.

    Parameters
    ----------
    functions, starts, stops, targets, bounds, turn, compressed, like
        As of `cast_rows`.
    values, indices
        Where the chunks of both arrays are.
    numbers, columns
        Working memory: one chunk of each, in the stored dtype.
    place
        Unsigned: for each stored column its place in the row; that of columns which are not
        wanted is the last, one beyond what is kept. So no branch depends on the data, which no
        processor could predict.
    row
        Working memory: a row and one item more, in the stored dtype, which is narrow.

    Returns
    -------
    bad, why, loaded
        The first bad chunk or -1; 0 or 1 for damaged values or indices, 2 for a column number
        that is too large; how many chunks of each array were decoded.
    """
    chunk_items = len(numbers)
    known, n_loaded = -1, 0
    part = claim(turn.ctypes.data)
    while part < len(bounds) - 1:
        for i in range(bounds[part], bounds[part + 1]):
            row[:] = 0
            at = starts[i]
            while at < stops[i]:
                number = at // chunk_items
                if number != known:
                    why = load_both(
                        functions, values, indices, number, compressed, numbers, columns
                    )
                    if why >= 0:
                        return number, why, n_loaded
                    known, n_loaded = number, n_loaded + 1
                begin = at - number * chunk_items
                end = min(chunk_items, begin + stops[i] - at)
                if not within(columns[begin:end], len(place)):
                    return number, 2, n_loaded
                for k in range(begin, end):
                    row[place[np.uint64(columns[k])]] = numbers[k]
                at += end - begin
            cast_items(row[:-1], targets[i], like)
        part = claim(turn.ctypes.data)
    fence()
    return -1, 0, n_loaded
