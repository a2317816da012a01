"""Decide: for which categories of a column is a test true? Rows follow by their codes."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dao.column import Texts
from dao.errors import ExpressionError, UnknownValueError, near_matches
from dao.where.expression import TEXT_METHODS, Test

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from dao.format.manifest import ColumnInfo

__all__ = ["OPERATORS", "decide"]

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_ON_TEXTS: dict[str, Callable[[pa.Array, Any], pa.Array]] = {
    "in": lambda texts, values: pc.is_in(texts, value_set=pa.array(values, texts.type)),
    "==": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
    "startswith": pc.starts_with,
    "endswith": pc.ends_with,
    "contains": pc.match_substring,
    "match": lambda texts, value: pc.match_substring_regex(texts, f"^(?:{value})"),
    "fullmatch": lambda texts, value: pc.match_substring_regex(texts, f"^(?:{value})$"),
}


def decide(test: Test, info: ColumnInfo, categories: Sequence[Any]) -> NDArray[np.bool_]:
    """Return for each category whether a test is true.

    Raises
    ------
    dao.errors.UnknownValueError
        If an ordered column is compared with what is none of its categories.
    dao.errors.ExpressionError
        If the values cannot be compared, or a pattern is none.
    """
    if info.ordered and test.op in {"<", "<=", ">", ">="}:
        return _by_rank(test, list(categories))
    if info.dtype == "string":
        try:
            found = _ON_TEXTS[test.op](Texts.of(categories).array, test.value)
        except pa.ArrowInvalid as error:
            if test.op in TEXT_METHODS:
                msg = f"{test.column!r}: {test.value!r} is no pattern: {error}."
                raise ExpressionError(msg) from error
        except (pa.ArrowTypeError, pa.ArrowNotImplementedError):
            pass  # a study that is not in a store yet may hold other things than texts
        else:
            return np.asarray(found)
    return np.array([_holds(test, c) for c in categories], np.bool_)


def _by_rank(test: Test, order: list[Any]) -> NDArray[np.bool_]:
    if test.value not in order:
        near = near_matches(test.value, order)
        msg = f"{test.value!r} is no category of the ordered column {test.column!r}.{near}"
        raise UnknownValueError(msg)
    compared = OPERATORS[test.op](np.arange(len(order)), order.index(test.value))
    return np.asarray(compared, np.bool_)


def _holds(test: Test, category: Any) -> bool:
    try:
        if test.op == "in":
            return category in test.value
        return bool(OPERATORS[test.op](category, test.value))
    except (TypeError, KeyError) as error:
        msg = f"{test.column!r}: {category!r} cannot be compared with {test.value!r}."
        raise ExpressionError(msg) from error
