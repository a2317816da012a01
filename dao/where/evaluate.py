"""From an expression and columns to a mask over rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import ExpressionError, UnknownValueError, near_matches
from dao.format.obs_schema import VIRTUAL_COLUMNS
from dao.where.expression import TEXT_METHODS, And, Expression, Not, Or, Test, columns_of, is_null

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from dao.obs import Column

__all__ = ["evaluate"]


def evaluate(
    expression: Expression, columns: Mapping[str, Column], n_rows: int
) -> NDArray[np.bool_]:
    """Return for each row whether the expression is true.

    Columns are looked up only as far as they are needed: where one part of an ``and`` is
    false for all rows, the others are not read; constant columns are looked at first.
    """
    match expression:
        case Test():
            return _test(expression, columns[expression.column])
        case Not(item=item):
            return ~evaluate(item, columns, n_rows)
        case And(items=items):
            mask = np.ones(n_rows, np.bool_)
            for item in sorted(items, key=_cost):
                mask &= evaluate(item, columns, n_rows)
                if not mask.any():
                    break
            return mask
        case Or(items=items):
            mask = np.zeros(n_rows, np.bool_)
            for item in sorted(items, key=_cost):
                mask |= evaluate(item, columns, n_rows)
                if mask.all():
                    break
            return mask


def _cost(expression: Expression) -> int:
    return len(columns_of(expression) - set(VIRTUAL_COLUMNS))


def _test(test: Test, column: Column) -> NDArray[np.bool_]:
    missing = column.missing
    if test.op == "null":
        return missing
    if test.op == "in":
        mask = _member(column, [v for v in test.value if not is_null(v)])
        return mask | missing if any(is_null(v) for v in test.value) else mask
    if column.categories is not None:
        # One decision per category; code -1 (missing) picks the last entry.
        decided = np.array([*(_holds(test, column, c) for c in column.categories), False])
        mask = decided[column.values]
    else:
        mask = _compare_numbers(test, column)
    return mask | missing if test.op == "!=" else mask & ~missing


def _member(column: Column, values: list[Any]) -> NDArray[np.bool_]:
    if column.categories is None:
        wanted = [_like(column, v) for v in values]
        found: NDArray[np.bool_] = (
            np.isin(column.values, np.array(wanted))
            if wanted
            else (np.zeros(len(column.values), np.bool_))
        )
        return found & ~column.missing
    wanted_set = set(values)
    decided = np.array([*(c in wanted_set for c in column.categories), False])
    return np.asarray(decided[column.values], np.bool_)


def _holds(test: Test, column: Column, category: Any) -> bool:
    if test.op in TEXT_METHODS:
        if test.op == "contains":
            return test.value in category
        return bool(getattr(category, test.op)(test.value))
    left, right = category, test.value
    if column.info.ordered and column.categories is not None:
        order = list(column.categories)
        if right not in order:
            near = near_matches(right, order)
            msg = f"{right!r} is no category of the ordered column {test.column!r}.{near}"
            raise UnknownValueError(msg)
        left, right = order.index(left), order.index(right)
    try:
        return bool(_OPERATORS[test.op](left, right))
    except TypeError as error:
        msg = f"{test.column!r}: {category!r} cannot be compared with {test.value!r}."
        raise ExpressionError(msg) from error


def _compare_numbers(test: Test, column: Column) -> NDArray[np.bool_]:
    if test.op == "true":
        return column.values.astype(np.bool_)
    return np.asarray(_OPERATORS[test.op](column.values, _like(column, test.value)), np.bool_)


def _like(column: Column, value: Any) -> Any:
    if column.info.kind != "other":
        return value
    try:
        return np.array(value).astype(column.values.dtype)[()]
    except (ValueError, TypeError) as error:
        msg = f"{value!r} is no value of a column of {column.info.dtype}."
        raise ExpressionError(msg) from error


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
