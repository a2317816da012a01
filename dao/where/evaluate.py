"""From an expression and columns to a mask over rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.format.obs_schema import VIRTUAL_COLUMNS
from dao.where.arrow import evaluate_arrow
from dao.where.compare import comparable_array, compared, is_in
from dao.where.decide import decide
from dao.where.expression import And, Arrow, Expression, Not, Or, Test, columns_of
from dao.where.plain import Values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dao.column import Column

__all__ = ["evaluate"]

_FEW = 8


def evaluate(
    expression: Expression, columns: Mapping[str, Column], n_rows: int
) -> NDArray[np.bool_]:
    """Return for each row whether the expression is true.

    Parameters
    ----------
    expression
        As `bind` returns it.
    columns
        Those that it uses, at least.

    Columns are looked up only as far as they are needed: where one part of an ``and`` is
    false for all rows, the others are not read; constant columns are looked at first.
    """
    match expression:
        case Test():
            return _test(expression, columns[expression.column])
        case Arrow():
            return evaluate_arrow(expression, columns, n_rows)
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
        values = test.value if isinstance(test.value, Values) else Values(test.value)
        mask = _known(replace(test, value=Values(values.known)), column)
        return mask | missing if values.has_null else mask
    return _known(test, column)


def _known(test: Test, column: Column) -> NDArray[np.bool_]:
    """Return a mask for values that are not missing themselves."""
    if column.categories is None:
        mask = _compare(test, column)
        return mask | column.missing if test.op == "!=" else mask & ~column.missing
    # One decision per category; the code -1 picks the last one, which is that on missing values.
    decided = np.append(decide(test, column.info, column.categories), test.op == "!=")
    return _picked(decided, column.values)


def _picked(decided: NDArray[np.bool_], codes: NDArray[Any]) -> NDArray[np.bool_]:
    """Return ``decided[codes]``, where one of the last code is written -1."""
    few = np.flatnonzero(decided)
    if len(few) > _FEW:
        return decided.take(codes)
    # Comparing the codes with each of a few is ten times faster than looking each up.
    mask = np.zeros(len(codes), np.bool_)
    for code in few.tolist():
        mask |= codes == (code if code < len(decided) - 1 else -1)
    return mask


def _compare(test: Test, column: Column) -> NDArray[np.bool_]:
    if test.op == "true":
        return column.values.astype(np.bool_)
    values = comparable_array(column.values, column.missing)
    return is_in(values, test.value) if test.op == "in" else compared(test.op, values, test.value)
