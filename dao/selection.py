"""Which rows of which datasets a `Store` stands for, and in which order: an immutable value."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.cached import cached_property

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from dao.format.manifest import Manifest

__all__ = ["Selection", "order_of", "rows_where"]

_BLOCK = 1 << 20
_FEW = 16  # fewer rows than one in so many are sorted rather than marked


@dataclass(frozen=True)
class Selection:
    """Rows of a store, in store order or in an order of their own.

    Attributes
    ----------
    sizes
        Rows of each dataset, in the order of the manifest.
    chosen
        For each dataset: None for all its rows, else the chosen rows, ascending (uint32
        where that suffices). A dataset without chosen rows is not part of the selection.
    order
        None for store order. Else for each row of the selection which of the chosen rows it
        is, counted through all datasets; each comes at least once, and some may come again
        (uint32 where that suffices).
    """

    sizes: tuple[int, ...]
    chosen: tuple[NDArray[np.uint32] | None, ...]
    order: NDArray[np.unsignedinteger[Any]] | None = None

    @classmethod
    def everything(cls, manifest: Manifest) -> Selection:
        """Return the selection of all rows."""
        sizes = tuple(d.n_obs for d in manifest.datasets)
        return cls(sizes, (None,) * len(sizes))

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Chosen rows of each dataset, each counted once."""
        pairs = zip(self.sizes, self.chosen, strict=True)
        return np.array([n if rows is None else len(rows) for n, rows in pairs], np.int64)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where each dataset begins among the chosen rows, and their number at the end."""
        return np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)

    @property
    def n_chosen(self) -> int:
        """Rows, each counted once."""
        return int(self.offsets[-1])

    @property
    def n_obs(self) -> int:
        """Rows, each as often as it comes."""
        return self.n_chosen if self.order is None else len(self.order)

    @cached_property
    def n_obs_by_dataset(self) -> NDArray[np.int64]:
        """Rows of each dataset, each as often as it comes."""
        if self.order is None:
            return self.counts
        found = np.zeros(len(self.sizes), np.int64)
        for start in range(0, len(self.order), _BLOCK):
            holders = self._holders(self.order[start : start + _BLOCK])
            found += np.bincount(holders, minlength=len(found))
        return found

    @property
    def stretches(self) -> NDArray[np.int64]:
        """Lengths of the stretches that samplers may tell apart.

        The datasets, or everything together where rows have an order of their own.
        """
        return self.counts if self.order is None else np.array([len(self.order)], np.int64)

    @cached_property
    def datasets(self) -> list[int]:
        """Places of the datasets that take part."""
        return np.flatnonzero(self.counts).tolist()

    @cached_property
    def _all_whole(self) -> bool:
        return all(self.chosen[i] is None for i in self.datasets)

    def parts(self) -> Iterator[tuple[int, NDArray[np.uint32] | None]]:
        """Yield (dataset, rows) of every dataset with rows; None stands for all rows.

        In store order, each row once, whatever `order` says.
        """
        for i in self.datasets:
            yield i, self.chosen[i]

    def take(self, positions: NDArray[Any]) -> Selection:
        """Return the rows at these positions of the selection, in their order, with repeats.

        Parameters
        ----------
        positions
            Whole numbers from 0 to below `n_obs`.
        """
        places = positions if self.order is None else self.order[positions]
        if len(places) < self.n_chosen // _FEW:
            return self._take_few(places)
        there = np.zeros(self.n_chosen, np.bool_)
        there[places] = True
        kept = self.only(there)
        if len(places) == kept.n_chosen and _ascend(places):
            return kept
        return Selection(kept.sizes, kept.chosen, _ranks(there)[places])

    def _take_few(self, places: NDArray[Any]) -> Selection:
        """Return some of the chosen rows, in time and memory that depend on their number only."""
        unique, inverse = np.unique(places, return_inverse=True)
        cuts = np.searchsorted(unique, self.offsets)
        none = np.empty(0, np.uint32)
        chosen: list[NDArray[np.uint32] | None] = [none] * len(self.sizes)
        for i in np.flatnonzero(np.diff(cuts)).tolist():
            found = (unique[cuts[i] : cuts[i + 1]] - self.offsets[i]).astype(np.uint32)
            rows = self.chosen[i]
            chosen[i] = found if rows is None else rows[found]
        ordered = len(unique) == len(places) and _ascend(places)
        ranks = None if ordered else inverse.astype(np.uint32)
        return Selection(self.sizes, tuple(chosen), ranks)

    def keep(self, masks: list[NDArray[np.bool_]]) -> Selection:
        """Return the rows that are true in masks over the chosen rows of each part."""
        mask = np.concatenate([np.empty(0, np.bool_), *masks])
        kept = self.only(mask)
        if self.order is None or mask.all():
            return Selection(kept.sizes, kept.chosen, self.order)
        return Selection(kept.sizes, kept.chosen, _ranks(mask)[self.order[mask[self.order]]])

    def keep_rows(self, found: Sequence[NDArray[np.uint32] | None]) -> Selection:
        """Return some of the chosen rows of each part, in store order.

        Parameters
        ----------
        found
            For each part which of its chosen rows, ascending; None for all.
        """
        chosen = list(self.chosen)
        for (i, rows), here in zip(self.parts(), found, strict=True):
            if here is not None:
                chosen[i] = here if rows is None else rows[here]
        return Selection(self.sizes, tuple(chosen))

    def only(self, mask: NDArray[np.bool_]) -> Selection:
        """Return the chosen rows that are true in a mask over all of them, in store order."""
        chosen = list(self.chosen)
        for i, rows in self.parts():
            here = mask[self.offsets[i] : self.offsets[i + 1]]
            if not here.all():
                found = rows_where(here)
                chosen[i] = found if rows is None else rows[found]
        return Selection(self.sizes, tuple(chosen))

    def locate(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (dataset, row in the dataset) of positions in this selection."""
        places = self._places(positions)
        datasets = self._holders(places)
        rows = places - self.offsets[datasets]
        if self._all_whole:
            return datasets, rows
        order = order_of(datasets, len(self.sizes))
        ordered = datasets[order]
        firsts = np.flatnonzero(np.diff(ordered, prepend=-1)).tolist()
        for first, stop in pairwise([*firsts, len(order)]):
            chosen = self.chosen[ordered[first]]
            if chosen is not None:
                here = order[first:stop]
                rows[here] = chosen[rows[here]]
        return datasets, rows

    def dataset_of(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the dataset of positions in this selection."""
        return self._holders(self._places(positions))

    def _holders(self, places: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        return np.searchsorted(self.offsets, places, side="right") - 1

    def _places(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where in store order these positions are."""
        return positions if self.order is None else self.order[positions].astype(np.int64)

    def positions(self, manifest: Manifest) -> NDArray[np.int64]:
        """Return the position of each row in the whole store."""
        starts = manifest.offsets
        parts = [
            starts[i] + (np.arange(self.sizes[i]) if rows is None else rows)
            for i, rows in self.parts()
        ]
        found = np.concatenate([np.empty(0, np.int64), *parts]).astype(np.int64)
        return found if self.order is None else found[self.order]


def order_of(groups: NDArray[np.int64], n_groups: int) -> NDArray[np.int64]:
    """Return the stable order that brings the members of each group together."""
    # NumPy has a radix sort for 16 bits.
    narrow = groups.astype(np.uint16) if n_groups <= 1 << 16 else groups
    return np.argsort(narrow, kind="stable")


def rows_where(mask: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Return where a mask is true, without numbers of eight bytes for all of it."""
    found = np.empty(int(np.count_nonzero(mask)), np.uint32)
    at = 0
    for start in range(0, len(mask), _BLOCK):
        here = np.flatnonzero(mask[start : start + _BLOCK])
        found[at : at + len(here)] = here + start
        at += len(here)
    return found


def _ascend(places: NDArray[Any]) -> bool:
    return bool((places[1:] > places[:-1]).all())


def _ranks(mask: NDArray[np.bool_]) -> NDArray[np.unsignedinteger[Any]]:
    """Return for each true entry how many are true before it."""
    ranks: NDArray[Any] = np.cumsum(mask, dtype=np.uint32 if len(mask) < 1 << 32 else np.uint64)
    return np.asarray(np.subtract(ranks, mask, out=ranks))
