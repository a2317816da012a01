"""From the arguments of `Store.subset` to one checked expression."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dao.errors import ArgumentError
from dao.format.organisms import canonical_organism
from dao.where import (
    And,
    Descendants,
    Expression,
    Not,
    Test,
    bind,
    bind_arrow,
    parse,
    values_test,
    with_tests,
)
from dao.where.plain import Values

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
    if isinstance(where, Mapping):
        where, columns = None, _joined(where, columns)
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
            found = (
                w for v in test.value for w in _values(test.column, v, known, branch, categories)
            )
            return replace(test, value=Values(found))
        if test.column == "organism" and "organism" in known and test.op in {"==", "!="}:
            return replace(test, value=_organism(test.value, categories))
        return test

    return And(tuple(bind(with_tests(item, resolved), known, categories) for item in items))


def _joined(where: Mapping[Any, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the conditions of ``subset({"cell_type": "B"}, sex="male")``."""
    twice = [c for c in where if c in columns]
    strange = [c for c in where if not isinstance(c, str)]
    if twice or strange:
        what = "given twice" if twice else "not the name of a column"
        msg = f"{(twice or strange)[0]!r} is {what}: pass each column once, with its values."
        raise ArgumentError(msg)
    return {**where, **columns}


def _where(where: Any, known: Mapping[str, ColumnInfo]) -> Expression:
    if isinstance(where, str):
        return parse(where)
    # Only who has imported pyarrow.compute can hold one of its expressions.
    compute = sys.modules.get("pyarrow.compute")
    if compute is not None and isinstance(where, compute.Expression):
        return bind_arrow(where, known)
    msg = f"where must be text or a pyarrow.compute.Expression, not {type(where).__name__}."
    if callable(where):
        msg += " A function of obs becomes a mask: store[function(store.obs)]."
    else:
        msg += (
            " Values go with the name of their column, as in subset(cell_type=['B', 'T']); cells "
            "are chosen by name or position with store[[...]]."
        )
    raise ArgumentError(msg)


def _values(
    column: str,
    value: Any,
    known: Mapping[str, ColumnInfo],
    branch: Callable[[str, Descendants], Sequence[Any]],
    categories: Callable[[str], Sequence[Any]],
) -> Sequence[Any]:
    """Return the values that one value stands for."""
    if isinstance(value, Descendants) and column in known:
        return branch(column, value)
    is_organism = column == "organism" and column in known
    return [_organism(value, categories)] if is_organism else [value]


def _organism(value: Any, categories: Callable[[str], Sequence[Any]]) -> Any:
    """Return an organism under the name that the store uses, so that "human" is understood."""
    if not isinstance(value, str) or value in categories("organism"):
        return value
    return canonical_organism(value)
