"""Declared obs columns: what a store demands of the obs of every study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dao.arguments import listed, shown
from dao.errors import ArgumentError, near_matches
from dao.format.obs_schema import RESERVED_COLUMNS

__all__ = ["DTYPES", "ObsColumn", "parse_obs_schema"]

_NUMBERS = (
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64",
)  # fmt: skip
DTYPES = ("category", "string", "bool", *_NUMBERS)
_OTHER_NAMES = {"categorical": "category", "str": "string", "int": "int64", "float": "float64"}


@dataclass(frozen=True)
class ObsColumn:
    """What a store demands of an obs column.

    Parameters
    ----------
    dtype
        ``"category"``, ``"string"``, ``"bool"``, or a number as ``"int32"`` or ``"float32"``;
        as the studies have it if None.
    values
        The values that are allowed; of a category in the order of its codes: texts, numbers or
        booleans.
    default
        For cells without a value, and for studies without the column.
    required
        Whether every study must have the column, or a constant in its place.
    ordered
        Whether the values of a category have an order.

    Examples
    --------
    >>> ObsColumn("category", values=["early", "late"], ordered=True).values
    ('early', 'late')
    """

    dtype: str | None = None
    values: tuple[Any, ...] | None = None
    default: Any = None
    required: bool = False
    ordered: bool = False

    def __post_init__(self) -> None:
        """Bring to one form, and refuse what contradicts itself."""
        if not isinstance(self.dtype, str | None):
            msg = f"dtype must be text, not {self.dtype!r}"
            raise ArgumentError(msg)
        if self.dtype is not None:
            object.__setattr__(self, "dtype", _OTHER_NAMES.get(self.dtype, self.dtype))
        if self.values is not None:
            object.__setattr__(self, "values", _listed(self.values))
        if _is_missing(self.default):
            object.__setattr__(self, "default", None)
        elif isinstance(self.default, np.generic):
            object.__setattr__(self, "default", self.default.item())
        problem = self._problem()
        if problem:
            raise ArgumentError(problem)

    def _problem(self) -> str | None:
        if self.dtype is not None and self.dtype not in DTYPES:
            return f"there is no dtype {self.dtype!r}.{near_matches(self.dtype, DTYPES)}"
        if not (isinstance(self.required, bool) and isinstance(self.ordered, bool)):
            return "required and ordered must be true or false"
        if self.ordered and (self.dtype != "category" or not self.values):
            return "ordered needs dtype='category' and values"
        return self._problem_of_values()

    def _problem_of_values(self) -> str | None:
        for value in (*(self.values or ()), *([] if self.default is None else [self.default])):
            if not self._fits(value):
                return f"{value!r} is no value of dtype {self.dtype!r}"
        if self.dtype == "category" and not _are_alike(self.values or ()):
            return "the values of a category are all texts, all numbers or all booleans, each once"
        if self.values is not None and self.default is not None and self.default not in self.values:
            return f"the default {self.default!r} is not among the values"
        return None

    def _fits(self, value: Any) -> bool:
        if self.dtype == "string":
            return isinstance(value, str)
        if self.dtype == "category":
            return isinstance(value, str) or _fits_category(value)
        if self.dtype == "bool":
            return isinstance(value, bool)
        if self.dtype is None:
            return isinstance(value, str | bool) or _fits_category(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return _fits_number(value, np.dtype(self.dtype))


def parse_obs_schema(given: object) -> tuple[dict[str, ObsColumn], list[str]]:
    """Return declared columns by name, and every problem that they have.

    Parameters
    ----------
    given
        Column -> an `ObsColumn`, a dtype, or a dict of the arguments of `ObsColumn`.
    """
    if not isinstance(given, Mapping):
        return {}, [f"must map columns to what they are, not {type(given).__name__}"]
    columns: dict[str, ObsColumn] = {}
    problems = []
    for name, what in given.items():
        if not isinstance(name, str) or not name or name in RESERVED_COLUMNS:
            problems.append(f"{name!r} cannot be the name of a column")
            continue
        try:
            columns[name] = _column(what)
        except ArgumentError as error:
            problems.append(f"{name}: {error}")
    return columns, problems


def _column(what: object) -> ObsColumn:
    if isinstance(what, ObsColumn):
        return what
    if isinstance(what, str):
        return ObsColumn(what)
    if not isinstance(what, Mapping):
        msg = f"give a dtype or a table of dtype, values, default, required, ordered, not {what!r}"
        raise ArgumentError(msg)
    allowed = ObsColumn.__dataclass_fields__
    unknown = [k for k in what if k not in allowed]
    if unknown:
        msg = f"unknown key {unknown[0]!r}.{near_matches(unknown[0], allowed)}"
        raise ArgumentError(msg)
    return ObsColumn(**what)


def _listed(values: Any) -> tuple[Any, ...]:
    given = None if isinstance(values, set | frozenset | Mapping) else listed(values)
    if given is None:
        msg = f"values must be a list, not {shown(values)}"
        raise ArgumentError(msg)
    # A value may always be missing.
    known = [v for v in given if not _is_missing(v)]
    found = tuple(v.item() if isinstance(v, np.generic) else v for v in known)
    if len(set(map(repr, found))) != len(found):
        msg = "values names some twice"
        raise ArgumentError(msg)
    return found


def _is_missing(value: object) -> bool:
    """Return whether a value is None, NaN, NaT or pandas.NA; pandas need not be there for that."""
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def _are_alike(values: Sequence[Any]) -> bool:
    """Return whether values can be the categories of one column, none of them twice."""
    kinds = {str if isinstance(v, str) else bool if isinstance(v, bool) else float for v in values}
    return len(kinds) <= 1 and len(set(values)) == len(values)


def _fits_category(value: object) -> bool:
    if isinstance(value, float):
        return bool(np.isfinite(value))
    return isinstance(value, int) and -(2**63) <= value < 2**64


def _fits_number(value: float, dtype: np.dtype[Any]) -> bool:
    if value in {np.inf, -np.inf} or value != value:  # noqa: PLR0124 - NaN
        return dtype.kind == "f"
    if dtype.kind == "f":
        return abs(value) <= float(np.finfo(dtype).max)
    return value == int(value) and np.can_cast(np.min_scalar_type(int(value)), dtype)
