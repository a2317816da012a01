"""The loop that decodes sparse rows and keeps chosen columns of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from dao.kernels import mark, take_marked
from dao_backends.local.fused import load_both, within
from dao_backends.local.intrinsics import claim, fence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao_backends.local.kernel import Chunks

__all__ = ["select_rows"]


@njit(nogil=True, cache=True)
def _find(columns: NDArray[Any], place: NDArray[Any], beyond: int, found: NDArray[np.int32]) -> int:
    """Write which columns are wanted; return how many.

    No branch depends on the data, which no processor could predict: what is not wanted is
    overwritten by what comes next.
    """
    n = np.uint64(0)
    for k in range(len(columns)):
        found[n] = k
        n += np.uint64(place[np.uint64(columns[k])] != beyond)
    return int(n)


@njit(nogil=True, cache=True)
def select_rows(
    functions: NDArray[np.int64],
    values: Chunks,
    indices: Chunks,
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    room: NDArray[np.int64],
    order: NDArray[np.int64],
    bounds: NDArray[np.int64],
    turn: NDArray[np.int64],
    compressed: NDArray[np.uint8],
    numbers: NDArray[Any],
    columns: NDArray[Any],
    place: NDArray[Any],
    found: NDArray[np.int32],
    held: NDArray[Any],
    words: NDArray[np.uint64],
    kept_values: NDArray[Any],
    kept_columns: NDArray[Any],
    kept_starts: NDArray[np.int64],
    kept_lengths: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Keep chosen columns of rows, by ascending place; parts of them, as long as there are some.

    Parameters
    ----------
    functions, values, indices, starts, stops, bounds, turn, compressed, numbers, columns
        As of `dao_backends.local.fused.scatter_rows`.
    room
        Per row where there is room for all of it.
    order
        Per row where its start and length are written.
    place
        Unsigned: for each stored column its place; ``len(held)`` for one that is not wanted.
    found
        Working memory: as many items as a chunk has.
    held, words
        Working memory: an item in the stored dtype, and a bit that is not set, for each chosen
        column. No words where places ascend with the stored columns: then what is kept is in
        order as it comes.
    kept_values, kept_columns
        What is kept, with its places; of a part, rows follow one another.
    kept_starts, kept_lengths
        Where each row begins there, and how much of it was kept.

    Returns
    -------
    bad, why, loaded
        As of `dao_backends.local.fused.scatter_rows`.
    """
    chunk_items, beyond = len(numbers), len(held)
    known, n_loaded = -1, 0
    part = claim(turn.ctypes.data)
    while part < len(bounds) - 1:
        out = room[bounds[part]]
        for i in range(bounds[part], bounds[part + 1]):
            begin_of_row, at = out, starts[i]
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
                at += end - begin
                n = _find(columns[begin:end], place, beyond, found)
                for k in found[:n]:
                    column = place[np.uint64(columns[begin + k])]
                    if len(words):
                        held[column] = numbers[begin + k]
                        mark(words, np.int64(column))
                    else:
                        kept_values[out], kept_columns[out] = numbers[begin + k], column
                        out += 1
            if len(words):
                out = take_marked(words, held, kept_values, kept_columns, out)
            kept_starts[order[i]], kept_lengths[order[i]] = begin_of_row, out - begin_of_row
        part = claim(turn.ctypes.data)
    fence()
    return -1, 0, n_loaded
