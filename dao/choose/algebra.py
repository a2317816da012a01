"""Selections of one store as sets of cells: in store order, each cell once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dao.selection import Selection, rows_where

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["combined", "complement"]


def combined(left: Selection, right: Selection, rule: Callable[..., Any]) -> Selection:
    """Return the rows that a rule picks.

    Parameters
    ----------
    rule
        Of two masks over the rows of a dataset: ``np.logical_or`` is the union.
    """
    chosen = []
    for n, a, b in zip(left.sizes, left.chosen, right.chosen, strict=True):
        mask = rule(_mask(a, n), _mask(b, n))
        chosen.append(None if mask.all() else rows_where(mask))
    return Selection(left.sizes, tuple(chosen))


def complement(selection: Selection, datasets: list[int]) -> Selection:
    """Return the rows of these datasets that are not selected."""
    within = set(datasets)
    none = np.empty(0, np.uint32)
    everything = tuple(None if i in within else none for i in range(len(selection.sizes)))
    return combined(Selection(selection.sizes, everything), selection, np.greater)


def _mask(rows: NDArray[np.uint32] | None, n: int) -> NDArray[np.bool_]:
    if rows is None:
        return np.ones(n, np.bool_)
    mask = np.zeros(n, np.bool_)
    mask[rows] = True
    return mask
