"""Which rows of which datasets a `Store` stands for: an immutable value."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dao.format.manifest import Manifest

__all__ = ["Selection"]


@dataclass(frozen=True)
class Selection:
    """Rows of a store, in store order.

    Attributes
    ----------
    sizes
        Rows of each dataset, in the order of the manifest.
    chosen
        For each dataset: None for all its rows, else the chosen rows, ascending (uint32
        where that suffices). A dataset without chosen rows is not part of the selection.
    """

    sizes: tuple[int, ...]
    chosen: tuple[NDArray[np.uint32] | None, ...]

    @classmethod
    def everything(cls, manifest: Manifest) -> Selection:
        """Return the selection of all rows."""
        sizes = tuple(d.n_obs for d in manifest.datasets)
        return cls(sizes, (None,) * len(sizes))

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Chosen rows of each dataset."""
        pairs = zip(self.sizes, self.chosen, strict=True)
        return np.array([n if rows is None else len(rows) for n, rows in pairs], np.int64)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where each dataset begins in the selection, and the total at the end."""
        return np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)

    @property
    def n_obs(self) -> int:
        """Chosen rows."""
        return int(self.offsets[-1])

    @cached_property
    def datasets(self) -> list[int]:
        """Places of the datasets that take part."""
        return [i for i, rows in enumerate(self.chosen) if rows is None or len(rows)]

    def parts(self) -> Iterator[tuple[int, NDArray[np.uint32] | None]]:
        """Yield (dataset, rows) of every dataset with rows; None stands for all rows."""
        for i, rows in enumerate(self.chosen):
            if self.counts[i]:
                yield i, rows

    def narrow(self, dataset: int, mask: NDArray[np.bool_]) -> NDArray[np.uint32]:
        """Return the rows of a dataset that are chosen and true in a mask over all its rows."""
        rows = self.chosen[dataset]
        found = np.flatnonzero(mask) if rows is None else rows[mask[rows]]
        return found.astype(np.uint32)

    def keep(self, mask: NDArray[np.bool_]) -> Selection:
        """Return the chosen rows that are true in a mask over them."""
        chosen = list(self.chosen)
        for i, rows in self.parts():
            own = np.flatnonzero(mask[self.offsets[i] : self.offsets[i + 1]]).astype(np.uint32)
            chosen[i] = own if rows is None else rows[own]
        return Selection(self.sizes, tuple(chosen))

    def locate(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (dataset, row in the dataset) of positions in this selection."""
        datasets = np.searchsorted(self.offsets, positions, side="right") - 1
        rows = positions - self.offsets[datasets]
        for i in np.unique(datasets):
            chosen = self.chosen[i]
            if chosen is not None:
                here = datasets == i
                rows[here] = chosen[rows[here]]
        return datasets, rows

    def positions(self, manifest: Manifest) -> NDArray[np.int64]:
        """Return the position of each chosen row in the whole store."""
        starts = manifest.offsets
        parts = [
            starts[i] + (np.arange(self.sizes[i]) if rows is None else rows)
            for i, rows in self.parts()
        ]
        return np.concatenate([np.empty(0, np.int64), *parts]).astype(np.int64)
