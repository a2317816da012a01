"""Values as users pass them, from NumPy, pandas, Arrow or torch, as Python's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from dao.cached import cached_property
from dao.errors import ExpressionError
from dao.where.branch import Descendants

__all__ = ["Values", "as_texts", "is_null", "listed", "plain"]

_PLAIN = {int, bool, str}
_MISSING = {"NAType", "NaTType"}  # pandas.NA and pandas.NaT, told by name: no import of pandas


class Values(tuple[Any, ...]):  # noqa: SLOT001 - what is made of them is kept
    """The values of which a column must have one; None stands for a missing value."""

    @cached_property
    def known(self) -> tuple[Any, ...]:
        """The values without None."""
        return tuple(v for v in self if v is not None)

    @property
    def has_null(self) -> bool:
        """Whether a missing value matches."""
        return len(self.known) < len(self)

    @cached_property
    def texts(self) -> pa.Array:
        """The known values, which are texts, in Arrow."""
        return as_texts(self.known).drop_null()


def as_texts(values: Sequence[str]) -> pa.Array:
    """Return texts in Arrow; null for one that is not Unicode, as of a broken file name.

    No store holds such a text, so it is equal to nothing.
    """
    try:
        return pa.array(values, pa.large_string())
    except UnicodeEncodeError:
        found = [None if any("\ud800" <= c <= "\udfff" for c in v) else v for v in values]
        return pa.array(found, pa.large_string())


def plain(value: Any) -> Any:
    """Return a value as Python's own, None where it stands for a missing one.

    Times and lengths of time stay as they are: `numpy.datetime64` and `pandas.Timestamp` hold
    what `datetime` cannot.

    Examples
    --------
    >>> plain(np.int8(3)), plain(np.float32(0.5)), plain(float("nan"))
    (3, 0.5, None)
    """
    if type(value) in _PLAIN or isinstance(value, np.datetime64 | np.timedelta64):
        return None if is_null(value) else value
    if is_null(value):
        return None
    if isinstance(value, str | float | np.floating):
        return str(value) if isinstance(value, str) else float(value)
    if isinstance(value, pa.Scalar):
        return plain(value.as_py())
    if isinstance(value, np.generic):
        return value.item()
    if getattr(value, "ndim", None) == 0 and hasattr(
        value, "item"
    ):  # an array or tensor of one value, which is no list
        value = plain(value[()] if isinstance(value, np.ndarray) else value.item())
    return value


def is_null(value: Any) -> bool:
    """Whether a value stands for missing: None, NaN, pandas.NA or NaT."""
    if value is None or type(value).__name__ in _MISSING:
        return True
    if isinstance(value, float | np.floating):
        return bool(value != value)  # noqa: PLR0124 - NaN is the number that is not itself
    if isinstance(value, Decimal):
        return value.is_nan()
    return isinstance(value, np.datetime64 | np.timedelta64) and bool(np.isnat(value))


def listed(column: str, values: Any) -> list[Any]:
    """Return a value, or the values of any list, array, Series, set or generator.

    Raises
    ------
    dao.errors.ExpressionError
        If it is a table, a dict, or a list of lists.
    """
    if _is_scalar(values):
        return [plain(values)]
    n_axes = getattr(values, "ndim", 1)
    if isinstance(values, Mapping) or n_axes != 1:
        raise _not_a_list(column, values)
    if isinstance(values, np.ndarray) and values.dtype.kind not in "mM":
        values = values.tolist()
    elif isinstance(values, pa.Array | pa.ChunkedArray):
        values = values.to_pylist()
    found = [plain(v) for v in values]
    if any(isinstance(v, list | dict | set | tuple | np.ndarray) for v in found):
        raise _not_a_list(column, values)
    return found


def _is_scalar(values: Any) -> bool:
    if isinstance(values, str | bytes | bytearray | Descendants) or values is None:
        return True
    return not isinstance(values, Iterable) or getattr(values, "ndim", None) == 0


def _not_a_list(column: str, values: Any) -> ExpressionError:
    shown = repr(values) if isinstance(values, Mapping | list | tuple) else type(values).__name__
    msg = f"{column!r} is compared with {shown[:200]}: pass a value, or a list of values."
    return ExpressionError(msg)
