"""Lists and slices as users pass them, to choose cells or features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import ArgumentError
from dao.where.plain import is_null, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["as_array", "checked_slice"]


def checked_slice(which: slice, what: str) -> slice:
    """Return a slice of positions.

    Raises
    ------
    dao.errors.ArgumentError
        If it is one of names or fractions.
    """
    ends = (which.start, which.stop, which.step)
    if not all(e is None or hasattr(e, "__index__") for e in ends) or which.step == 0:
        shown = ":".join("" if e is None else repr(e) for e in ends[: 2 + (ends[2] is not None)])
        msg = (
            f"A slice of {what} counts positions, unlike [{shown}]: pass whole numbers as in "
            "[10:20], or a list of names."
        )
        raise ArgumentError(msg)
    return which


def as_array(which: Any, what: str) -> NDArray[Any]:
    """Return a list, array, Series, Index or tensor as booleans, whole numbers, or texts.

    Raises
    ------
    dao.errors.ArgumentError
        If it is anything else, mixes these, or has missing values.
    """
    if isinstance(which, range):
        return np.arange(which.start, which.stop, which.step)
    try:
        asked = np.asarray(which if hasattr(which, "__array__") else list(which))
    except (TypeError, ValueError, RuntimeError) as error:
        msg = f"{what} are chosen by a list or an array of one axis; this is not one: {error}."
        raise ArgumentError(msg) from error
    if asked.ndim != 1:
        msg = f"{what} are chosen by a list of one axis, not by {asked.ndim} axes."
        raise ArgumentError(msg)
    if not len(asked) or asked.dtype.kind in "biu":
        return asked
    values = asked.tolist()
    n_missing = sum(map(is_null, values))
    if n_missing:
        msg = (
            f"{n_missing:,} of {len(values):,} values that choose {what.lower()} are missing. Fill "
            "a mask with .fillna(False), or leave names out with .dropna()."
        )
        raise ArgumentError(msg)
    values = [plain(v) for v in values]
    kinds = {type(v) for v in values}
    if kinds == {str}:
        texts = np.empty(len(values), object)
        texts[:] = values
        return texts
    if kinds in ({bool}, {int}):
        try:
            return np.array(values, np.bool_ if kinds == {bool} else np.int64)
        except OverflowError:
            pass
    msg = f"{what} are chosen by whole numbers, booleans or names, not by {values[0]!r}."
    raise ArgumentError(msg)
