"""Times, dates, lengths of time and times of day as exact numbers of nanoseconds."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

__all__ = ["Ticks", "instant", "length", "nanoseconds", "time_of_day"]

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - of times without a zone
_UNITS: dict[str, int | Fraction] = {
    "W": 7 * 86_400 * 10**9, "D": 86_400 * 10**9, "h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9,
    "ms": 10**6, "us": 10**3, "ns": 1, "ps": Fraction(1, 10**3), "fs": Fraction(1, 10**6),
    "as": Fraction(1, 10**9),
}  # fmt: skip
_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<part>\d{1,18}))?)?"
_TIME = re.compile(
    r"(?P<year>\d{4})(?:(?P<dash>[-/])(?P<month>\d{1,2})(?:(?P=dash)(?P<day>\d{1,2})"
    rf"(?:[T ]+{_CLOCK})?\s*(?P<zone>Z|UTC|[+-]\d\d:?\d\d|[+-]\d\d)?)?)?"
)
_WITH_MONTH = re.compile(r"(?=.*[A-Za-z]{3})(?=.*\b\d{4}\b)[\w ,.:+-]+")
_HINT = "write it as '2024-01-31' or '2024-01-31 12:30'"


@dataclass(frozen=True, order=True, slots=True)
class Ticks:
    """Nanoseconds since 1970, since midnight, or of a length of time; exact for every unit."""

    ns: Fraction


def nanoseconds(dtype: np.dtype[Any]) -> Fraction:
    """Return how many nanoseconds one tick of a dtype of times is."""
    unit, count = np.datetime_data(dtype)
    return Fraction(_UNITS[unit]) * int(count)


def instant(value: Any, zone: str | None) -> Ticks:
    """Return a time or a date.

    Parameters
    ----------
    value
        Text, `datetime.date`, `datetime.datetime`, `pandas.Timestamp` or `numpy.datetime64` of any
        unit.
    zone
        The time zone of the column. Text without a zone, and dates, are read in it, as pandas does.

    Raises
    ------
    ValueError, TypeError
        If it is not a time, or only one of column and value has a time zone.
    """
    if isinstance(value, str):
        return _parsed(value, zone)
    if isinstance(value, dt.datetime):
        aware = value.tzinfo is not None
        if aware != (zone is not None):
            raise ValueError(_zones(zone))
        if hasattr(value, "asm8"):  # a Timestamp, which has units of its own; in UTC
            return _numpy(value.asm8)
        if aware:
            return Ticks(_exact(value - _EPOCH.replace(tzinfo=dt.UTC)))
        return Ticks(_exact(value - _EPOCH))
    if isinstance(value, dt.date):
        midnight = dt.datetime.combine(value, dt.time())
        return _in_zone(midnight, Fraction(0), zone)
    if isinstance(value, np.datetime64):
        if zone is not None:
            raise ValueError(_zones(zone))
        return _numpy(value)
    msg = f"is not a time: {_HINT}, or pass a pandas.Timestamp"
    raise TypeError(msg)


def length(value: Any) -> Ticks:
    """Return a length of time.

    Parameters
    ----------
    value
        Text as pandas reads it, `datetime.timedelta`, `pandas.Timedelta` or `numpy.timedelta64`.

    Raises
    ------
    ValueError, TypeError
        If it is not a length of time, or one of months or years.
    """
    if isinstance(value, str) or hasattr(value, "nanos"):
        value = _timedelta(value)
    if hasattr(value, "asm8"):
        value = value.asm8
    if isinstance(value, np.timedelta64):
        unit, _ = np.datetime_data(value.dtype)
        if unit not in _UNITS:
            msg = "has no fixed length: pass days, hours or seconds"
            raise ValueError(msg)
        return Ticks(int(value.astype(np.int64)) * nanoseconds(value.dtype))
    if isinstance(value, dt.timedelta):
        return Ticks(_exact(value))
    msg = "is not a length of time: write it as '3 days', or pass a pandas.Timedelta"
    raise TypeError(msg)


def time_of_day(value: Any) -> Ticks:
    """Return a time of the day, from text such as ``"12:30"`` or `datetime.time`.

    Raises
    ------
    ValueError, TypeError
        If it is not one.
    """
    found = re.fullmatch(_CLOCK, value.strip()) if isinstance(value, str) else None
    part = Fraction(0)
    if found:
        part = _part(found)
        value = dt.time(int(found["hour"]), int(found["minute"]), int(found["second"] or 0))
    if not isinstance(value, dt.time) or value.tzinfo is not None:
        msg = "is not a time of the day: write it as '12:30', or pass a datetime.time"
        raise TypeError(msg)
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return Ticks(Fraction(seconds * 10**9 + value.microsecond * 1000) + part)


def _parsed(text: str, zone: str | None) -> Ticks:
    found = _TIME.fullmatch(text.strip())
    if not found:
        return _otherwise_parsed(text, zone)
    year, month, day = (int(found[n] or 1) for n in ("year", "month", "day"))
    hour, minute, second = (int(found[n] or 0) for n in ("hour", "minute", "second"))
    moment = dt.datetime.combine(dt.date(year, month, day), dt.time(hour, minute, second))
    if not found["zone"]:
        return _in_zone(moment, _part(found), zone)
    if zone is None:
        raise ValueError(_zones(zone))
    return Ticks(_exact(moment - _EPOCH) + _part(found) - _offset(found["zone"]))


def _otherwise_parsed(text: str, zone: str | None) -> Ticks:
    """Return what the other notations of ISO 8601 mean, and names of months."""
    import pandas as pd

    try:
        return instant(dt.datetime.fromisoformat(text.strip()), zone)
    except ValueError:
        if not _WITH_MONTH.fullmatch(text):
            msg = f"is not a time: {_HINT}"
            raise ValueError(msg) from None
    try:
        read = pd.Timestamp(text)
    except (ValueError, OverflowError) as error:
        msg = f"is not a time: {_HINT}"
        raise ValueError(msg) from error
    if read.tzinfo is not None:
        return instant(read, zone)
    return _in_zone(read.to_pydatetime(), Fraction(0), zone)


def _in_zone(moment: dt.datetime, part: Fraction, zone: str | None) -> Ticks:
    """Return what a clock on the wall of a zone shows, as an instant."""
    wall = _exact(moment - _EPOCH) + part
    if zone is None:
        return Ticks(wall)
    import pandas as pd

    there = pd.Timestamp(moment).tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    offset = None if isinstance(there, type(pd.NaT)) else there.utcoffset()
    if offset is None:
        msg = f"comes twice or never in {zone}, where clocks change: give its offset, as in +01:00"
        raise ValueError(msg)
    return Ticks(wall - _exact(offset))


def _numpy(value: np.datetime64) -> Ticks:
    unit, _ = np.datetime_data(value.dtype)
    if unit not in _UNITS:
        value = value.astype("datetime64[D]")  # the first day of the year or month
    return Ticks(int(value.astype(np.int64)) * nanoseconds(value.dtype))


def _timedelta(value: Any) -> Any:
    import pandas as pd

    try:
        if isinstance(value, str):
            float(value)  # pandas would take it for nanoseconds
            value = None
    except ValueError:
        pass
    read = pd.NaT if value is None else pd.Timedelta(value)
    if pd.isna(read):
        msg = "is not a length of time: write it with its unit, as in '3 days'"
        raise ValueError(msg)
    return read


def _exact(length: dt.timedelta) -> Fraction:
    return Fraction((length.days * 86_400 + length.seconds) * 10**9 + length.microseconds * 1000)


def _part(found: re.Match[str]) -> Fraction:
    digits = found["part"] or "0"
    return Fraction(int(digits) * 10**9, 10 ** len(digits))


def _offset(zone: str) -> Fraction:
    if zone in {"Z", "UTC"}:
        return Fraction(0)
    digits = zone[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return Fraction((-minutes if zone[0] == "-" else minutes) * 60 * 10**9)


def _zones(zone: str | None) -> str:
    if zone is None:
        return "has a time zone, and the column has none: leave it out"
    return (
        f"has no time zone, and the column is in {zone}: pass text, which is read in that zone, or "
        f"pandas.Timestamp(..., tz={zone!r})"
    )
