"""Whether parts by hash are as large as chance allows, and what to do where they are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import ArgumentError
from dao.warn import warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dao.samplers import Labels

__all__ = ["check_likely", "check_not_empty", "warn_of_strata"]

_MOST_ERRORS = 6.0  # standard errors: chance alone goes beyond once in 10^9 splits
_AGAIN = "To split a part again, pass another seed= than the one that made it."


def check_not_empty(
    part: NDArray[np.int64], names: Sequence[Any], fractions: NDArray[np.float64], what: str | None
) -> None:
    """Refuse parts that are empty.

    Parameters
    ----------
    part
        Of each unit.
    what
        What the units are, ``"cell"`` or ``"group"``; None where parts have exact sizes, of
        which an empty one is allowed, with a warning.

    Raises
    ------
    dao.errors.ArgumentError
        With the name of the part, and what to pass.
    """
    empty = np.flatnonzero(np.bincount(part, minlength=len(names)) == 0)
    if not len(empty):
        return
    name, fraction = names[empty[0]], fractions[empty[0]]
    if what is None:
        warn(f"Part {name!r} is empty: {fraction:g} of {len(part):,} cells is less than one cell.")
        return
    msg = (
        f"Part {name!r} would be empty: of {len(part):,} {what}s none falls into its fraction of "
        f"{fraction:g}. method='exact' gives each part its share, but its parts change when the "
        f"store does. {_AGAIN}"
    )
    raise ArgumentError(msg)


def check_likely(
    part: NDArray[np.int64], names: Sequence[Any], fractions: NDArray[np.float64], what: str
) -> None:
    """Warn if a part has far more or fewer units than chance allows."""
    n = len(part)
    counts = np.bincount(part, minlength=len(names))
    errors = np.sqrt(n * fractions * (1 - fractions))
    excess = np.abs(counts - n * fractions) / np.maximum(errors, 1.0)
    worst = int(np.argmax(excess))
    if excess[worst] > _MOST_ERRORS:
        warn(
            f"Part {names[worst]!r} has {counts[worst] / n:.1%} of the {what}, not "
            f"{fractions[worst]:.1%}: these cells are not independent of the seed. {_AGAIN}"
        )


def warn_of_strata(
    part: NDArray[np.int64], labels: Labels, names: Sequence[Any], fractions: NDArray[np.float64]
) -> None:
    """Warn of values that a part lacks although its share of them is a cell or more."""
    n_labels = len(labels.names)
    known = labels.codes >= 0
    joint = part[known] * n_labels + labels.codes[known]
    table = np.bincount(joint, minlength=n_labels * len(names)).reshape(len(names), n_labels)
    lacking = (table == 0) & (fractions[:, None] * table.sum(axis=0) >= 1)
    if not lacking.any():
        return
    largest = int(np.argmax(np.where(lacking.any(axis=0), table.sum(axis=0), -1)))
    where = names[int(np.argmax(lacking[:, largest]))]
    warn(
        f"{int(lacking.any(axis=0).sum()):,} of {n_labels:,} values of stratify_by= are not in "
        f"every part: {where!r} has none of the {table[:, largest].sum():,} cells of "
        f"{labels.names[largest]!r}. Pass method='exact' where each part must have its share."
    )
