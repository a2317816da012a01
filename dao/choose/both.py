"""Cells and features at once, as AnnData takes them: ``store[cells, features]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dao.asked import as_array, checked_slice
from dao.choose.organism import of_organism
from dao.errors import ArgumentError

if TYPE_CHECKING:
    import pandas as pd

    from dao.store import Store

__all__ = ["chosen"]


def chosen(store: Store, which: Any) -> Store:
    """Return what ``store[which]`` stands for; see `dao.Store.__getitem__`.

    Raises
    ------
    dao.errors.DaoError
        If it cannot be understood, or chooses what is not there.
    """
    if isinstance(which, str):
        return of_organism(store, which)
    if not isinstance(which, tuple):
        return store if which is Ellipsis else store.take(which)
    if len(which) != 2:
        msg = (
            f"store[cells, features] takes two axes, not {len(which)}. A list of cells stands in "
            "brackets of its own: store[[5, 3, 8]]."
        )
        raise ArgumentError(msg)
    cells, features = which
    if not _is_all(cells):
        store = store.take([cells] if _is_one(cells) else cells)
    return store if _is_all(features) else _with_features(store, features)


def _with_features(store: Store, which: Any) -> Store:
    names = store.var_names
    if isinstance(which, slice):
        return store.select_features(names[checked_slice(which, "features")])
    if _is_one(which):
        which = [which]
    elif not hasattr(which, "__iter__") or getattr(which, "ndim", 1) == 0:
        msg = f"Features are chosen by names, positions, booleans or a slice, not by {which!r}."
        raise ArgumentError(msg)
    asked = as_array(which, "Features")
    if asked.dtype.kind in "iu":
        return store.select_features(_at(names, asked))
    if asked.dtype.kind == "b":
        # A Series of booleans is aligned by its index.
        return store.select_features(which if hasattr(which, "reindex") else asked)
    return store.select_features(asked)


def _at(names: pd.Index, places: Any) -> pd.Index:
    n = len(names)
    wrong = places[(places < -n) | (places >= n)]
    if len(wrong):
        msg = f"There is no position {int(wrong[0]):,} among {n:,} features."
        raise ArgumentError(msg)
    found: pd.Index = names[places]
    return found


def _is_all(which: Any) -> bool:
    return which is Ellipsis or (isinstance(which, slice) and which == slice(None))


def _is_one(which: Any) -> bool:
    """Whether an axis is given by one name or position, which AnnData takes as a list of one."""
    if isinstance(which, bool | np.bool_):
        return False
    return isinstance(which, str | int | np.integer)
