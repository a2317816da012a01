"""Checks of what samplers are given: names of columns, and the labels behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dao.arguments import names, shown
from dao.errors import ArgumentError, near_matches
from dao.warn import warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dao.samplers.rows import Rows

__all__ = ["check_groups", "named", "no_value", "set_columns"]

_NUMBERS = bool | int | float | np.number | np.bool_


def set_columns(sampler: Any, argument: str, *, may_be_none: bool = False) -> None:
    """Make an argument of a frozen sampler the name of a column, or a list of them.

    Raises
    ------
    dao.errors.ArgumentError
        If it is neither, or names none.
    """
    by = getattr(sampler, argument)
    listed = names(argument, by)
    if not listed and not may_be_none:
        msg = f"{argument}={shown(by)}: pass the name of an obs column, or a list of names."
        raise ArgumentError(msg)
    if not isinstance(by, str | list | tuple):
        object.__setattr__(sampler, argument, listed)


def check_groups(sampler: str, by: Any, rows: Rows, left_out: str = "are left out") -> None:
    """Refuse columns without values, and warn of those that make no groups.

    Parameters
    ----------
    sampler
        Name of the sampler.
    by
        Its columns.
    left_out
        What happens to cells without a value.

    Raises
    ------
    dao.errors.ArgumentError
        If no selected cell has a value.
    """
    if not rows.n:
        return
    labels = rows.labels(by)
    counts = labels.counts()
    n_known = int(counts.sum())
    if not n_known:
        msg = f"No selected cell has a value of {by!r}, so {sampler} has no groups."
        raise ArgumentError(msg)
    if n_known < rows.n:
        n = rows.n - n_known
        warn(f"{n:,} of {rows.n:,} cells have no value of {named(by)}: they {left_out}.")
    if np.count_nonzero(counts) == 1:
        value = labels.names[int(np.argmax(counts))]
        warn(f"All cells have the value {value!r} of {named(by)}: {sampler} has one group.")


def named(by: Any) -> str:
    """Return the names of columns as they stand in a sentence."""
    return repr(by) if isinstance(by, str) else ", ".join(map(repr, by))


def no_value(column: str, value: Any, known: Sequence[Any]) -> ArgumentError:
    """Return the error for a value that a column does not have.

    >>> str(no_value("plate", "1", [1, 2]))
    "obs column 'plate' has no value '1'. Numbers stand without quotes: 1."
    """
    numbers = len(known) > 0 and isinstance(known[0], _NUMBERS)
    if isinstance(value, str) and numbers and _reads_as_number(value):
        hint = f" Numbers stand without quotes: {value.strip()}."
    elif isinstance(value, _NUMBERS) and str(value) in known:
        hint = f" Text stands in quotes: {str(value)!r}."
    else:
        hint = near_matches(value, known)
    return ArgumentError(f"obs column {column!r} has no value {value!r}.{hint}")


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.strip() in {"True", "False"}
    return True
