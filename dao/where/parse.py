"""From text to an expression, by way of Python's own syntax tree; nothing is executed."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any

from dao.errors import ExpressionError
from dao.where.branch import Descendants, descendants
from dao.where.expression import TEXT_METHODS, And, Expression, Not, Or, Test
from dao.where.plain import Values

__all__ = ["parse"]

_COMPARE = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_NO_CALCULATIONS = (
    "is a calculation or function, and a filter compares a column with a value. Calculate with "
    "store.obs and choose by the result: store[mask]"
)
_DEEPEST, _MOST_BITS, _SHOWN = 100, 1024, 500
_MISSING = {"nan", "NaN", "NA", "NaT", "null"}
_METHODS = {"isna", "isnull", "notna", "notnull", "isin", "between"}


def parse(text: str) -> Expression:
    """Return the expression that a text stands for.

    Raises
    ------
    dao.errors.ExpressionError
        If it is not in the language; shows the place.
    """
    if not isinstance(text, str):
        msg = f'A condition is text, as in "n_counts > 1000", not {type(text).__name__}.'
        raise ExpressionError(msg)
    names: list[str] = []

    def placeholder(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        names.append(match[1])
        return f"__column_{len(names) - 1}"

    pattern = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`([^`]+)`"
    plain = re.sub(pattern, placeholder, text.strip())
    try:
        with warnings.catch_warnings():
            # Of backslashes, which regular expressions are full of; deprecated before 3.12.
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            tree = ast.parse(plain, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        at = getattr(error, "offset", None)
        place = f" at character {at}" if at else ""
        msg = (
            f"Cannot understand {_short(text)}{place}. Write for example "
            "\"n_counts > 1000 and sex == 'female'\"; text needs quotes, names with spaces `…`."
        )
        if "@" in plain:
            msg += (
                " Variables of Python, as in @x, are not known here: pass them by keyword, as in "
                'subset(sex=x), or write f"n_counts > {x}".'
            )
        raise ExpressionError(msg) from error
    if _is_deep(tree):
        msg = f"{_short(text)} is nested too deeply: join many conditions with `and` or `or`."
        raise ExpressionError(msg)
    if any(isinstance(n, ast.Constant) and _is_huge(n.value) for n in ast.walk(tree)):
        msg = f"{_short(text)} has a number that no column can hold."
        raise ExpressionError(msg)
    return _Parser(text, names).boolean(tree.body)


@dataclass(frozen=True)
class _Parser:
    text: str
    names: list[str]

    def boolean(self, node: ast.expr) -> Expression:
        result: Expression
        match node:
            case ast.BoolOp(op=operator, values=operands):
                kind = And if isinstance(operator, ast.And) else Or
                result = kind(tuple(self.boolean(v) for v in operands))
            case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr(), right=right):
                kind = And if isinstance(node.op, ast.BitAnd) else Or
                result = kind((self.boolean(left), self.boolean(right)))
            case ast.UnaryOp(op=ast.Not() | ast.Invert()):
                result = Not(self.boolean(node.operand))
            case ast.Compare():
                result = self.comparison(node)
            case ast.Call(func=ast.Attribute()):
                result = self.call(node)
            case ast.Name():
                result = Test(self.column(node), "true")
            case _:
                raise self.error(node, "is not a condition")
        return result

    def comparison(self, node: ast.Compare) -> Expression:
        operands = [node.left, *node.comparators]
        pairs = zip(pairwise(operands), node.ops, strict=True)
        tests = [self.pair(left, op, right) for (left, right), op in pairs]
        return tests[0] if len(tests) == 1 else And(tuple(tests))

    def pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Expression:
        if isinstance(op, ast.In | ast.NotIn):
            test = Test(self.column(left), "in", Values(self.listed(right)))
            return Not(test) if isinstance(op, ast.NotIn) else test
        if isinstance(op, ast.Is | ast.IsNot):
            if self.literal(right) is not None:
                raise self.error(right, "can only follow == or !=; `is` goes with None")
            test = Test(self.column(left), "null")
            return Not(test) if isinstance(op, ast.IsNot) else test
        name = _COMPARE[type(op)]
        for side in (left, right):
            if _is_accessor(side):
                raise self.error(side, _NO_CALCULATIONS)
            has_column = any(isinstance(n, ast.Name) for n in ast.walk(side))
            if _is_calculation(side) and has_column and not _is_infinity(side):
                raise self.error(side, _NO_CALCULATIONS)
        if isinstance(left, ast.Name) and isinstance(right, ast.Name):
            return self.between_names(left, name, right)
        if isinstance(left, ast.Name):
            return self.test(left, name, right)
        return self.test(right, _FLIPPED[name], left)

    def between_names(self, left: ast.Name, op: str, right: ast.Name) -> Expression:
        """Return the test of a column and `inf`; columns cannot be compared with each other."""
        if _is_infinity(right):
            return self.test(left, op, right)
        if _is_infinity(left):
            return self.test(right, _FLIPPED[op], left)
        if right.id in _MISSING:
            msg = f"is a missing value, which is written as in `{self.column(left)} == None`"
            raise self.error(right, msg)
        msg = f"needs quotes if it is text: '{self.column(right)}'. Columns cannot be compared"
        raise self.error(right, msg)

    def test(self, column: ast.expr, op: str, side: ast.expr) -> Expression:
        name = self.column(column)
        if isinstance(side, ast.List | ast.Tuple | ast.Set):
            several = {"==": "in", "!=": "not in"}.get(op)
            shown = name if name.isidentifier() else f"`{name}`"
            hint = f"; write {shown} {several} {ast.unparse(side)}" if several else ""
            raise self.error(side, f"is a list, and {op} compares with one value{hint}")
        value = self.literal(side)
        if value is not None:
            return Test(name, op, value)
        if op not in {"==", "!="}:
            raise self.error(
                side, f"stands for a missing value; compare it with == or !=, not {op}"
            )
        null = Test(name, "null")
        return null if op == "==" else Not(null)

    def call(self, node: ast.Call) -> Expression:
        function = node.func
        if not isinstance(function, ast.Attribute) or node.keywords:
            raise self.error(node, "is not a condition")
        owner = function.value
        if isinstance(owner, ast.Attribute) and owner.attr == "str":
            owner = owner.value
        column, method = self.column(owner), function.attr
        n_arguments = {"isna": 0, "isnull": 0, "notna": 0, "notnull": 0, "between": 2}
        if method not in _METHODS | TEXT_METHODS:
            raise self.error(node, f"is unknown; there are {sorted(_METHODS | TEXT_METHODS)}")
        if len(node.args) != n_arguments.get(method, 1):
            raise self.error(node, f"takes {n_arguments.get(method, 1)} arguments")
        if method in {"isna", "isnull"}:
            return Test(column, "null")
        if method in {"notna", "notnull"}:
            return Not(Test(column, "null"))
        if method == "isin":
            return Test(column, "in", Values(self.listed(node.args[0])))
        if method == "between":
            low, high = node.args
            return And((self.test(owner, ">=", low), self.test(owner, "<=", high)))
        text = self.literal(node.args[0])
        if not isinstance(text, str):
            raise self.error(node.args[0], "must be text")
        return Test(column, method, text)

    def column(self, node: ast.expr) -> str:
        if _is_calculation(node) or _is_accessor(node):
            raise self.error(node, _NO_CALCULATIONS)
        if not isinstance(node, ast.Name):
            raise self.error(node, "is not the name of a column")
        match = re.fullmatch(r"__column_([0-9]{1,9})", node.id)
        return self.names[int(match[1])] if match and int(match[1]) < len(self.names) else node.id

    def listed(self, node: ast.expr) -> tuple[Any, ...]:
        if _is_branch(node):
            return (self.branch(node),)
        if not isinstance(node, ast.List | ast.Tuple | ast.Set):
            raise self.error(node, "must be a list, as in ['a', 'b']")
        return tuple(self.branch(e) if _is_branch(e) else self.literal(e) for e in node.elts)

    def branch(self, node: ast.expr) -> Descendants:
        if not isinstance(node, ast.Call) or any(k.arg != "part_of" for k in node.keywords):
            raise self.error(node, "takes terms and part_of=True alone")
        terms = [self.literal(a) for a in node.args]
        return descendants(terms, part_of=any(self.literal(k.value) for k in node.keywords))

    def literal(self, node: ast.expr) -> Any:
        if _is_infinity(node):
            return -inf if isinstance(getattr(node, "op", None), ast.USub) else inf
        try:
            value = ast.literal_eval(node)
        except (ValueError, TypeError, MemoryError, RecursionError) as error:
            if _is_calculation(node):
                raise self.error(node, _NO_CALCULATIONS) from error
            if isinstance(node, ast.BinOp):
                msg = "binds tighter than a comparison: put parentheses around what & and | join"
                raise self.error(node, msg) from error
            raise self.error(node, "is not a value (text needs quotes)") from error
        if value is not None and not isinstance(value, str | int | float):
            raise self.error(node, "is not a text, a number, True, False or None")
        return value

    def error(self, node: ast.expr, problem: str) -> ExpressionError:
        shown = ast.unparse(node)
        for i, name in enumerate(self.names):
            shown = shown.replace(f"__column_{i}", f"`{name}`")
        return ExpressionError(f"In {_short(self.text)}: {shown} {problem}.")


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def _is_huge(value: object) -> bool:
    return isinstance(value, int) and value.bit_length() > _MOST_BITS


def _is_deep(tree: ast.AST) -> bool:
    """Whether what follows, which calls itself for what is nested, could run out of stack."""
    level: list[ast.AST] = [tree]
    for _ in range(_DEEPEST):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return False
    return True


def _is_calculation(node: ast.expr) -> bool:
    bits = ast.BitAnd | ast.BitOr
    if isinstance(node, ast.BinOp):
        return not isinstance(node.op, bits)
    if isinstance(node, ast.Call):
        return not (isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS)
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd)


def _is_infinity(node: ast.expr) -> bool:
    """Whether it is ``inf`` or ``-inf``, which have no literal in Python."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        node = node.operand
    return isinstance(node, ast.Name) and node.id == "inf"


def _is_accessor(node: ast.expr) -> bool:
    """Whether it is an attribute or item of a column, as ``t.dt.hour`` or ``name.str[0]``."""
    if not isinstance(node, ast.Attribute | ast.Subscript):
        return False
    return any(isinstance(n, ast.Name) for n in ast.walk(node))


def _is_branch(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "descendants"
    )
