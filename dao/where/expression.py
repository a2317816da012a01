"""Filter expressions as values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dao.where.plain import Values, listed, plain

if TYPE_CHECKING:
    from collections.abc import Callable

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
    "tests_of",
    "values_test",
    "with_tests",
]

TEXT_METHODS = {"startswith", "endswith", "contains", "match", "fullmatch"}


@dataclass(frozen=True, slots=True)
class Test:
    """One column held against a value.

    ``op`` is a comparison, "in", "null", "true" or a text method. The value of "in" is `Values`.
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
    zone
        Another name for the time zone of times, where pyarrow compares only equal ones.
    """

    expression: pc.Expression
    columns: tuple[str, ...]
    decoded: bool = False
    zone: str | None = None


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
        A scalar, a `pandas.Interval` or `pandas.Period`, what `dao.descendants` returns, or a list
        of these; a missing value (None, NaN, NaT, pandas.NA) stands for missing.

    Raises
    ------
    dao.errors.ExpressionError
        If it is a table, a dict, or a list of lists.
    """
    found = listed(column, values)
    ranges = tuple(_range_test(column, v) for v in found if _is_range(v))
    test = Test(column, "in", Values(v for v in found if not _is_range(v)))
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


def _is_range(value: Any) -> bool:
    return _is_interval(value) or _is_period(value)


def _is_interval(value: Any) -> bool:
    # Told by its attributes: this room needs no pandas.
    return all(hasattr(value, a) for a in ("left", "right", "closed_left", "closed_right"))


def _is_period(value: Any) -> bool:
    return hasattr(value, "start_time") and hasattr(value, "end_time")


def _range_test(column: str, value: Any) -> And:
    if _is_period(value):
        return And((Test(column, ">=", value.start_time), Test(column, "<=", value.end_time)))
    low = Test(column, ">=" if value.closed_left else ">", plain(value.left))
    return And((low, Test(column, "<=" if value.closed_right else "<", plain(value.right))))
