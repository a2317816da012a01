"""Bind: an expression checked against the columns that there are, its values as they hold them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dao.errors import ExpressionError, UnknownColumnError, UnknownValueError, near_matches
from dao.where.branch import Descendants
from dao.where.expression import TEXT_METHODS, Expression, Test, with_tests
from dao.where.fit import fit, holds_text
from dao.where.plain import Values, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dao.format.manifest import ColumnInfo

__all__ = ["bind", "unknown_column"]


def bind(
    expression: Expression,
    known: Mapping[str, ColumnInfo],
    categories: Callable[[str], Iterable[Any]],
) -> Expression:
    """Return an expression whose values are what its columns hold, ready for `evaluate`.

    Parameters
    ----------
    known
        Every column that may be used.
    categories
        Gives all categories of a categorical column.

    Raises
    ------
    dao.errors.UnknownColumnError, dao.errors.UnknownValueError, dao.errors.ExpressionError
        If a column or value does not exist, with the nearest names, or a comparison makes no sense.
    """

    def bound(test: Test) -> Test:
        if test.column not in known:
            raise unknown_column(test.column, known)
        info = known[test.column]
        _check_kind(test, info)
        if test.op in {"null", "true"}:
            return test
        if test.op == "in":
            values = Values(_fitted(test, info, v) for v in test.value)
            asked = values.known
        else:
            values = _fitted(test, info, test.value)
            if values is None:
                msg = f"{test.column!r} {test.op} a missing value: only == and != have a meaning."
                raise ExpressionError(msg)
            asked = (values,)
        if info.kind == "categorical" and test.op in {"==", "!=", "in"}:
            _check_categories(test.column, asked, categories(test.column))
        return replace(test, value=values)

    return with_tests(expression, bound)


def unknown_column(name: str, known: Iterable[str]) -> UnknownColumnError:
    """Return the error that names the nearest columns."""
    shown = [c for c in known if not c.startswith("_")]
    return UnknownColumnError(f"There is no obs column {name!r}.{near_matches(name, shown)}")


def _fitted(test: Test, info: ColumnInfo, value: Any) -> Any:
    value = plain(value)
    if isinstance(value, Descendants):
        msg = f"{test.column!r} has no ontology to find {value} in: see Store.add_ontology."
        raise ExpressionError(msg)
    return None if value is None else fit(test.column, info, value)


def _check_kind(test: Test, info: ColumnInfo) -> None:
    if test.op == "true" and info.kind != "bool":
        msg = f"{test.column!r} holds {info.kind} values: compare it with something."
        raise ExpressionError(msg)
    if test.op in TEXT_METHODS and not holds_text(info):
        msg = f"{test.column!r} holds no text, so it has no {test.op}()."
        raise ExpressionError(msg)


def _check_categories(column: str, values: Sequence[Any], known: Iterable[Any]) -> None:
    listed = list(known) if values else []
    exists = set(listed)
    for value in values:
        if value not in exists:
            msg = f"No cell has {column} = {value!r}.{near_matches(value, listed)}"
            raise UnknownValueError(msg)
