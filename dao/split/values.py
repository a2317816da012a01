"""Values of obs as bytes that do not depend on codes, dtypes or units."""

from __future__ import annotations

from datetime import date, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from dao.obs import Column

__all__ = ["canonical", "grouped"]

_MISSING = b"\x00"
_PRESENT = b"\x01"


def canonical(value: Any) -> bytes:
    """Return a value as bytes: equal for values that are equal, whatever their type.

    Numbers are equal by value: 3, 3.0 and the text ``"3"`` are the same. Times are equal in any
    unit and time zone. A missing value differs from every text.

    >>> canonical(3) == canonical(np.float32(3)) == canonical("3") != canonical(None)
    True
    """
    text = _text(value)
    return _MISSING if text is None else _PRESENT + text.encode("utf-8", "surrogatepass")


def grouped(columns: Sequence[Column]) -> tuple[NDArray[np.int64], list[bytes]]:
    """Return the group of each row, and what identifies each group.

    Parameters
    ----------
    columns
        Of the same rows. Rows with equal values in all of them are a group; a missing value is a
        value of its own.
    """
    groups, rows = np.zeros(len(columns[0]), np.int64), np.zeros(1, np.int64)
    coded = [_coded(column) for column in columns]
    for codes, _ in coded:
        n = int(codes.max(initial=0)) + 1
        groups, found = pd.factorize(groups * n + codes)
        rows = np.zeros(len(found), np.int64)
        rows[groups] = np.arange(len(groups))  # any row of a group stands for it
    parts = [[values[code] for code in codes[rows].tolist()] for codes, values in coded]
    return groups, [_joined(values) for values in zip(*parts, strict=True)]


def _joined(values: Sequence[bytes]) -> bytes:
    # With their lengths, "a" and "bc" differ from "ab" and "c".
    return b"".join(len(v).to_bytes(8, "little") + v for v in values)


def _coded(column: Column) -> tuple[NDArray[np.int64], list[bytes]]:
    """Return codes from 0 to below the number of values that occur, and these values."""
    codes, values = column.values, column.categories or ()
    if column.categories is None:
        numbers, distinct = pd.factorize(column.values)
        codes, values = np.where(column.missing, -1, numbers), list(distinct)
    found, used = pd.factorize(codes)
    return found, [_MISSING if i < 0 else canonical(values[i]) for i in used.tolist()]


def _text(value: Any) -> str | None:
    for types, text in _TEXTS:
        if isinstance(value, types):
            return text(value)
    return None if value is None or value is pd.NaT or value is pd.NA else str(value)


def _number(value: Any) -> str | None:
    if value != value:  # noqa: PLR0124
        return None
    if value in {float("inf"), -float("inf")}:
        return "inf" if value > 0 else "-inf"
    if value == int(value):
        return str(int(value))
    exact = value if isinstance(value, Decimal) else Decimal(repr(float(value)))
    return format(exact, "f").rstrip("0")


def _moment(value: Any) -> str | None:
    moment = pd.Timestamp(value)
    if pd.isna(moment):
        return None
    return (moment if moment.tzinfo is None else moment.tz_convert("UTC")).isoformat()


def _duration(value: Any) -> str | None:
    duration = pd.Timedelta(value)
    return None if pd.isna(duration) else duration.isoformat()


# The first that fits: booleans are integers to Python, durations are to NumPy, NaT is a time.
_TEXTS: tuple[tuple[Any, Callable[[Any], str | None]], ...] = (
    (str, str),
    ((bool, np.bool_), lambda value: str(bool(value))),
    ((np.timedelta64, timedelta), _duration),
    ((int, np.integer), lambda value: str(int(value))),
    ((float, np.floating, Decimal), _number),
    ((np.datetime64, date), _moment),
    (time, time.isoformat),
)
