"""Fit: a value that a column is compared with, as what the column holds; or why it cannot be."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from dao.errors import ExpressionError
from dao.where.times import Ticks, instant, length, time_of_day

if TYPE_CHECKING:
    from collections.abc import Callable

    from dao.format.manifest import ColumnInfo

__all__ = ["fit", "holds_text"]

_SHOWN = 200
_TIMES = re.compile(r"(timestamp|date32|date64)\[(?:\w+)(?:, tz=(?P<zone>.+))?\]")
_NUMBERS = re.compile(r"(bool|u?int(8|16|32|64)|float(16|32|64)|decimal.*)")


def fit(column: str, info: ColumnInfo, value: Any) -> Any:
    """Return a known value as it is compared with what a column holds.

    Numbers stay numbers, texts stay texts; times become `Ticks`. Whether a cell can have the value
    is another question: 300 fits a column of int8, and no cell has it.

    Raises
    ------
    dao.errors.ExpressionError
        If values of such types are not comparable: text and numbers, numbers and times.
    """
    if isinstance(value, Ticks):
        return value
    if info.dtype == "null":
        return value  # of a column without values, which agrees with everything
    if holds_text(info):
        if isinstance(value, str):
            return value
        raise ExpressionError(_mismatch(column, info, value))
    convert = _converter(info.dtype)
    if convert is not None:
        try:
            return convert(value)
        except (ValueError, TypeError, OverflowError) as error:
            msg = f"{column!r} holds {info.dtype}; {_shown(value)} {error}."
            raise ExpressionError(msg) from error
    if _NUMBERS.fullmatch(info.dtype) and not isinstance(value, int | float | Decimal | Fraction):
        raise ExpressionError(_mismatch(column, info, value))
    return value


def holds_text(info: ColumnInfo) -> bool:
    """Whether the values of a column, or its categories, are texts."""
    return info.dtype == "string"


def _converter(dtype: str) -> Callable[[Any], Ticks] | None:
    times = _TIMES.fullmatch(dtype)
    if times:
        return lambda value: instant(value, times["zone"])
    if dtype.startswith("duration"):
        return length
    return time_of_day if dtype.startswith("time") else None


def _mismatch(column: str, info: ColumnInfo, value: Any) -> str:
    held = "text" if holds_text(info) else info.dtype
    if info.kind == "categorical":
        held = f"categories that are {held}"
    return (
        f"{column!r} holds {held}; it cannot be compared with {_shown(value)}.{_hint(info, value)}"
    )


def _hint(info: ColumnInfo, value: Any) -> str:
    if callable(value):
        return ' Write the condition as text, as in subset("n_counts > 1000").'
    if isinstance(value, slice):
        return " A range is a pandas.Interval(low, high, closed='both')."
    if isinstance(value, bytes | bytearray):
        return " Decode it: value.decode()."
    if holds_text(info) and isinstance(value, bool | int | float):
        return f" Text stands in quotes: {str(value)!r}."
    if isinstance(value, str) and _reads_as_number(value):
        return f" Numbers stand without quotes: {value.strip()}."
    return ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.strip() in {"True", "False"}
    return True
