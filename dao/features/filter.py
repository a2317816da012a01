"""Features chosen by an expression over the columns of their table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dao.errors import UnknownColumnError, near_matches
from dao.obs import frame_columns
from dao.where import Expression, check, columns_of, evaluate, parse

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

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
    columns = frame_columns(table)
    unknown = sorted(columns_of(expression) - columns.keys())
    if unknown:
        msg = f"Features have no column {unknown[0]!r} (var)."
        raise UnknownColumnError(msg + near_matches(unknown[0], columns))
    known = {name: column.info for name, column in columns.items()}
    check(expression, known, lambda name: columns[name].categories or ())
    return evaluate(expression, columns, len(table))
