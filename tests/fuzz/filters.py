"""Conditions on obs as values: drawn, written as dao's arguments, and decided in plain Python."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from fuzz.columns import cell
from hypothesis import strategies as st

if TYPE_CHECKING:
    from fuzz.oracle import Rows

ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
OPERATORS = {"==": operator.eq, "!=": operator.ne, **ORDER}


@dataclass(frozen=True)
class Test:
    """A column compared with a value, or with several (``in``)."""

    __test__ = False
    column: str
    op: str
    value: Any

    def text(self) -> str:
        """Return the test as an expression."""
        name = self.column if self.column.isidentifier() else f"`{self.column}`"
        if self.op in {"isna", "notna"}:
            return f"{name}.{self.op}()"
        if self.op == "between":
            return f"{name}.between({_literal(self.value[0])}, {_literal(self.value[1])})"
        if self.op in {"in", "not in"}:
            return f"{name} {self.op} [{', '.join(map(_literal, self.value))}]"
        return f"{name} {self.op} {_literal(self.value)}"

    def mask(self, rows: Rows) -> list[bool]:
        """Return for each cell whether the test is true: as pandas decides."""
        info = rows.info.get(self.column, {})
        found = rows.cells(self.column)
        if self.op in {"isna", "notna"}:
            return [(c is None) == (self.op == "isna") for c in found]
        if self.op in {"in", "not in"}:
            wanted = [_like(v, info) for v in self.value]
            return [(c in wanted) == (self.op == "in") for c in found]
        if self.op == "between":
            low, high = (
                Test(self.column, o, v) for o, v in zip((">=", "<="), self.value, strict=True)
            )
            return [a and b for a, b in zip(low.mask(rows), high.mask(rows), strict=True)]
        value = _like(self.value, info)
        if value is None:
            return [(c is None) == (self.op == "==") for c in found]
        if info.get("ordered") and self.op in ORDER:
            rank = {v: i for i, v in enumerate(info["categories"])}
            found = [None if c is None else ("rank", rank[c[1]]) for c in found]
            value = ("rank", rank[value[1]])
        compare = OPERATORS[self.op]
        return [self.op == "!=" if c is None else compare(c[1], value[1]) for c in found]


@dataclass(frozen=True)
class All:
    """Several conditions joined by ``and`` or ``or``, or one that is denied."""

    how: str
    parts: tuple[Any, ...]

    def text(self) -> str:
        """Return the conditions as an expression."""
        texts = [f"({p.text()})" for p in self.parts]
        return f"not {texts[0]}" if self.how == "not" else f" {self.how} ".join(texts)

    def mask(self, rows: Rows) -> list[bool]:
        """Return for each cell whether it is true."""
        masks = [p.mask(rows) for p in self.parts]
        if self.how == "not":
            return [not m for m in masks[0]]
        decide = all if self.how == "and" else any
        return [decide(each) for each in zip(*masks, strict=True)]


def _like(value: Any, info: Any) -> Any:
    """Return a value as it is compared: of a column of float32, as NumPy compares with one."""
    found = cell(value)
    if found is not None and found[0] == "number" and info.get("float32"):
        with np.errstate(over="ignore"):
            return "number", float(np.float32(found[1]))
    return found


def _literal(value: Any) -> str:
    if isinstance(value, pd.Timestamp):
        return repr(str(value))
    if isinstance(value, float) and value == float("inf"):
        return "1e999"
    return repr(value)


@st.composite
def tests(draw: st.DrawFn, rows: Rows) -> Test:
    """Draw a test of a column, mostly with values that some cell has."""
    column = draw(st.sampled_from(["dataset", *rows.columns]))
    info = rows.info.get(column, {})
    held = sorted({c for c in rows.cells(column) if c is not None}, key=repr)
    values = [_plain(c) for c in held]
    if info.get("categories") is not None:
        values = list(info["categories"])
    elif held and held[0][0] == "number":
        values += [0, 1, 0.1, 2, -1, 2**53, 1.5]
    elif held and held[0][0] == "text" and column != "dataset":
        values += ["nobody"]
    if not values or (held and held[0][0] in {"span", "date", "zoned"}):
        return Test(column, draw(st.sampled_from(["isna", "notna"])), None)
    ops = ["==", "!=", "in", "not in", "isna", "notna", *ORDER]
    if column == "dataset" or (held and held[0][0] == "bool"):
        ops = ["==", "!=", "in", "isna"]
    elif not info.get("ordered"):
        ops.append("between")
    op = draw(st.sampled_from(ops))
    value: Any = draw(st.sampled_from(values))
    if op in {"in", "not in"}:
        value = draw(st.lists(st.sampled_from(values), max_size=3))
    elif op == "between":
        value = (value, draw(st.sampled_from(values)))
    elif op in {"isna", "notna"}:
        value = None
    return Test(column, op, value)


def _plain(found: tuple[str, Any]) -> Any:
    family, value = found
    return pd.Timestamp(value) if family == "time" else value


@st.composite
def expressions(draw: st.DrawFn, rows: Rows) -> Any:
    """Draw a test, or some joined."""
    parts = [draw(tests(rows)) for _ in range(draw(st.sampled_from([1, 1, 2, 3])))]
    how = "not" if len(parts) == 1 else draw(st.sampled_from(["and", "or"]))
    if len(parts) == 1 and draw(st.booleans()):
        return parts[0]
    return All(how, tuple(parts))
