"""Whether an expression makes sense for the columns and values that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dao.errors import ExpressionError, UnknownColumnError, UnknownValueError, near_matches
from dao.where.expression import TEXT_METHODS, Expression, is_null, tests_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dao.format.manifest import ColumnInfo

__all__ = ["check"]


def check(
    expression: Expression,
    known: Mapping[str, ColumnInfo],
    categories: Callable[[str], Iterable[Any]],
) -> None:
    """Refuse columns and values that do not exist, and comparisons that make no sense.

    Parameters
    ----------
    known
        Every column that may be used.
    categories
        Gives all categories of a categorical column.

    Raises
    ------
    dao.errors.UnknownColumnError, dao.errors.UnknownValueError, dao.errors.ExpressionError
        With the nearest names.
    """
    for test in tests_of(expression):
        if test.column not in known:
            shown = [c for c in known if not c.startswith("_")]
            msg = f"There is no obs column {test.column!r}.{near_matches(test.column, shown)}"
            raise UnknownColumnError(msg)
        info = known[test.column]
        values = [v for v in (test.value if test.op == "in" else (test.value,)) if not is_null(v)]
        if test.op == "true" and info.kind != "bool":
            msg = f"{test.column!r} holds {info.kind} values: compare it with something."
            raise ExpressionError(msg)
        if test.op in TEXT_METHODS and info.dtype != "string":
            msg = f"{test.column!r} holds no text, so it has no {test.op}()."
            raise ExpressionError(msg)
        if info.kind == "categorical" and test.op in {"==", "!=", "in"}:
            all_categories = list(categories(test.column))
            exists = set(all_categories)
            for value in values:
                if value not in exists:
                    near = near_matches(value, all_categories)
                    msg = f"No cell has {test.column} = {value!r}.{near}"
                    raise UnknownValueError(msg)
        elif not all(_comparable(info, v) for v in values):
            held = "text" if info.dtype == "string" else info.dtype
            msg = f"{test.column!r} holds {held}; it cannot be compared with {values!r}."
            raise ExpressionError(msg)


def _comparable(info: ColumnInfo, value: Any) -> bool:
    if info.dtype == "string":
        return isinstance(value, str)
    if info.kind == "other":
        return True
    return isinstance(value, bool | int | float)
