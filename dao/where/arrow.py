"""Expressions of pyarrow as filters: bound to the columns of a store, evaluated on their codes."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from dao.errors import ExpressionError
from dao.where.bind import unknown_column
from dao.where.expression import Arrow

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow.compute as pc
    from numpy.typing import NDArray

    from dao.column import Column
    from dao.format.manifest import ColumnInfo

__all__ = ["bind_arrow", "evaluate_arrow"]


def bind_arrow(expression: pc.Expression, known: Mapping[str, ColumnInfo]) -> Arrow:
    """Return an expression of pyarrow with the columns that it uses.

    Raises
    ------
    dao.errors.UnknownColumnError
        With the nearest names.
    dao.errors.ExpressionError
        If it gives no booleans, or compares what cannot be compared.
    """
    problem: Exception | None = None
    for zone, decoded in product((None, "UTC"), (False, True)):
        types = {n: _arrow_type(info, decoded=decoded, zone=zone) for n, info in known.items()}
        try:
            result = _run(expression, pa.schema(types.items()).empty_table())
        except pa.ArrowNotImplementedError as error:
            problem = problem or error
            continue
        except pa.ArrowException as error:
            raise _refusal(expression, error, known) from error
        if not pa.types.is_boolean(result.type):
            msg = f"{expression} gives {result.type}; a filter must give booleans."
            raise ExpressionError(msg)
        return Arrow(expression, _used(expression, types), decoded, zone)
    msg = f"pyarrow cannot evaluate {expression}: {_first_line(problem)}"
    raise ExpressionError(msg) from problem


def evaluate_arrow(arrow: Arrow, columns: Mapping[str, Column], n_rows: int) -> NDArray[np.bool_]:
    """Return for each row whether an expression of pyarrow is true; null is not."""
    used = {name: columns[name] for name in arrow.columns}
    if not used:
        return _mask(arrow, {"": pa.nulls(n_rows)})
    [first, *others] = used.items()
    if not others and first[1].categories is not None:
        # One decision per category, and a last one for missing values, which the code -1 picks.
        name, column = first
        codes = np.append(np.arange(len(column.categories or ()), dtype=np.int32), np.int32(-1))
        each = type(column)(column.info, codes, codes < 0, column.categories)
        return _mask(arrow, {name: each.to_arrow()}).take(column.values)
    return _mask(arrow, {name: _array(column, arrow.zone) for name, column in used.items()})


def _mask(arrow: Arrow, arrays: Mapping[str, pa.Array]) -> NDArray[np.bool_]:
    if arrow.decoded:
        arrays = {n: _decoded(a) for n, a in arrays.items()}
    try:
        result = _run(arrow.expression, pa.table(dict(arrays)))
    except pa.ArrowException as error:
        msg = f"pyarrow cannot evaluate {arrow.expression}: {_first_line(error)}"
        raise ExpressionError(msg) from error
    return np.asarray(result.fill_null(False))


def _run(expression: pc.Expression, table: pa.Table) -> pa.ChunkedArray:
    # Only the scanner evaluates an expression to a column.
    scanner = ds.dataset(table).scanner(columns={"mask": expression}, use_threads=False)
    return scanner.to_table()["mask"]


def _used(expression: pc.Expression, types: Mapping[str, pa.DataType]) -> tuple[str, ...]:
    """Return the columns without which the expression has no meaning; pyarrow does not say."""

    def is_needed(name: str) -> bool:
        others = pa.schema((n, t) for n, t in types.items() if n != name)
        try:
            _run(expression, others.empty_table())
        except pa.ArrowException:
            return True
        return False

    return tuple(filter(is_needed, types))


def _arrow_type(info: ColumnInfo, *, decoded: bool, zone: str | None) -> pa.DataType:
    if info.kind in {"categorical", "string"}:
        held = pa.large_string() if info.dtype in {"string", "null"} else _plain_type(info.dtype)
        return held if decoded else pa.dictionary(pa.int32(), held, info.ordered)
    found = _plain_type(info.dtype)
    if zone and pa.types.is_timestamp(found) and found.tz:
        return pa.timestamp(found.unit, zone)
    return found


def _plain_type(name: str) -> pa.DataType:
    try:
        return pa.type_for_alias(name)
    except ValueError:
        pass
    time = re.fullmatch(r"timestamp\[(\w+), tz=(.+)\]", name)
    if time:
        return pa.timestamp(time[1], time[2])
    decimal = re.fullmatch(r"decimal(128|256)\((\d+), (-?\d+)\)", name)
    if decimal:
        make = pa.decimal128 if decimal[1] == "128" else pa.decimal256
        return make(int(decimal[2]), int(decimal[3]))
    return pa.null()  # known once there are values


def _array(column: Column, zone: str | None) -> pa.Array:
    """Return a column in the Arrow type that the expression was bound to."""
    array = column.to_arrow()
    if column.info.kind != "other":
        return array
    declared = _arrow_type(column.info, decoded=False, zone=zone)
    return array if pa.types.is_null(declared) else array.cast(declared)


def _decoded(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _refusal(
    expression: pc.Expression, error: pa.ArrowException, known: Mapping[str, Any]
) -> Exception:
    absent = re.match(r"No match for FieldRef\.Name\((.*)\) in ", str(error))
    if absent:
        return unknown_column(absent[1], known)
    return ExpressionError(f"pyarrow cannot evaluate {expression}: {_first_line(error)}")


def _first_line(error: Exception | None) -> str:
    return str(error).splitlines()[0]
