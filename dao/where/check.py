"""Whether an expression makes sense for the columns and values that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dao.errors import ExpressionError, UnknownColumnError, UnknownValueError, near_matches
from dao.where.branch import Descendants
from dao.where.expression import TEXT_METHODS, Expression, Test, is_null, tests_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dao.format.manifest import ColumnInfo

__all__ = ["check", "unknown_column"]


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
            raise unknown_column(test.column, known)
        info = known[test.column]
        values = [v for v in (test.value if test.op == "in" else (test.value,)) if not is_null(v)]
        _check_kind(test, info)
        for value in values:
            if isinstance(value, Descendants):
                msg = f"{test.column!r} has no ontology to find {value} in: see Store.add_ontology."
                raise ExpressionError(msg)
            if not _comparable(info, value):
                raise ExpressionError(_mismatch(test.column, info, value))
        if info.kind == "categorical" and test.op in {"==", "!=", "in"}:
            _check_categories(test.column, values, list(categories(test.column)))


def unknown_column(name: str, known: Iterable[str]) -> UnknownColumnError:
    """Return the error that names the nearest columns."""
    shown = [c for c in known if not c.startswith("_")]
    return UnknownColumnError(f"There is no obs column {name!r}.{near_matches(name, shown)}")


def _check_kind(test: Test, info: ColumnInfo) -> None:
    if test.op == "true" and info.kind != "bool":
        msg = f"{test.column!r} holds {info.kind} values: compare it with something."
        raise ExpressionError(msg)
    if test.op in TEXT_METHODS and info.dtype != "string":
        msg = f"{test.column!r} holds no text, so it has no {test.op}()."
        raise ExpressionError(msg)


def _check_categories(column: str, values: list[Any], known: list[Any]) -> None:
    exists = set(known)
    for value in values:
        if value not in exists:
            msg = f"No cell has {column} = {value!r}.{near_matches(value, known)}"
            raise UnknownValueError(msg)


def _comparable(info: ColumnInfo, value: Any) -> bool:
    if info.dtype == "string":
        return isinstance(value, str)
    if info.kind == "other":
        return True
    return isinstance(value, bool | int | float)


def _mismatch(column: str, info: ColumnInfo, value: Any) -> str:
    held = "text" if info.dtype == "string" else info.dtype
    if info.kind == "categorical":
        held = f"categories that are {held}"
    hint = ""
    if info.dtype == "string" and isinstance(value, bool | int | float):
        hint = f" Text stands in quotes: {str(value)!r}."
    elif isinstance(value, str) and _reads_as_number(value):
        hint = f" Numbers stand without quotes: {value.strip()}."
    return f"{column!r} holds {held}; it cannot be compared with {value!r}.{hint}"


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.strip() in {"True", "False"}
    return True
