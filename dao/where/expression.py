"""Filter expressions as values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dao.errors import ExpressionError

__all__ = [
    "TEXT_METHODS",
    "And",
    "Expression",
    "Not",
    "Or",
    "Test",
    "columns_of",
    "is_null",
    "tests_of",
    "values_test",
]

TEXT_METHODS = {"startswith", "endswith", "contains"}


@dataclass(frozen=True, slots=True)
class Test:
    """One column held against a value.

    ``op`` is a comparison, "in", "null", "true" or a text method.
    """

    __test__ = False  # pytest takes classes of this name for tests

    column: str
    op: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Not:
    """True where ``item`` is false."""

    item: Expression


@dataclass(frozen=True, slots=True)
class And:
    """True where all items are; an empty one is true everywhere."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """True where any item is."""

    items: tuple[Expression, ...]


Expression = Test | Not | And | Or


def columns_of(expression: Expression) -> frozenset[str]:
    """Return the columns that an expression reads."""
    return frozenset(t.column for t in tests_of(expression))


def values_test(column: str, values: Any) -> Test:
    """Return the test that a column has one of the values (a scalar, or a list of scalars)."""
    if isinstance(values, str | bytes) or np.isscalar(values) or values is None:
        listed = [values]
    elif isinstance(values, Iterable) and not isinstance(values, Mapping):
        listed = list(values)
    else:
        listed = [values]
    if isinstance(values, Mapping) or any(isinstance(v, list | dict | set) for v in listed):
        msg = f"{column!r} is held against {values!r}: give a value, or a list of values."
        raise ExpressionError(msg)
    plain = tuple(v.item() if isinstance(v, np.generic) else v for v in listed)
    return Test(column, "in", plain)


def tests_of(expression: Expression) -> list[Test]:
    """Return the tests that an expression is made of."""
    match expression:
        case Test():
            return [expression]
        case Not(item=item):
            return tests_of(item)
        case And(items=items) | Or(items=items):
            return [t for item in items for t in tests_of(item)]


def is_null(value: Any) -> bool:
    """Whether a value stands for missing."""
    return value is None or (isinstance(value, float) and math.isnan(value))
