"""Decide: for which categories of a column is a test true? Rows follow by their codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dao.column import Texts
from dao.errors import ExpressionError, UnknownValueError, near_matches
from dao.where.compare import compared, is_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from dao.format.manifest import ColumnInfo
    from dao.where.expression import Test

__all__ = ["decide"]

_ON_TEXTS: dict[str, Callable[[pa.Array, Any], pa.Array]] = {
    "in": lambda texts, values: pc.is_in(texts, value_set=values.texts.cast(texts.type)),
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
        If an ordered column is compared with what is not one of its categories.
    dao.errors.ExpressionError
        If a pattern is not a regular expression.
    """
    if info.ordered and test.op in {"<", "<=", ">", ">="}:
        return _by_rank(test, list(categories))
    if info.dtype == "string":
        try:
            return np.asarray(_ON_TEXTS[test.op](Texts.of(categories).array, test.value))
        except pa.ArrowInvalid as error:
            msg = f"{test.column!r}: {test.value!r} is not a pattern: {error}."
            raise ExpressionError(msg) from error
    values = _array(info, categories)
    return is_in(values, test.value) if test.op == "in" else compared(test.op, values, test.value)


def _array(info: ColumnInfo, categories: Sequence[Any]) -> NDArray[Any]:
    """Return categories that are numbers or booleans as an array."""
    if info.dtype == "bool":
        return np.array(categories, np.uint8)
    try:
        return np.array(categories, info.dtype)
    except (TypeError, OverflowError):  # a column without values, or what is not of its dtype
        found = np.empty(len(categories), object)
        found[:] = categories
        return found


def _by_rank(test: Test, order: list[Any]) -> NDArray[np.bool_]:
    if test.value not in order:
        near = near_matches(test.value, order)
        msg = f"{test.value!r} is not a category of the ordered column {test.column!r}.{near}"
        raise UnknownValueError(msg)
    return compared(test.op, np.arange(len(order)), order.index(test.value))
