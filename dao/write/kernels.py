"""The compiled loops that arrange rows: columns renumbered, sorted, added up; without the GIL.

Values that are only moved are moved as bits, unsigned integers of their width: that keeps the
number of versions to compile small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from dao.intrinsics import lowest_bit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OUTSIDE", "OVERFLOW", "REPEATED", "arrange", "arrange_summed"]

OUTSIDE = -1
REPEATED = -2
_UNSORTED = -3
OVERFLOW = -4


@njit(nogil=True, cache=True)
def arrange(
    indptr: NDArray[np.int64],
    columns: NDArray[np.int32],
    bits: NDArray[Any],
    significant: Any,
    wanted: NDArray[np.bool_],
    targets: NDArray[np.int32],
    words: NDArray[np.uint64],
    row: NDArray[Any],
    out_columns: NDArray[Any],
    out_bits: NDArray[Any],
    lengths: NDArray[np.int64],
) -> int:
    """Renumber the columns of rows and sort each row by them; leave out zeros and rows.

    Parameters
    ----------
    significant
        The bits that make a value other than zero: all, or all but the sign of a float.
    targets
        New number of each column, or -1.
    words
        Zeros, one bit per new column; zeros again afterwards.
    row
        Room for one row.

    Returns
    -------
    How many elements are kept; `REPEATED` if a row has a column twice, `OUTSIDE` if a column has
    no entry in ``targets``.
    """
    n = 0
    for r in range(len(wanted)):
        start = n
        if wanted[r]:
            own_columns, own_bits = (
                columns[indptr[r] : indptr[r + 1]],
                bits[indptr[r] : indptr[r + 1]],
            )
            # Most sources are in order already, or have one in which nothing is.
            kept = _copy_ascending(
                own_columns, own_bits, significant, targets, out_columns[start:], out_bits[start:]
            )
            if kept == _UNSORTED:
                kept = _scatter(own_columns, own_bits, significant, targets, words, row)
                if kept >= 0:
                    kept = _collect(words, row, out_columns[start:], out_bits[start:])
            if kept < 0:
                _clear(words)
                return kept
            n += kept
        lengths[r] = n - start
    return n


@njit(nogil=True, cache=True)
def _copy_ascending(
    columns: NDArray[np.int32],
    bits: NDArray[Any],
    significant: Any,
    targets: NDArray[np.int32],
    out_columns: NDArray[Any],
    out_bits: NDArray[Any],
) -> int:
    n, last = 0, -1
    for k in range(len(columns)):
        if columns[k] < 0 or columns[k] >= len(targets):
            return OUTSIDE
        t = targets[columns[k]]
        if t >= 0 and bits[k] & significant:
            if t <= last:
                return _UNSORTED
            out_columns[n] = t
            out_bits[n] = bits[k]
            last = t
            n += 1
    return n


@njit(nogil=True, cache=True)
def _scatter(
    columns: NDArray[np.int32],
    bits: NDArray[Any],
    significant: Any,
    targets: NDArray[np.int32],
    words: NDArray[np.uint64],
    row: NDArray[Any],
) -> int:
    for k in range(len(columns)):
        if columns[k] < 0 or columns[k] >= len(targets):
            return OUTSIDE
        t = targets[columns[k]]
        if t >= 0 and bits[k] & significant:
            bit = np.uint64(1) << np.uint64(t & 63)
            if words[t >> 6] & bit:
                return REPEATED
            words[t >> 6] |= bit
            row[t] = bits[k]
    return 0


@njit(nogil=True, cache=True)
def _collect(
    words: NDArray[np.uint64], row: NDArray[Any], out_columns: NDArray[Any], out: NDArray[Any]
) -> Any:
    n = np.int64(0)
    for w in range(len(words)):
        word = words[w]
        words[w] = 0
        while word:
            t = (w << 6) + np.int64(lowest_bit(word))
            # Sums may have become zero; no branch, as what comes next is written over them.
            out_columns[n] = t
            out[n] = row[t]
            n += np.int64(row[t] != 0)
            word &= word - np.uint64(1)
    return n


@njit(nogil=True, cache=True)
def arrange_summed(
    indptr: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: NDArray[Any],
    wanted: NDArray[np.bool_],
    targets: NDArray[np.int32],
    words: NDArray[np.uint64],
    row: NDArray[Any],
    out_columns: NDArray[Any],
    out_values: NDArray[Any],
    lengths: NDArray[np.int64],
    lowest: Any,
    highest: Any,
) -> int:
    """Do as `arrange` does, and add up what meets in one place.

    Parameters
    ----------
    lowest, highest
        The ends of the dtype of the values. Returns `OVERFLOW` if a sum is beyond them.
    """
    n = 0
    for r in range(len(wanted)):
        start = n
        if wanted[r]:
            for k in range(indptr[r], indptr[r + 1]):
                if columns[k] < 0 or columns[k] >= len(targets):
                    _clear(words)
                    return OUTSIDE
                t = targets[columns[k]]
                if t < 0:
                    continue
                bit = np.uint64(1) << np.uint64(t & 63)
                if words[t >> 6] & bit:
                    if _overflows(row[t], values[k], lowest, highest):
                        _clear(words)
                        return OVERFLOW
                    row[t] += values[k]
                else:
                    row[t] = values[k]
                    words[t >> 6] |= bit
            n += _collect(words, row, out_columns[start:], out_values[start:])
        lengths[r] = n - start
    return n


@njit(nogil=True, cache=True)
def _overflows(one: Any, other: Any, lowest: Any, highest: Any) -> bool:
    """Whether a sum of finite numbers is beyond the ends of their dtype.

    The sum itself says nothing: the compiler takes for granted that signed integers do not wrap
    around.

    >>> _overflows(np.int64(2**62), np.int64(2**62), np.int64(-(2**63)), np.int64(2**63 - 1))
    True
    """
    if not (np.isfinite(one) and np.isfinite(other)):
        return False
    if other > 0:
        return bool(one > highest - other)
    return bool(one < lowest - other)


@njit(nogil=True, cache=True)
def _clear(words: NDArray[np.uint64]) -> None:
    for w in range(len(words)):
        words[w] = 0
