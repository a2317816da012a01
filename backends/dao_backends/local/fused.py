"""Loops that decode a chunk and write its rows where they belong in a batch, in one go.

A decoded chunk is small enough to stay in the processor's cache, so what was compressed goes
through main memory only once more: as the rows of a batch, in their final dtype.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import carray, njit  # type: ignore[attr-defined]

from dao_backends.local.kernel import load_chunk
from dao_backends.local.native import as_pointer

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["cast_pieces", "scatter_pieces"]


@njit(nogil=True, cache=True)
def cast_pieces(
    functions: NDArray[np.int64],
    files: NDArray[np.int64],
    offsets: NDArray[np.int64],
    sizes: NDArray[np.int64],
    begins: NDArray[np.int64],
    counts: NDArray[np.int64],
    targets: NDArray[np.int64],
    compressed: NDArray[np.uint8],
    decoded: NDArray[Any],
    like: NDArray[Any],
    bounded: bool,  # noqa: FBT001 - numba knows no keywords of its own
) -> tuple[int, int]:
    """Write pieces of chunks to addresses, cast; return the first bad piece or -1, and the maximum.

    Parameters
    ----------
    functions, files, offsets, sizes, compressed
        As of `dao_backends.local.kernel.read_pieces`.
    begins, counts
        Per piece, in items: where it begins in the decoded chunk, and how long it is.
    targets
        Per piece: the address that it goes to.
    decoded
        Working memory: one chunk, in the stored dtype.
    like
        An array of the dtype that is written.
    bounded
        Whether the maximum is asked for; it is 0 otherwise.
    """
    loaded = -1
    largest = decoded.dtype.type(0)
    for i in range(len(begins)):
        begin, count = begins[i], counts[i]
        if begin < 0 or count < 0 or begin + count > len(decoded):
            return i, 0
        if loaded < 0 or files[i] != files[loaded] or offsets[i] != offsets[loaded]:
            if not load_chunk(functions, files[i], offsets[i], sizes[i], compressed, decoded):
                return i, 0
            loaded = i
        part = decoded[begin : begin + count]
        kept = carray(as_pointer(targets[i]), (count,), like.dtype)
        if bounded:
            for k in range(count):
                kept[k] = part[k]
                largest = max(largest, part[k])
        else:
            for k in range(count):
                kept[k] = part[k]
    return -1, int(largest)


@njit(nogil=True, cache=True)
def _all_below(columns: NDArray[Any], bound: int) -> bool:
    smallest = largest = columns[0]
    for k in range(len(columns)):
        smallest, largest = min(smallest, columns[k]), max(largest, columns[k])
    return bool(smallest >= 0 and np.int64(largest) < bound)


@njit(nogil=True, cache=True)
def _keep(row: NDArray[Any], target: int) -> None:
    """Copy all but the last item to an address."""
    width = len(row) - 1
    kept = carray(as_pointer(target), (width,), row.dtype)
    for k in range(width):
        kept[k] = row[k]


@njit(nogil=True, cache=True)
def scatter_pieces(
    functions: NDArray[np.int64],
    files: NDArray[np.int64],
    offsets: NDArray[np.int64],
    sizes: NDArray[np.int64],
    begins: NDArray[np.int64],
    counts: NDArray[np.int64],
    targets: NDArray[np.int64],
    firsts: NDArray[np.bool_],
    compressed: NDArray[np.uint8],
    values: NDArray[Any],
    indices: NDArray[Any],
    place: NDArray[np.int32],
    row: NDArray[Any],
) -> tuple[int, int]:
    """Write pieces of sparse rows into dense rows; return the first bad piece or -1, and why.

    Parameters
    ----------
    functions, compressed
        As of `cast_pieces`.
    files, offsets, sizes
        Shape (2, pieces): of the values and of the indices.
    begins, counts
        Per piece, in items.
    targets
        Per piece: the address of its dense row.
    firsts
        Whether the piece is the first of its row; all pieces of a row follow each other.
    values, indices
        Working memory: one chunk of each.
    place
        For each stored column its place in the row; that of columns which are not wanted is the
        last, one beyond what is kept. So no branch depends on the data, which no processor
        could predict.
    row
        Working memory: a row and one item more, in the dtype that is written.

    Returns
    -------
    bad, why
        0 or 1 for damaged values or indices, 2 for a column number that is too large.
    """
    loaded = -1
    for i in range(len(begins)):
        begin, count = begins[i], counts[i]
        if begin < 0 or count < 1 or begin + count > len(values):
            return i, 0
        if loaded < 0 or files[0, i] != files[0, loaded] or offsets[0, i] != offsets[0, loaded]:
            if not load_chunk(
                functions, files[0, i], offsets[0, i], sizes[0, i], compressed, values
            ):
                return i, 0
            if not load_chunk(
                functions, files[1, i], offsets[1, i], sizes[1, i], compressed, indices
            ):
                return i, 1
            loaded = i
        if firsts[i]:
            row[:] = 0
        columns, numbers = indices[begin : begin + count], values[begin : begin + count]
        if not _all_below(columns, len(place)):
            return i, 2
        for k in range(count):
            row[place[np.int64(columns[k])]] = numbers[k]
        if i + 1 == len(begins) or firsts[i + 1]:
            _keep(row, targets[i])
    return -1, 0
