"""From the arguments of `Store.subset` to one checked expression."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dao.errors import ArgumentError
from dao.format.names import canonical_organism
from dao.where import (
    And,
    Descendants,
    Expression,
    Not,
    Test,
    bind_arrow,
    check,
    parse,
    values_test,
    with_tests,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dao.format.manifest import ColumnInfo

__all__ = ["conditions"]


def conditions(
    where: Any,
    exclude: Any,
    columns: Mapping[str, Any],
    *,
    known: Mapping[str, ColumnInfo],
    categories: Callable[[str], Sequence[Any]],
    branch: Callable[[str, Descendants], Sequence[Any]],
) -> And:
    """Return all that `Store.subset` was asked for, joined by "and".

    Parameters
    ----------
    where, exclude, columns
        As of `dao.Store.subset`.
    known
        Every column that may be used.
    categories
        Gives all values of a column in the whole store.
    branch
        Gives those of them that lie in a branch of the column's ontology.

    Raises
    ------
    dao.errors.ArgumentError, dao.errors.ExpressionError
        If it cannot be understood.
    dao.errors.UnknownColumnError, dao.errors.UnknownValueError
        With the nearest names that exist.
    """
    if exclude is not None and not isinstance(exclude, Mapping):
        msg = "exclude= takes columns and values, as in exclude={'disease': 'cancer'}."
        raise ArgumentError(msg)
    both = [c for c in columns if c in (exclude or {})]
    if both:
        msg = f"{both[0]!r} is both asked for and excluded; give one of the two."
        raise ArgumentError(msg)
    items: list[Expression] = [] if where is None else [_where(where, known)]
    items += [values_test(c, v) for c, v in columns.items()]
    items += [Not(values_test(c, v)) for c, v in (exclude or {}).items()]

    def resolved(test: Test) -> Test:
        if test.op == "in":
            found = [w for v in test.value for w in _values(test.column, v, known, branch)]
            return replace(test, value=tuple(found))
        if test.column == "organism" and test.op in {"==", "!="}:
            return replace(test, value=_organism(test.value))
        return test

    expression = And(tuple(with_tests(item, resolved) for item in items))
    check(expression, known, categories)
    return expression


def _where(where: Any, known: Mapping[str, ColumnInfo]) -> Expression:
    if isinstance(where, str):
        return parse(where)
    # Only who has imported pyarrow.compute can hold one of its expressions.
    compute = sys.modules.get("pyarrow.compute")
    if compute is not None and isinstance(where, compute.Expression):
        return bind_arrow(where, known)
    msg = f"where must be text or a pyarrow.compute.Expression, not {type(where).__name__}."
    raise ArgumentError(msg)


def _values(
    column: str,
    value: Any,
    known: Mapping[str, ColumnInfo],
    branch: Callable[[str, Descendants], Sequence[Any]],
) -> Sequence[Any]:
    """Return the values that one value stands for."""
    if isinstance(value, Descendants) and column in known:
        return branch(column, value)
    return [_organism(value)] if column == "organism" else [value]


def _organism(value: Any) -> Any:
    """Return an organism under the name that stores use, so that "human" is understood."""
    return canonical_organism(value) if isinstance(value, str) else value
