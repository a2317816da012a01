"""Filter expressions as values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import ExpressionError
from dao.where.branch import Descendants

if TYPE_CHECKING:
    import pyarrow.compute as pc

__all__ = [
    "TEXT_METHODS",
    "And",
    "Arrow",
    "Expression",
    "Not",
    "Or",
    "Test",
    "columns_of",
    "is_null",
    "tests_of",
    "values_test",
    "with_tests",
]

TEXT_METHODS = {"startswith", "endswith", "contains", "match", "fullmatch"}


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
class Arrow:
    """An expression of pyarrow.

    Attributes
    ----------
    expression
        Gives booleans.
    columns
        The columns that it uses.
    decoded
        Whether it needs texts, because pyarrow cannot do it on their codes.
    """

    expression: pc.Expression
    columns: tuple[str, ...]
    decoded: bool = False


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


Expression = Test | Arrow | Not | And | Or


def columns_of(expression: Expression) -> frozenset[str]:
    """Return the columns that an expression reads."""
    match expression:
        case Test(column=column):
            return frozenset({column})
        case Arrow(columns=columns):
            return frozenset(columns)
        case Not(item=item):
            return columns_of(item)
        case And(items=items) | Or(items=items):
            return frozenset().union(*map(columns_of, items))


def values_test(column: str, values: Any) -> Expression:
    """Return the test that a column has one of the values.

    Parameters
    ----------
    values
        A scalar, a `pandas.Interval`, what `dao.descendants` returns, or a list of these.
    """
    if _is_scalar(values):
        listed = [values]
    elif isinstance(values, Iterable) and not isinstance(values, Mapping):
        listed = list(values)
    else:
        listed = [values]
    if isinstance(values, Mapping) or any(isinstance(v, list | dict | set) for v in listed):
        msg = f"{column!r} is held against {values!r}: give a value, or a list of values."
        raise ExpressionError(msg)
    ranges = tuple(_range_test(column, v) for v in listed if _is_interval(v))
    plain = (v for v in listed if not _is_interval(v))
    test = Test(column, "in", tuple(v.item() if isinstance(v, np.generic) else v for v in plain))
    return Or((test, *ranges)) if ranges else test


def tests_of(expression: Expression) -> list[Test]:
    """Return the tests that an expression is made of, those of pyarrow left out."""
    match expression:
        case Test():
            return [expression]
        case Arrow():
            return []
        case Not(item=item):
            return tests_of(item)
        case And(items=items) | Or(items=items):
            return [t for item in items for t in tests_of(item)]


def with_tests(expression: Expression, change: Callable[[Test], Test]) -> Expression:
    """Return an expression with other tests in the same places."""
    match expression:
        case Test():
            return change(expression)
        case Arrow():
            return expression
        case Not(item=item):
            return Not(with_tests(item, change))
        case And(items=items) | Or(items=items):
            return replace(expression, items=tuple(with_tests(i, change) for i in items))


def is_null(value: Any) -> bool:
    """Whether a value stands for missing."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | bytes | Descendants) or np.isscalar(value) or value is None


def _is_interval(value: Any) -> bool:
    # Told by its attributes: this room needs no pandas.
    return all(hasattr(value, a) for a in ("left", "right", "closed_left", "closed_right"))


def _range_test(column: str, interval: Any) -> And:
    low = Test(column, ">=" if interval.closed_left else ">", interval.left)
    return And((low, Test(column, "<=" if interval.closed_right else "<", interval.right)))
