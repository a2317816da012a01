"""Selections of one store as sets of cells: in store order, each cell once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import ArgumentError
from dao.selection import Selection, rows_where

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dao.store import Store

__all__ = ["combined", "others"]


def combined(left: Store, right: Store, rule: Callable[..., Any]) -> Selection:
    """Return the rows of two views of a store that a rule picks.

    Parameters
    ----------
    rule
        Of two masks over the rows of a dataset: ``np.logical_or`` is the union, ``np.greater``
        what only the first has.

    Raises
    ------
    dao.errors.ArgumentError
        If they are not of the same generation of one store, or to be united with other features.
    """
    own, theirs = left.manifest, right.manifest
    if (own.uuid, own.generation) != (theirs.uuid, theirs.generation):
        msg = f"{left.path!r} and {right.path!r} are not the same generation of one store."
        raise ArgumentError(msg)
    if rule is not np.greater and not _same_features(left, right):
        msg = "The two have other features: join their cells first, then select_features."
        raise ArgumentError(msg)
    return _picked(left.selection, right.selection, rule)


def others(store: Store) -> Selection:
    """Return the rows that are not selected; with features chosen, those of its organism."""
    selection, datasets = store.selection, store.manifest.datasets
    none = np.empty(0, np.uint32)
    within = tuple(
        None if store.chosen_features is None or d.organism in store.organisms else none
        for d in datasets
    )
    return _picked(Selection(selection.sizes, within), selection, np.greater)


def _same_features(left: Store, right: Store) -> bool:
    a, b = left.chosen_features, right.chosen_features
    same = a is b if a is None or b is None else a.equals(b)
    return same and left.zero_features == right.zero_features


def _picked(left: Selection, right: Selection, rule: Callable[..., Any]) -> Selection:
    chosen = []
    for n, a, b in zip(left.sizes, left.chosen, right.chosen, strict=True):
        mask = rule(_mask(a, n), _mask(b, n))
        chosen.append(None if mask.all() else rows_where(mask))
    return Selection(left.sizes, tuple(chosen))


def _mask(rows: NDArray[np.uint32] | None, n: int) -> NDArray[np.bool_]:
    if rows is None:
        return np.ones(n, np.bool_)
    mask = np.zeros(n, np.bool_)
    mask[rows] = True
    return mask
