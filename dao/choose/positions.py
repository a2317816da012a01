"""From what names cells one by one (numbers, masks, slices, obs names) to positions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dao.errors import ArgumentError, UnknownValueError, near_matches
from dao.format.obs_schema import INDEX_COLUMN
from dao.ranges import ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.obs import ObsStore
    from dao.selection import Selection

__all__ = ["positions_of"]


def positions_of(which: Any, selection: Selection, obs: ObsStore) -> NDArray[Any]:
    """Return the positions in a selection that are asked for, in the order asked for.

    Parameters
    ----------
    which
        A slice, whole numbers (negative ones count from the end), booleans for all cells of
        the selection, or obs names.

    Raises
    ------
    dao.errors.ArgumentError
        If it is none of these, or lies outside of the selection.
    dao.errors.UnknownValueError
        If no selected cell has such a name.
    """
    n_obs = selection.n_obs
    if isinstance(which, slice):
        return np.arange(*which.indices(n_obs))
    if not isinstance(which, Iterable):
        msg = (
            f"Cells are chosen by a slice or a list, as in store[:100], not by {which!r}. Batches "
            "of them come from store.generator(), store.torch() or store.tensorflow()."
        )
        raise ArgumentError(msg)
    asked = np.asarray(which if hasattr(which, "__array__") else list(which))
    if asked.ndim != 1:
        msg = f"Cells are chosen by a list of positions, not by {asked.ndim} axes."
        raise ArgumentError(msg)
    if not len(asked):
        return np.empty(0, np.int64)
    if asked.dtype.kind == "b":
        return _of_mask(asked, n_obs)
    if asked.dtype.kind in "iu":
        return _of_numbers(asked, n_obs)
    if all(isinstance(name, str) for name in asked):
        return _of_names(asked, selection, obs)
    msg = f"Cells are chosen by whole numbers, booleans or obs names, not by {asked.dtype}."
    raise ArgumentError(msg)


def _of_mask(mask: NDArray[np.bool_], n_obs: int) -> NDArray[Any]:
    if len(mask) != n_obs:
        msg = f"{len(mask):,} booleans were given for {n_obs:,} cells; give one for each."
        raise ArgumentError(msg)
    return np.flatnonzero(mask)


def _of_numbers(numbers: NDArray[Any], n_obs: int) -> NDArray[Any]:
    low, high = int(numbers.min()), int(numbers.max())
    if low < -n_obs or high >= n_obs:
        wrong = low if low < -n_obs else high
        msg = f"There is no position {wrong:,} in a selection of {n_obs:,} cells."
        raise ArgumentError(msg)
    return np.where(numbers < 0, numbers + n_obs, numbers) if low < 0 else numbers


def _of_names(names: NDArray[Any], selection: Selection, obs: ObsStore) -> NDArray[np.int64]:
    """Return the cells of one name after those of another; a name may have several cells."""
    distinct, wanted = np.unique(names.astype(object), return_inverse=True)
    held = obs.which(selection, INDEX_COLUMN, pa.array(distinct, pa.large_string()))
    counts = np.bincount(held[held >= 0], minlength=len(distinct))
    if not counts.all():
        absent = np.flatnonzero(counts == 0)
        some = obs.frame(selection.take(np.arange(min(selection.n_obs, 10_000))), []).index
        near = near_matches(distinct[absent[0]], some)
        msg = f"{len(absent):,} names belong to no selected cell: {distinct[absent[0]]!r}.{near}"
        raise UnknownValueError(msg)
    found = np.flatnonzero(held >= 0)
    found = found[np.argsort(held[found], kind="stable")]
    starts = np.cumsum(counts) - counts
    cells: NDArray[np.int64] = found[ranges(starts[wanted], counts[wanted])]
    return cells
