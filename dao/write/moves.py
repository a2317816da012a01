"""The compiled loops that move, turn around, measure and cast; without the GIL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "scatter_rows",
    "sparse_rows",
    "take_rows",
    "to_counts",
    "transpose",
    "unshuffle",
    "value_range",
]


@njit(nogil=True, cache=True)
def unshuffle(planes: NDArray[np.uint8], out: NDArray[Any]) -> None:
    """Put the bytes of each element together: first all lowest bytes, then all second ones."""
    n = len(out)
    for k in range(n):
        out[k] = planes[k]
    for byte in range(1, out.itemsize):
        plane = planes[byte * n : (byte + 1) * n]
        shift = out.dtype.type(8 * byte)
        for k in range(n):
            out[k] |= out.dtype.type(plane[k]) << shift


@njit(nogil=True, cache=True)
def sparse_rows(
    dense: NDArray[Any],
    significant: Any,
    indptr: NDArray[np.int64],
    columns: NDArray[np.int32],
    bits: NDArray[Any],
) -> None:
    """Write what is not zero in a dense matrix of bits as CSR."""
    n = np.int64(0)
    for r in range(dense.shape[0]):
        for c in range(dense.shape[1]):
            columns[n] = c
            bits[n] = dense[r, c]
            # No branch: what is zero is written over by what comes next.
            n += np.int64((dense[r, c] & significant) != 0)
        indptr[r + 1] = n


@njit(nogil=True, cache=True)
def transpose(
    indptr: NDArray[np.int64],
    rows: NDArray[Any],
    bits: NDArray[Any],
    first: int,
    out_indptr: NDArray[np.int64],
    out_columns: NDArray[np.int32],
    out_bits: NDArray[Any],
) -> None:
    """Turn columns into rows; the first column given has the number ``first``."""
    out_indptr[:] = 0
    for k in range(len(rows)):
        out_indptr[rows[k] + 1] += 1
    # Where each row begins stands one place further on, and moves to its end while it fills.
    total = 0
    for r in range(1, len(out_indptr)):
        count = out_indptr[r]
        out_indptr[r] = total
        total += count
    for c in range(len(indptr) - 1):
        for k in range(indptr[c], indptr[c + 1]):
            o = out_indptr[rows[k] + 1]
            out_columns[o] = first + c
            out_bits[o] = bits[k]
            out_indptr[rows[k] + 1] = o + 1


@njit(nogil=True, cache=True)
def to_counts(values: NDArray[Any], out: NDArray[np.uint16]) -> Any:
    """Cast to uint16; return the largest value, or -1 if any is no whole number below 65,536."""
    largest = np.int32(0)
    fits = True
    for k in range(len(values)):
        value = values[k]
        inside = 0 <= value <= 65_535
        count = np.int32(value if inside else 0)
        fits &= inside & (values.dtype.type(count) == value)
        largest = max(largest, count)
        out[k] = count
    return largest if fits else -1


@njit(nogil=True, cache=True)
def value_range(values: NDArray[Any]) -> tuple[float, float, bool, bool, bool]:
    """Return what a `dao.format.encodings.ValueRange` says of values; zero is always included.

    These are (minimum, maximum, all whole numbers, all fit float32, all may be float32).
    """
    minimum, maximum = 0.0, 0.0
    integral, fits, may = True, True, True
    for k in range(len(values)):
        value = np.float64(values[k])
        if not np.isfinite(value):
            integral = False
            continue
        minimum = min(minimum, value)
        maximum = max(maximum, value)
        whole = value == np.floor(value)
        integral &= whole
        narrow = np.float64(np.float32(value))
        if narrow != value:
            fits = False
            may &= not whole and np.isfinite(narrow)
    return minimum, maximum, integral, fits, may


@njit(nogil=True, cache=True)
def take_rows(
    parts: NDArray[np.int64],
    kind: int,
    columns: NDArray[Any],
    values: NDArray[Any],
    out_columns: NDArray[Any],
    out_values: NDArray[Any],
) -> None:
    """Copy parts of rows, one behind the other; cast the values.

    Parameters
    ----------
    parts
        As in `dao.write.window.Window`. Parts of other kinds than ``kind`` are left out, and their
        places as they are.
    """
    at = 0
    for p in range(len(parts)):
        n = parts[p, 1]
        if parts[p, 4] == kind:
            # Slices, not indexed loops: the compiler vectorises them.
            source, target = columns[parts[p, 2] : parts[p, 2] + n], out_columns[at : at + n]
            for k in range(n):
                target[k] = source[k]
            given, wanted = values[parts[p, 3] : parts[p, 3] + n], out_values[at : at + n]
            for k in range(n):
                wanted[k] = given[k]
        at += n


@njit(nogil=True, cache=True)
def scatter_rows(
    parts: NDArray[np.int64],
    kind: int,
    first: int,
    columns: NDArray[Any],
    values: NDArray[Any],
    out: NDArray[Any],
) -> None:
    """Write parts of rows of one kind into rows of a dense array of zeros; cast the values."""
    for p in range(len(parts)):
        if parts[p, 4] == kind:
            row = out[parts[p, 0] - first]
            for k in range(parts[p, 1]):
                row[columns[parts[p, 2] + k]] = values[parts[p, 3] + k]
