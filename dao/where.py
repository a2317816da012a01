"""Filter expressions: parsed from text (never evaluated as code), checked, turned into masks.

The language is the part of Python and `pandas.DataFrame.query` that filters need::

    n_counts > 1000 and sex == 'female'
    tissue in ['lung', 'blood'] and not disease.isna()
    500 <= n_genes < 6000 or `cell type`.startswith('T')

Missing values behave as in pandas: every comparison with one is false, ``!=`` is true.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import ExpressionError, UnknownColumnError, UnknownValueError, near_matches
from dao.format.obs_schema import VIRTUAL_COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from dao.format.manifest import ColumnInfo
    from dao.obs import Column

__all__ = ["And", "Expression", "Not", "Or", "Test", "check", "evaluate", "parse", "values_test"]

_COMPARE = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_METHODS = {"isna", "isnull", "notna", "notnull", "isin", "between"}
_TEXT_METHODS = {"startswith", "endswith", "contains"}


@dataclass(frozen=True, slots=True)
class Test:
    """One column held against a value: ``op`` is a comparison, "in", "null", "true" or a
    text method."""

    __test__ = False  # pytest takes classes of this name for tests

    column: str
    op: str
    value: Any = None


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


Expression = Test | Not | And | Or


def columns_of(expression: Expression) -> frozenset[str]:
    """Return the columns that an expression reads."""
    return frozenset(t.column for t in _tests(expression))


def values_test(column: str, values: Any) -> Test:
    """Return the test that a column has one of the values (a scalar, or a list of scalars)."""
    if isinstance(values, str | bytes) or np.isscalar(values) or values is None:
        listed = [values]
    elif isinstance(values, Iterable) and not isinstance(values, Mapping):
        listed = list(values)
    else:
        listed = [values]
    plain = tuple(v.item() if isinstance(v, np.generic) else v for v in listed)
    return Test(column, "in", plain)


# --- text to expression ---------------------------------------------------------------------


def parse(text: str) -> Expression:
    """Return the expression that a text stands for.

    Raises
    ------
    dao.errors.ExpressionError
        If it is not in the language; shows the place.
    """
    names: list[str] = []

    def placeholder(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        names.append(match[1])
        return f"__column_{len(names) - 1}"

    pattern = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`([^`]+)`"
    plain = re.sub(pattern, placeholder, text.strip())
    try:
        tree = ast.parse(plain, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        at = getattr(error, "offset", None)
        place = f" at character {at}" if at else ""
        msg = (
            f"Cannot understand {text!r}{place}. Write for example "
            "\"n_counts > 1000 and sex == 'female'\"; text needs quotes, names with spaces `…`."
        )
        raise ExpressionError(msg) from error
    return _Parser(text, names).boolean(tree.body)


@dataclass(frozen=True)
class _Parser:
    text: str
    names: list[str]

    def boolean(self, node: ast.expr) -> Expression:
        match node:
            case ast.BoolOp(op=ast.And()):
                return And(tuple(self.boolean(v) for v in node.values))
            case ast.BoolOp():
                return Or(tuple(self.boolean(v) for v in node.values))
            case ast.BinOp(op=ast.BitAnd()):
                return And((self.boolean(node.left), self.boolean(node.right)))
            case ast.BinOp(op=ast.BitOr()):
                return Or((self.boolean(node.left), self.boolean(node.right)))
            case ast.UnaryOp(op=ast.Not() | ast.Invert()):
                return Not(self.boolean(node.operand))
            case ast.Compare():
                return self.comparison(node)
            case ast.Call(func=ast.Attribute()):
                return self.call(node)
            case ast.Name():
                return Test(self.column(node), "true")
        raise self.error(node, "is not a condition")

    def comparison(self, node: ast.Compare) -> Expression:
        operands = [node.left, *node.comparators]
        tests = [
            self.pair(left, op, right)
            for left, op, right in zip(operands, node.ops, operands[1:], strict=False)
        ]
        return tests[0] if len(tests) == 1 else And(tuple(tests))

    def pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Expression:
        if isinstance(op, ast.In | ast.NotIn):
            test = Test(self.column(left), "in", self.listed(right))
            return Not(test) if isinstance(op, ast.NotIn) else test
        if isinstance(op, ast.Is | ast.IsNot):
            if self.literal(right) is not None:
                raise self.error(right, "can only follow == or !=; `is` goes with None")
            test = Test(self.column(left), "null")
            return Not(test) if isinstance(op, ast.IsNot) else test
        name = _COMPARE[type(op)]
        if isinstance(left, ast.Name) and isinstance(right, ast.Name):
            msg = f"needs quotes if it is text: '{self.column(right)}'. Columns cannot be compared"
            raise self.error(right, msg)
        if isinstance(left, ast.Name):
            return self.test(self.column(left), name, self.literal(right))
        return self.test(self.column(right), _FLIPPED[name], self.literal(left))

    def test(self, column: str, op: str, value: Any) -> Expression:
        if value is None and op in {"==", "!="}:
            null = Test(column, "null")
            return null if op == "==" else Not(null)
        return Test(column, op, value)

    def call(self, node: ast.Call) -> Expression:
        function = node.func
        if not isinstance(function, ast.Attribute) or node.keywords:
            raise self.error(node, "is not a condition")
        owner = function.value
        if isinstance(owner, ast.Attribute) and owner.attr == "str":
            owner = owner.value
        column, method = self.column(owner), function.attr
        n_arguments = {"isna": 0, "isnull": 0, "notna": 0, "notnull": 0, "between": 2}
        if method not in _METHODS | _TEXT_METHODS:
            raise self.error(node, f"is unknown; there are {sorted(_METHODS | _TEXT_METHODS)}")
        if len(node.args) != n_arguments.get(method, 1):
            raise self.error(node, f"takes {n_arguments.get(method, 1)} arguments")
        if method in {"isna", "isnull"}:
            return Test(column, "null")
        if method in {"notna", "notnull"}:
            return Not(Test(column, "null"))
        if method == "isin":
            return Test(column, "in", self.listed(node.args[0]))
        if method == "between":
            low, high = (self.literal(a) for a in node.args)
            return And((Test(column, ">=", low), Test(column, "<=", high)))
        text = self.literal(node.args[0])
        if not isinstance(text, str):
            raise self.error(node.args[0], "must be text")
        return Test(column, method, text)

    def column(self, node: ast.expr) -> str:
        if not isinstance(node, ast.Name):
            raise self.error(node, "is not the name of a column")
        match = re.fullmatch(r"__column_(\d+)", node.id)
        return self.names[int(match[1])] if match and int(match[1]) < len(self.names) else node.id

    def listed(self, node: ast.expr) -> tuple[Any, ...]:
        if not isinstance(node, ast.List | ast.Tuple | ast.Set):
            raise self.error(node, "must be a list, as in ['a', 'b']")
        return tuple(self.literal(e) for e in node.elts)

    def literal(self, node: ast.expr) -> Any:
        try:
            value = ast.literal_eval(node)
        except (ValueError, TypeError, MemoryError, RecursionError) as error:
            raise self.error(node, "is not a value (text needs quotes)") from error
        if value is not None and not isinstance(value, str | int | float):
            raise self.error(node, "is not a text, a number, True, False or None")
        return value

    def error(self, node: ast.expr, problem: str) -> ExpressionError:
        shown = ast.unparse(node)
        for i, name in enumerate(self.names):
            shown = shown.replace(f"__column_{i}", f"`{name}`")
        return ExpressionError(f"In {self.text!r}: {shown} {problem}.")


# --- check ------------------------------------------------------------------------------------


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
    for test in _tests(expression):
        if test.column not in known:
            shown = [c for c in known if not c.startswith("_")]
            msg = f"There is no obs column {test.column!r}.{near_matches(test.column, shown)}"
            raise UnknownColumnError(msg)
        info = known[test.column]
        values = [v for v in (test.value if test.op == "in" else (test.value,)) if not _is_null(v)]
        if test.op == "true" and info.kind != "bool":
            msg = f"{test.column!r} holds {info.kind} values: compare it with something."
            raise ExpressionError(msg)
        if test.op in _TEXT_METHODS and info.dtype != "string":
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


# --- evaluate ---------------------------------------------------------------------------------


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


def _tests(expression: Expression) -> list[Test]:
    match expression:
        case Test():
            return [expression]
        case Not(item=item):
            return _tests(item)
        case And(items=items) | Or(items=items):
            return [t for item in items for t in _tests(item)]


def _test(test: Test, column: Column) -> NDArray[np.bool_]:
    missing = column.missing
    if test.op == "null":
        return missing
    if test.op == "in":
        mask = _member(column, [v for v in test.value if not _is_null(v)])
        return mask | missing if any(_is_null(v) for v in test.value) else mask
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
    if test.op in _TEXT_METHODS:
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


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
