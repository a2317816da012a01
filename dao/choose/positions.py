"""From what names cells one by one (numbers, masks, slices, obs names) to positions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dao.asked import as_array, checked_slice
from dao.errors import ArgumentError, UnknownValueError, near_matches
from dao.format.obs_schema import INDEX_COLUMN
from dao.ranges import ranges
from dao.warn import warn
from dao.where.plain import as_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.obs import ObsStore
    from dao.selection import Selection

__all__ = ["mask_of", "positions_of"]


def positions_of(which: Any, selection: Selection, obs: ObsStore) -> NDArray[Any]:
    """Return the positions in a selection that are asked for, in the order asked for.

    Parameters
    ----------
    which
        A slice, whole numbers (negative ones count from the end), booleans for all cells of
        the selection (a Series of them is aligned by obs names), or obs names.

    Raises
    ------
    dao.errors.ArgumentError
        If it is none of these, or lies outside of the selection.
    dao.errors.UnknownValueError
        If no selected cell has such a name.
    """
    n_obs = selection.n_obs
    if which is Ellipsis:
        return np.arange(n_obs)
    if isinstance(which, slice):
        return np.arange(*checked_slice(which, "cells").indices(n_obs))
    if not isinstance(which, Iterable) or getattr(which, "ndim", 1) == 0:
        msg = (
            f"Cells are chosen by a slice or a list, as in store[:100] or store[[5]], not by "
            f"{which!r}. Batches of them come from store.generator(), store.torch() or "
            "store.tensorflow()."
        )
        raise ArgumentError(msg)
    asked = as_array(which, "Cells")
    if not len(asked):
        return np.empty(0, np.int64)
    if asked.dtype.kind == "b":
        return np.flatnonzero(_mask(which, asked, selection, obs))
    if asked.dtype.kind in "iu":
        return _of_numbers(asked, n_obs)
    return _of_names(asked, selection, obs)


def mask_of(which: Any, selection: Selection, obs: ObsStore) -> NDArray[np.bool_] | None:
    """Return booleans for all cells of a selection as an array; None for what is not booleans.

    Raises
    ------
    dao.errors.ArgumentError
        If booleans are missing, or are not those of the selected cells.
    """
    if isinstance(which, str | Mapping) or not isinstance(which, Iterable):
        return None
    if getattr(which, "ndim", 1) != 1:
        return None
    asked = as_array(which, "Cells")
    return _mask(which, asked, selection, obs) if asked.dtype.kind == "b" else None


def _mask(
    which: Any, mask: NDArray[np.bool_], selection: Selection, obs: ObsStore
) -> NDArray[np.bool_]:
    if len(mask) != selection.n_obs:
        msg = f"{len(mask):,} booleans were given for {selection.n_obs:,} cells; give one for each."
        raise ArgumentError(msg)
    index = which.index if isinstance(which, pd.Series) else None
    if index is None:
        return mask
    names = obs.frame(selection, []).index
    if index.equals(names):
        return mask
    if names.is_unique and index.is_unique:
        places = index.get_indexer(names)
        if (places >= 0).all():
            return np.asarray(mask[places])
    msg = (
        "The index of the mask is not the obs names of the selected cells. Make it from store.obs, "
        "or pass mask.to_numpy() if its values are in the order of the cells."
    )
    raise ArgumentError(msg)


def _of_numbers(numbers: NDArray[Any], n_obs: int) -> NDArray[Any]:
    low, high = int(numbers.min()), int(numbers.max())
    if low < -n_obs or high >= n_obs:
        wrong = low if low < -n_obs else high
        msg = f"There is no position {wrong:,} in a selection of {n_obs:,} cells."
        raise ArgumentError(msg)
    return np.where(numbers < 0, numbers + n_obs, numbers) if low < 0 else numbers


def _of_names(names: NDArray[Any], selection: Selection, obs: ObsStore) -> NDArray[np.int64]:
    """Return the cells of one name after those of another; a name may have several cells."""
    wanted, distinct = pd.factorize(names)
    held = obs.which(selection, INDEX_COLUMN, as_texts(list(distinct)))
    counts = np.bincount(held[held >= 0], minlength=len(distinct))
    if not counts.all():
        absent = np.flatnonzero(counts == 0)
        some = obs.frame(selection.take(np.arange(min(selection.n_obs, 10_000))), []).index
        near = near_matches(distinct[absent[0]], some)
        msg = f"{len(absent):,} names belong to no selected cell: {distinct[absent[0]]!r}.{near}"
        raise UnknownValueError(msg)
    several = np.flatnonzero(counts > 1)
    if len(several):
        warn(
            f"{len(several):,} of {len(distinct):,} names belong to several cells, as "
            f"{distinct[several[0]]!r} to {counts[several[0]]}: all of them are chosen. Choose a "
            "dataset first, as in store.subset(dataset='a'), if only its cells are meant."
        )
    found = np.flatnonzero(held >= 0)
    found = found[np.argsort(held[found], kind="stable")]
    starts = np.cumsum(counts) - counts
    cells: NDArray[np.int64] = found[ranges(starts[wanted], counts[wanted])]
    return cells
