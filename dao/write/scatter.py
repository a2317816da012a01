"""The compiled loops that bring values of columns to their rows, by way of buckets.

A word is the row of a value within its bucket and its column, in one number: the row stands in
the bits from ``row_at`` on. Values are moved as bits, unsigned integers of their width. All
run without the GIL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["count_rows", "distribute", "has_repeats", "turn"]


@njit(nogil=True, cache=True)
def has_repeats(
    indptr: NDArray[np.int64], lines: NDArray[np.int32], marks: NDArray[np.uint64]
) -> bool:
    """Return whether a column has a row twice.

    Parameters
    ----------
    indptr, lines
        Where the columns begin, and the rows of their values.
    marks
        Zeros, one bit per row; zeros again afterwards.
    """
    for c in range(len(indptr) - 1):
        own = lines[indptr[c] : indptr[c + 1]]
        ascending = True
        for k in range(1, len(own)):
            ascending &= own[k] > own[k - 1]
        if ascending:
            continue
        found = False
        for k in range(len(own)):
            bit = np.uint64(1) << np.uint64(own[k] & 63)
            found |= (marks[own[k] >> 6] & bit) != 0
            marks[own[k] >> 6] |= bit
        for k in range(len(own)):
            marks[own[k] >> 6] = 0
        if found:
            return True
    return False


@njit(nogil=True, cache=True)
def distribute(
    indptr: NDArray[np.int64],
    lines: NDArray[np.int32],
    bits: NDArray[Any],
    significant: Any,
    columns: NDArray[np.int32],
    places: NDArray[np.int32],
    shift: int,
    row_at: int,
    lengths: NDArray[np.int64],
    ends: NDArray[np.int64],
    found: NDArray[np.int32],
    words: NDArray[Any],
    out_bits: NDArray[Any],
) -> Any:
    """Bring the values of some columns into buckets of rows; leave out zeros and rows.

    Parameters
    ----------
    indptr, lines
        Where the columns begin, and the rows of their values.
    significant
        The bits that make a value other than zero, as in `dao.write.kernels.arrange`.
    columns
        New number of each column, or -1.
    places
        New number of each row, or -1.
    shift
        A bucket has ``1 << shift`` rows.
    lengths
        Is filled with the number of values in each bucket.
    ends
        Room for as many numbers.
    found
        Room for the place of every value: to look it up again would take longer.

    Returns
    -------
    How many values are kept.
    """
    lengths[:] = 0
    for c in range(len(columns)):
        for k in range(indptr[c], indptr[c + 1]):
            place = places[lines[k]]
            kept = columns[c] >= 0 and place >= 0 and bits[k] & significant
            found[k] = place if kept else -1
            if kept:
                lengths[place >> shift] += 1
    n = np.int64(0)
    for b in range(len(lengths)):
        ends[b] = n
        n += lengths[b]
    mask = (np.int64(1) << shift) - 1
    for c in range(len(columns)):
        for k in range(indptr[c], indptr[c + 1]):
            place = np.int64(found[k])
            if place >= 0:
                o = ends[place >> shift]
                words[o] = columns[c] | (place & mask) << row_at
                out_bits[o] = bits[k]
                ends[place >> shift] = o + 1
    return n


@njit(nogil=True, cache=True)
def count_rows(
    words: NDArray[Any],
    lengths: NDArray[np.int64],
    first: int,
    shift: int,
    row_at: int,
    counts: NDArray[np.int64],
) -> None:
    """Count the values of each row.

    Parameters
    ----------
    lengths
        Values of consecutive buckets, the first of which has the number ``first``.
    counts
        Of all rows; is added to.
    """
    k = 0
    for b in range(len(lengths)):
        row = (first + b) << shift
        for _ in range(lengths[b]):
            counts[row + (np.int64(words[k]) >> row_at)] += 1
            k += 1


@njit(nogil=True, cache=True)
def turn(
    words: NDArray[Any],
    bits: NDArray[Any],
    row_at: int,
    first: int,
    ends: NDArray[np.int64],
    out_columns: NDArray[Any],
    out_bits: NDArray[Any],
) -> None:
    """Bring values of a bucket to their rows.

    Parameters
    ----------
    first
        Number of the bucket's first row among the rows that are wanted; others are left out.
    ends
        For each of these, where its next value goes; moves on.
    """
    mask = (np.int64(1) << row_at) - 1
    for k in range(len(words)):
        word = np.int64(words[k])
        row = first + (word >> row_at)
        if 0 <= row < len(ends):
            o = ends[row]
            out_columns[o] = word & mask
            out_bits[o] = bits[k]
            ends[row] = o + 1
