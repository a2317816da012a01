"""Times, durations and decimals of several datasets: the type that holds all of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dao.format.manifest import ColumnInfo

__all__ = ["UNITS", "Time", "parse_decimal", "parse_time", "unite_decimals", "unite_times"]

UNITS = ("s", "ms", "us", "ns")
_TIME = re.compile(r"(timestamp|duration)\[(s|ms|us|ns)(?:, tz=(.+))?\]")
_DECIMAL = re.compile(r"decimal(32|64|128|256)\((\d+), (-?\d+)\)")
# Digits that a decimal of 128 and 256 bits can have.
_DIGITS = {"decimal128": 38, "decimal256": 76}


@dataclass(frozen=True)
class Time:
    """The type of times or durations.

    Attributes
    ----------
    name
        ``"timestamp"`` or ``"duration"``.
    unit
        One of `UNITS`.
    zone
        The time zone of times that have one.
    """

    name: str
    unit: str
    zone: str | None = None

    def __str__(self) -> str:
        zone = "" if self.zone is None else f", tz={self.zone}"
        return f"{self.name}[{self.unit}{zone}]"

    @property
    def dtype(self) -> str:
        """The NumPy name of the dtype of the values, which are in UTC where there is a zone."""
        return f"{'M8' if self.name == 'timestamp' else 'm8'}[{self.unit}]"


def parse_time(dtype: str) -> Time | None:
    """Return the type of times or durations that a text names, as ``"timestamp[us, tz=UTC]"``."""
    found = _TIME.fullmatch(dtype)
    return None if found is None else Time(found[1], found[2], found[3])


def unite_times(infos: Sequence[ColumnInfo]) -> Time | str:
    """Return the type that holds all times or durations, or why there is none.

    It has the finest of their units, or a coarser one, in which every value is exact. Times of
    different zones become UTC.
    """
    times = [parse_time(i.dtype) for i in infos]
    known = [t for t in times if t is not None]
    if len(known) < len(times) or len({t.name for t in known}) > 1:
        return "types that cannot be united"
    zones = {t.zone for t in known}
    if None in zones and len(zones) > 1:
        return "times with a time zone next to times without one"
    finest = max(UNITS.index(t.unit) for t in known)
    held = [{t.unit, *i.fits} for t, i in zip(known, infos, strict=True)]
    units = set(UNITS[: finest + 1]).intersection(*held)
    if not units:
        return "times that no unit holds exactly"
    zone = zones.pop() if len(zones) == 1 else "UTC"
    return Time(known[0].name, max(units, key=UNITS.index), zone)


def parse_decimal(dtype: str) -> tuple[int, int] | None:
    """Return digits and those after the point of a decimal type, as ``"decimal128(5, 2)"``."""
    found = _DECIMAL.fullmatch(dtype)
    return None if found is None else (int(found[2]), int(found[3]))


def unite_decimals(dtypes: Sequence[str]) -> str | None:
    """Return the decimal type that holds all; None if there is none."""
    parsed = [parse_decimal(d) for d in dtypes]
    known = [p for p in parsed if p is not None]
    if len(known) < len(parsed):
        return None
    scale = max(scale for _, scale in known)
    digits = max(digits - s for digits, s in known) + scale
    name = next((n for n, most in _DIGITS.items() if digits <= most), None)
    return None if name is None else f"{name}({digits}, {scale})"
