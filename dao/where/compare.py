"""Compare: one set of rules for numbers, booleans and times, whoever asks.

======================  =========================================================================
column of               a value is
======================  =========================================================================
whole numbers, times    compared exactly, as Python compares it with an int: 1.5 equals none, and a
                        value beyond the range of the dtype equals none and is above or below all
floats                  rounded to the dtype of the column first, as NumPy does: 0.1 equals what a
                        float32 column holds of 0.1; beyond its range it equals none, not infinity
booleans                compared with 0 and 1
decimals                compared exactly; a float is what it reads as, so 0.1 equals ``0.10``
======================  =========================================================================

Missing values are the business of `evaluate`.
"""

from __future__ import annotations

import datetime as dt
import math
import operator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.where.times import Ticks, nanoseconds, time_of_day

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

__all__ = ["OPERATORS", "comparable_array", "compared", "is_in"]

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_BEYOND = 10**40  # no dtype of whole numbers goes so far


def comparable_array(values: NDArray[Any], missing: NDArray[np.bool_]) -> NDArray[Any]:
    """Return values as numbers or times of NumPy where they are Python's dates and times."""
    if values.dtype.kind == "b":
        return values.view(np.uint8)
    known = np.flatnonzero(~missing)
    if values.dtype.kind != "O" or not len(known):
        return values
    first = values[known[0]]
    if isinstance(first, dt.datetime):
        import pandas as pd

        found = pd.to_datetime(pd.Series(values[known]), utc=True)
        return _spread(found.dt.tz_localize(None).to_numpy(), known, len(values))
    if isinstance(first, dt.date):
        return _spread(values[known].astype("datetime64[D]"), known, len(values))
    if isinstance(first, dt.time):
        ticks = [int(time_of_day(v).ns) for v in values[known]]
        return _spread(np.array(ticks, "timedelta64[ns]"), known, len(values))
    return values


def compared(op: str, values: NDArray[Any], value: Any) -> NDArray[np.bool_]:
    """Return for each value of an array whether it is, say, less than another value.

    Parameters
    ----------
    op
        A key of `OPERATORS`.
    values
        As `comparable_array` returns them; what stands for missing ones gives anything.
    value
        As `fit` returns it.
    """
    kind = values.dtype.kind
    if kind in "mM":
        bound = value.ns / nanoseconds(values.dtype) if isinstance(value, Ticks) else value
        return _with_whole(op, values.view(np.int64), bound)
    if kind in "iu":
        return _with_whole(op, values, value)
    if kind == "f":
        return _with_float(op, values, value)
    return _with_objects(op, values, value)


def is_in(values: NDArray[Any], wanted: Iterable[Any]) -> NDArray[np.bool_]:
    """Return for each value of an array whether it equals one of some values."""
    kind = values.dtype.kind
    if kind in "mM":
        unit = nanoseconds(values.dtype)
        wanted = [v.ns / unit for v in wanted if isinstance(v, Ticks)]
        values, kind = values.view(np.int64), "i"
    if kind in "iu":
        found = [w for w in map(_whole, wanted) if w is not None and _within(values.dtype, w)]
        return np.asarray(np.isin(values, np.array(found, values.dtype)))
    if kind == "f":
        rounded = [_rounded(values.dtype, v) for v in wanted]
        held = [r for r, is_beyond in rounded if not is_beyond]
        return np.asarray(np.isin(values, np.array(held, values.dtype)))
    mask = np.zeros(len(values), np.bool_)
    for value in wanted:
        mask |= _with_objects("==", values, value)
    return mask


def _with_whole(op: str, values: NDArray[Any], value: Any) -> NDArray[np.bool_]:
    """Compare whole numbers with any number, exactly."""
    if abs(value) > _BEYOND:
        value = _BEYOND if value > 0 else -_BEYOND
    low = math.floor(value)
    is_whole = low == value
    if op in {"==", "!="}:
        there = is_whole and _within(values.dtype, low)
        equal = values == values.dtype.type(low) if there else np.zeros(len(values), np.bool_)
        return equal if op == "==" else ~equal
    # x < value where x <= the greatest whole number below it, and so on.
    at_most = _at_most(values, low - 1 if is_whole and op in {"<", ">="} else low)
    return at_most if op in {"<", "<="} else ~at_most


def _at_most(values: NDArray[Any], bound: int) -> NDArray[np.bool_]:
    info = np.iinfo(values.dtype)
    if not info.min <= bound < info.max:
        return np.full(len(values), bound >= info.max)
    return np.asarray(values <= values.dtype.type(bound))


def _with_float(op: str, values: NDArray[Any], value: Any) -> NDArray[np.bool_]:
    rounded, is_beyond = _rounded(values.dtype, value)
    if not is_beyond:
        return np.asarray(OPERATORS[op](values, rounded))
    if op in {"==", "!="}:
        return np.full(len(values), op == "!=")
    # Between the last finite number and infinity.
    below = values < rounded if rounded > 0 else values <= rounded
    above = values >= rounded if rounded > 0 else values > rounded
    return np.asarray(below if op in {"<", "<="} else above)


def _rounded(dtype: np.dtype[Any], value: Any) -> tuple[Any, bool]:
    """Return a number in a dtype of floats, and whether it is finite and becomes infinite."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    with np.errstate(over="ignore"):
        rounded = dtype.type(number)
    is_finite = not (isinstance(value, float | Decimal) and value in {math.inf, -math.inf})
    return rounded, bool(is_finite and np.isinf(rounded))


def _with_objects(op: str, values: NDArray[Any], value: Any) -> NDArray[np.bool_]:
    """Compare decimals, and other objects as Python does; what is not comparable is not equal."""
    if isinstance(value, float):
        value = Decimal(repr(value))

    def one(held: Any) -> bool:
        try:
            return bool(OPERATORS[op](held, value))
        except TypeError:
            return op == "!="

    return np.fromiter(map(one, values), np.bool_, len(values))


def _whole(value: Any) -> int | None:
    if abs(value) > _BEYOND:
        return None
    low = math.floor(value)
    return low if low == value else None


def _within(dtype: np.dtype[Any], number: int) -> bool:
    info = np.iinfo(dtype)
    return info.min <= number <= info.max


def _spread(found: NDArray[Any], known: NDArray[np.intp], n: int) -> NDArray[Any]:
    spread = np.zeros(n, found.dtype)
    spread[known] = found
    return spread
