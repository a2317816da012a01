"""Features chosen by an expression over the columns of their table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dao.errors import ObsTypeError, UnknownColumnError, near_matches
from dao.frames import frame_columns
from dao.where import Expression, bind, columns_of, evaluate, parse

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from dao.column import Column

__all__ = ["rows_where"]


def rows_where(table: pd.DataFrame, where: str | Expression) -> NDArray[np.bool_]:
    """Return for each feature whether an expression over its columns holds.

    Raises
    ------
    dao.errors.UnknownColumnError
        With the nearest names.
    dao.errors.ExpressionError
        If it cannot be understood.
    """
    expression = parse(where) if isinstance(where, str) else where
    columns = _columns(table, columns_of(expression))
    unknown = sorted(columns_of(expression) - columns.keys())
    if unknown:
        msg = f"Features have no column {unknown[0]!r} (var)."
        raise UnknownColumnError(msg + near_matches(unknown[0], map(str, table.columns)))
    known = {name: column.info for name, column in columns.items()}
    bound = bind(expression, known, lambda name: columns[name].categories or ())
    return evaluate(bound, columns, len(table))


def _columns(table: pd.DataFrame, names: Collection[str]) -> dict[str, Column]:
    try:
        return frame_columns(table, names)
    except ObsTypeError:
        # Chromosomes as pandas reads them from a CSV file, 1 beside "X", are compared as texts.
        mixed = table.select_dtypes(object)
        texts = mixed.apply(lambda column: column.map(str, na_action="ignore"))
        return frame_columns(table.assign(**texts), names)
