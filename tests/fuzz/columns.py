"""obs columns as values: drawn, built for pandas, and read back into plain Python.

A cell of a column is compared as ``(family, value)``: so ``True`` is not ``1``, and a time is not a
number. Missing values are None.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from fuzz.known import left_out
from hypothesis import strategies as st

PANDAS3 = int(pd.__version__.split(".", maxsplit=1)[0]) >= 3
NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}

_INTS = (0, 1, 2, 7, 100)
_WIDE: dict[str, tuple[int, ...]] = {
    "int64": (2**53 + 1, -(2**63), 2**63 - 1),
    "uint64": (2**53 + 1, 2**64 - 1),
}
_FRACTIONS = (0.0, 0.1, 0.5, -1.5, 2.0, 1e30, float("inf"))
_TEXTS = ("a", "b", "B cell", "", "True", "1", "nan", "é", "x" * 40)
# Seconds since 1970: whole seconds, so that every unit holds them.
_TIMES = (0, 86_400, -86_400, 1_700_000_000, 946_684_800)


@dataclass(frozen=True)
class Kind:
    """A dtype of pandas that a column can have.

    Attributes
    ----------
    family
        Columns of one family can be united.
    pool
        The values that are drawn.
    missing
        Whether values can be missing.
    files
        Whether anndata writes it into files.
    """

    family: str
    pool: tuple[Any, ...]
    missing: bool = True
    files: bool = True
    category: bool = False


def _kinds() -> dict[str, Kind]:
    kinds = {}
    for bits in (8, 16, 32, 64):
        top = 2 ** (bits - 1) - 1
        signed, unsigned = (*_INTS, top, -top - 1), (*_INTS, 2 * top + 1)
        if bits == 64:
            large = not left_out("large obs")
            signed, unsigned = _INTS + _WIDE["int64"] * large, _INTS + _WIDE["uint64"] * large
        kinds[f"int{bits}"] = Kind("number", signed, missing=False)
        kinds[f"uint{bits}"] = Kind("number", unsigned, missing=False)
        gaps = not left_out("nullable ints")
        kinds[f"Int{bits}"] = Kind("number", signed, missing=gaps)
        kinds[f"UInt{bits}"] = Kind("number", unsigned, missing=gaps)
    kinds["float16"] = Kind("number", (0.0, 0.5, -1.5, 2.0, 100.0))
    kinds["float32"] = kinds["float64"] = Kind("number", _FRACTIONS)
    kinds["Float32"] = kinds["Float64"] = Kind("number", _FRACTIONS, files=False)
    kinds["object int"] = Kind("number", _INTS, missing=not left_out("nullable ints"), files=False)
    kinds["object float"] = Kind("number", _FRACTIONS, files=False)
    kinds["bool"] = Kind("bool", (True, False), missing=False)
    kinds["boolean"] = Kind("bool", (True, False))
    kinds["object bool"] = Kind("bool", (True, False), files=False)
    for name in ("object", "object NaN", "object NA", "string[python]", "string[pyarrow]"):
        files = name != "object NA"
        kinds[f"text {name}"] = Kind("text", _TEXTS, files=files)
    if PANDAS3:
        kinds["text str"] = Kind("text", _TEXTS)
    kinds["category text"] = Kind("text", _TEXTS, category=True)
    kinds["category int"] = Kind("category int", (*_INTS, -3, 10), category=True)
    kinds["category float"] = Kind("category float", (0.1, 0.5, 2.0, 10.0), category=True)
    kinds["category bool"] = Kind("category bool", (True, False), category=True)
    for unit in NS:
        kinds[f"datetime64[{unit}]"] = Kind("time", _TIMES, files=False)
        kinds[f"timedelta64[{unit}]"] = Kind("span", _TIMES, files=False)
    kinds["datetime64[ns, UTC]"] = Kind("zoned", _TIMES, files=False)
    kinds["datetime64[us, Europe/Berlin]"] = Kind("zoned", _TIMES, files=False)
    kinds["object date"] = Kind("date", (0, 86_400, 946_684_800), files=False)
    kinds["object None"] = Kind("nothing", (), files=False)
    return kinds


KINDS = _kinds()
FAMILIES = sorted({k.family for k in KINDS.values()} - {"nothing"})


@dataclass(frozen=True)
class Column:
    """A column of obs.

    Attributes
    ----------
    kind
        A key of `KINDS`.
    values
        One for each cell, None for missing ones.
    categories
        Of a categorical one, in order; those of no cell included.
    """

    kind: str
    values: tuple[Any, ...]
    categories: tuple[Any, ...] = ()
    ordered: bool = False

    @property
    def family(self) -> str:
        """Columns of one family can be united."""
        return KINDS[self.kind].family

    @property
    def empty(self) -> bool:
        """Whether all values are missing."""
        return all(v is None for v in self.values)

    def cells(self) -> list[Any]:
        """Return the values as they are compared."""
        return [None if v is None else self._cell(v) for v in self.values]

    def _cell(self, value: Any) -> tuple[str, Any]:
        if self.kind in {"float32", "Float32"}:
            value = float(np.float32(value))
        if self.family in {"time", "zoned", "span", "date"}:
            return self.family, value * 10**9
        return cell(value)

    def build(self) -> pd.Series:
        """Return the column as pandas holds it."""
        return pd.Series(self._built())

    def _built(self) -> Any:
        kind, values = self.kind, list(self.values)
        if kind.startswith("category"):
            return pd.Categorical(values, categories=list(self.categories), ordered=self.ordered)
        if kind in _OBJECTS:
            return pd.Series([_OBJECTS[kind](v) for v in values], dtype=object)
        if kind.startswith(("datetime64", "timedelta64")):
            return self._times()
        if kind.startswith("text "):
            return pd.array(values, dtype=kind.removeprefix("text "))
        if kind[0] in "IUF" or kind == "boolean":
            return pd.array([pd.NA if v is None else v for v in values], dtype=kind)
        return np.array([np.nan if v is None else v for v in values], kind)

    def _times(self) -> pd.Series:
        name, _, rest = self.kind.strip("]").partition("[")
        unit, _, zone = rest.partition(", ")
        counts = ["NaT" if v is None else v * (10**9 // NS[unit]) for v in self.values]
        series = pd.Series(np.array(counts, f"{name}[{unit}]"))
        return series.dt.tz_localize("UTC").dt.tz_convert(zone) if zone else series


def cell(value: Any) -> tuple[str, Any] | None:
    """Return a value of pandas, NumPy or Python as it is compared."""
    if pd.isna(value):
        return None
    for types, family, plain in _PLAIN:
        if isinstance(value, types):
            zoned = getattr(value, "tz", None) is not None
            return "zoned" if zoned else family, plain(value)
    msg = f"a cell holds {type(value).__name__}: {value!r}"
    raise AssertionError(msg)


def _ns(value: Any) -> int:
    value = getattr(value, "asm8", value)
    return int(value.astype(np.int64)) * NS[np.datetime_data(value.dtype)[0]]


def _days(value: dt.date) -> int:
    return (value - _EPOCH).days * 86_400 * 10**9


_EPOCH = dt.date(1970, 1, 1)
_PLAIN: tuple[tuple[Any, str, Any], ...] = (
    (str, "text", str),
    (bool | np.bool_, "bool", bool),
    (int | np.integer, "number", int),
    (float | np.floating, "number", float),
    (pd.Timestamp | np.datetime64, "time", _ns),
    (pd.Timedelta | np.timedelta64, "span", _ns),
    (dt.date, "date", _days),
)
_OBJECTS: dict[str, Any] = {
    "text object": lambda v: v,
    "text object NaN": lambda v: np.nan if v is None else v,
    "text object NA": lambda v: pd.NA if v is None else v,
    "object int": lambda v: v,
    "object float": lambda v: v,
    "object bool": lambda v: v,
    "object None": lambda v: v,
    "object date": lambda v: None if v is None else _EPOCH + dt.timedelta(seconds=v),
}


def cells(values: Any) -> list[Any]:
    """Return a column of pandas, an array or a list as it is compared."""
    series = values if isinstance(values, pd.Series) else pd.Series(values)
    return [cell(v) for v in series.astype(object).tolist()]


@st.composite
def columns(
    draw: st.DrawFn, n: int, family: str | None, *, files: bool, plain: bool = False
) -> Column:
    """Draw a column of ``n`` cells, of a family or any."""
    names = [
        name
        for name, k in KINDS.items()
        if (family is None or k.family == family)
        and (k.files or not files)
        and not (plain and k.category)
    ]
    kind = draw(st.sampled_from(names))
    known = KINDS[kind]
    if not known.pool or (
        known.missing and draw(st.integers(0, 30)) == 0 and not left_out("nothing")
    ):
        return Column(kind, (None,) * n)
    pool: list[Any] = list(known.pool)
    categories: tuple[Any, ...] = ()
    ordered = False
    if known.category:
        fewest = int(left_out("empty categories"))
        chosen = draw(st.lists(st.sampled_from(pool), unique=True, min_size=fewest, max_size=4))
        categories = tuple(chosen)
        ordered = not left_out("orders") and draw(st.booleans())
        pool = list(categories)
    if known.missing:
        pool = [None, *pool]
    if not pool:
        pool = [None]
    values = draw(st.lists(st.sampled_from(pool), min_size=n, max_size=n))
    return Column(kind, tuple(values), categories, ordered)
