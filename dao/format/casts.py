"""The rule of casts: which values a dtype may hold in place of another one.

Whole numbers are exact. Fractions may round to the nearest float, and what is too small for it to
zero. Nothing finite becomes infinite, and no integer wraps around. NaN and infinity stay what they
are in floats, and are never integers.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "PASS_DTYPE",
    "Verdict",
    "always_fits",
    "check_values",
    "exact_below",
    "fits",
    "misfit",
    "verdict",
    "widest",
    "without_advice",
]

# How errors begin to advise another dtype.
PASS_DTYPE = "Pass dtype="  # noqa: S105 - no password
# From here on a float64 that says how large integers are may itself be rounded.
_ROUNDED_FROM = 2.0**53


class Verdict(Enum):
    """What is known of a cast before any value was read."""

    FITS = "every value fits"
    LOOK = "values must be looked at"
    LOST = "a value does not fit"


def exact_below(dtype: np.dtype[Any]) -> int:
    """Return up to which size every whole number is exact in a float dtype.

    >>> exact_below(np.dtype("float32"))
    16777216
    """
    return int(2 ** (np.finfo(dtype).nmant + 1))


@cache
def always_fits(stored: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    """Whether every value of a dtype, bool, integer or float, may become one of another.

    >>> always_fits(np.dtype("int32"), np.dtype("float64"))
    True
    >>> always_fits(np.dtype("int64"), np.dtype("float64"))
    False
    """
    if stored == wanted or stored.kind == "b":
        return True
    if stored.kind == "f":
        return wanted.kind == "f" and wanted.itemsize >= stored.itemsize
    if wanted.kind == "b":
        return False
    low, high = _limits(stored)
    if wanted.kind == "f":
        return max(-low, high) <= exact_below(wanted)
    return _limits(wanted)[0] <= low and high <= _limits(wanted)[1]


def verdict(
    stored: np.dtype[Any], minimum: float, maximum: float, wanted: np.dtype[Any]
) -> Verdict:
    """Return what is known of a cast of values of a dtype, from their range.

    Parameters
    ----------
    stored
        An integer or float dtype.
    minimum, maximum
        The smallest and the largest finite value, or infinity if that is not known. Both are
        values that are there, but for one that is zero.
    wanted
        The dtype that is asked for.

    Examples
    --------
    >>> verdict(np.dtype("uint32"), 0, 2**24, np.dtype("float32"))
    <Verdict.FITS: 'every value fits'>
    >>> verdict(np.dtype("uint32"), 0, 2**24 + 1, np.dtype("float32"))
    <Verdict.LOST: 'a value does not fit'>
    """
    if always_fits(stored, wanted):
        return Verdict.FITS
    ends = [end for end in (float(minimum), float(maximum)) if isfinite(end)]
    if any(_is_lost(end, stored, wanted) for end in ends):
        return Verdict.LOST
    largest = max(map(abs, ends)) if len(ends) == 2 else np.inf
    if wanted.kind == "f":
        known = largest <= exact_below(wanted) and largest < _ROUNDED_FROM
    else:
        known = stored.kind != "f" and largest < _ROUNDED_FROM
    return Verdict.FITS if known else Verdict.LOOK


def _is_lost(end: float, stored: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    """Whether the smallest or largest value of a matrix does not fit a dtype."""
    if stored.kind == "f":
        return not fits(np.array([end]), wanted)
    if abs(end) < _ROUNDED_FROM:
        return not fits(np.array([int(end)]), wanted)
    # It may be rounded, by 2**11 at the most for numbers of 64 bits.
    low, high = _limits(wanted) if wanted.kind in "iu" else (-np.inf, np.inf)
    return bool(end < low - (1 << 11) or end > high + (1 << 11))


def fits(values: NDArray[Any], wanted: np.dtype[Any]) -> bool:
    """Whether all values may become values of another dtype."""
    return misfit(values, wanted) is None


def check_values(what: str, values: NDArray[Any], wanted: np.dtype[Any]) -> None:
    """Refuse values that a dtype cannot hold.

    Parameters
    ----------
    what
        How the error names the matrix.
    values
        Integers or floats.

    Raises
    ------
    dao.errors.ArgumentError
        With one of them, and a dtype that holds it.
    """
    found = misfit(values, wanted)
    if found is not None:
        msg = (
            f"{what} has the value {found}, which {wanted} cannot hold without changing it. "
            f"{PASS_DTYPE}{str(values.dtype)!r}, which holds it exactly."
        )
        raise ArgumentError(msg)


def without_advice(error: ArgumentError) -> str:
    """Return a message without the dtype that it advises to pass, for what takes no ``dtype=``.

    A message without such advice is returned as it is.
    """
    return str(error).partition(f" {PASS_DTYPE}")[0]


def misfit(values: NDArray[Any], wanted: np.dtype[Any]) -> Any:
    """Return the first value that may not become one of ``wanted``, or None."""
    if always_fits(values.dtype, wanted) or not values.size:
        return None
    flat = values.reshape(-1)
    if flat.dtype.kind == "f":
        bad = _bad_floats(flat, wanted) if wanted.kind == "f" else _bad_fractions(flat, wanted)
    elif wanted.kind == "f":
        bad = _bad_integers(flat, wanted)
    else:
        low, high = _limits(wanted)
        own_low, own_high = _limits(flat.dtype)
        bad = (flat < max(low, own_low)) | (flat > min(high, own_high))
    return flat[np.argmax(bad)] if bad is not None and bad.any() else None


def widest(dtypes: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    """Return the dtype of arrays of one matrix that came in different widths.

    Integers stay integers: of a signed matrix, unsigned parts are known to fit int64.

    >>> widest([np.dtype("int8"), np.dtype("uint64")]), widest([np.dtype("uint8")])
    (dtype('int64'), dtype('uint8'))
    """
    usual: np.dtype[Any] = np.result_type(*dtypes)
    whole = all(dtype.kind in "iu" for dtype in dtypes)
    return np.dtype(np.int64) if whole and usual.kind == "f" else usual


def _bad_floats(values: NDArray[Any], wanted: np.dtype[Any]) -> NDArray[np.bool_] | None:
    limit = exact_below(wanted)
    # NaN is passed over; this is all that there is to do for nearly every matrix.
    if -limit <= np.fmin.reduce(values) and np.fmax.reduce(values) <= limit:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        cast = values.astype(wanted)
        whole = values == np.floor(values)
        bad: NDArray[np.bool_] = np.where(whole, cast != values, np.isinf(cast))
        bad &= np.isfinite(values)
        return bad


def _bad_fractions(values: NDArray[Any], wanted: np.dtype[Any]) -> NDArray[np.bool_]:
    low, high = _limits(wanted)
    with np.errstate(invalid="ignore"):
        # ``high + 1`` is a power of two, so exact in a float where ``high`` may not be.
        inside = (values >= float(low)) & (values < float(high + 1))
        fits_all: NDArray[np.bool_] = inside & (values == np.floor(values))
        return ~fits_all


def _bad_integers(values: NDArray[Any], wanted: np.dtype[Any]) -> NDArray[np.bool_] | None:
    limit = exact_below(wanted)
    if -limit <= int(values.min()) and int(values.max()) <= limit:
        return None
    # Two's complement: right for the smallest int64, too, which has no positive counterpart.
    sizes = values.astype(np.uint64) if values.dtype.kind == "u" else _sizes(values)
    lowest_bit = sizes & (~sizes + np.uint64(1))
    odd: NDArray[Any] = sizes // np.maximum(lowest_bit, np.uint64(1))
    return odd > np.uint64(limit)


def _sizes(values: NDArray[Any]) -> NDArray[np.uint64]:
    bits = values.astype(np.int64).view(np.uint64)
    return np.where(values < 0, ~bits + np.uint64(1), bits)


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    if dtype.kind == "b":
        return 0, 1
    info: np.iinfo[Any] = np.iinfo(dtype)
    return int(info.min), int(info.max)
