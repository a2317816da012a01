"""Which features the study of each cell measured, as a batch shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.store import Store

__all__ = ["Measured"]


@dataclass(frozen=True, slots=True)
class Measured:
    """What the studies of a store measured.

    Attributes
    ----------
    table
        bool, datasets of the whole store x features of a batch.
    offsets
        int64: the first cell of each dataset in the whole store, and the number of all cells.
    """

    table: NDArray[np.bool_]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, store: Store) -> Measured:
        """Return what the selected studies measured of the selected features."""
        known = store.measured()
        table = np.zeros((len(store.manifest.datasets), store.n_vars), np.bool_)
        table[list(store.selection.datasets)] = known.to_numpy(np.bool_)
        return cls(table, store.manifest.offsets)

    @property
    def n_vars(self) -> int:
        """Features of a batch."""
        return int(self.table.shape[1])

    def rows(self, index: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return a row for each cell, given by its place in the whole store."""
        datasets = np.searchsorted(self.offsets, index, side="right") - 1
        return self.table.take(datasets, axis=0)
