"""Checks of what samplers are given: names of columns, and the labels behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import ArgumentError
from dao.warn import warn

if TYPE_CHECKING:
    from dao.samplers.rows import Rows

__all__ = ["check_columns", "check_groups", "named"]


def check_columns(argument: str, by: Any) -> None:
    """Refuse what is not the name of a column, or several.

    Raises
    ------
    dao.errors.ArgumentError
        With the argument and its value.
    """
    names = [by] if isinstance(by, str) else by
    if (
        not isinstance(names, list | tuple)
        or not names
        or not all(isinstance(name, str) for name in names)
    ):
        msg = f"{argument}={by!r}: pass the name of an obs column, or a list of names."
        raise ArgumentError(msg)


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
