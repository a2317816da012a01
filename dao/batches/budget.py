"""How much is read, gathered and kept ready at once, for a given amount of memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.batches.spec import BatchSpec
    from dao.store import Store

__all__ = ["Budget"]

# Shares of the memory: rows as they are stored; windows in their final form, of which there are
# two; finished batches that wait; those that functions of users have made; memory that was used
# and may be again; one stretch of batches.
_FETCH_SHARE = 4
_WINDOW_SHARE = 2
_READY_SHARE = 4
_CALLED_SHARE = 8
_KEPT_SHARE = 2
_STRETCH_SHARE = 16

# Rows. The fixed cost of a stretch is more than a batch of 128 rows may take.
_LONGEST_STRETCH = 4096
_MOST_STRETCHES_READY = 2  # more would smooth nothing


@dataclass(frozen=True, slots=True)
class Budget:
    """What follows from the memory that a stream may hold.

    Attributes
    ----------
    memory
        Bytes.
    stored_row_bytes, final_row_bytes
        Of a cell, on average: as it is stored, and in a batch.
    batch_size
        Cells in a batch; 1 where the sampler decides.
    """

    memory: int
    stored_row_bytes: int
    final_row_bytes: int
    batch_size: int

    @classmethod
    def of(cls, store: Store, spec: BatchSpec) -> Budget:
        """Return the budget of a stream of such batches."""
        stored = sum(store.stored_row_bytes(name) for name in spec.matrices)
        final = 0 if spec.measured is None else spec.measured.n_vars
        for name, how in spec.matrices.items():
            if how.dense:
                final += how.columns.n_vars * how.dtype.itemsize
            else:
                final += int(store.mean_nnz(name)) * (how.dtype.itemsize + 4)
        return cls(store.memory, max(1, stored), max(1, final), spec.batch_size or 1)

    @property
    def fetch_rows(self) -> int:
        """Cells that are read at once, at most."""
        return max(1, self.memory // _FETCH_SHARE // self.stored_row_bytes)

    def fuses(self, n_rows: int) -> bool:
        """Whether so many cells may be decoded straight into their final form."""
        return n_rows * self.final_row_bytes <= self.memory // _WINDOW_SHARE

    @property
    def stretch(self) -> int:
        """Cells that are finished together: a multiple of the batch size."""
        rows = min(_LONGEST_STRETCH, self.memory // _STRETCH_SHARE // self.final_row_bytes)
        return max(1, rows // self.batch_size) * self.batch_size

    @property
    def stretch_bytes(self) -> int:
        """Bytes of a stretch."""
        return self.stretch * self.final_row_bytes

    @property
    def depth(self) -> int:
        """Finished stretches that may wait."""
        affordable = self.memory // _READY_SHARE // self.stretch_bytes
        return max(1, min(_MOST_STRETCHES_READY, affordable))

    @property
    def called_bytes(self) -> int:
        """Bytes of batches after functions of users that may wait."""
        return self.memory // _CALLED_SHARE

    @property
    def kept(self) -> int:
        """Bytes of used memory that are kept for arrays to come."""
        return self.memory // _KEPT_SHARE

    def cuts(self, ends: NDArray[np.int64], n: int, *, begins: bool) -> list[int]:
        """Return where to cut ``n`` rows, from 0 to n.

        Whole batches lie between cuts, a stretch of them; what is missing of a batch that began
        before, and the begin of one that goes on after, lie apart.

        Parameters
        ----------
        ends
            Where batches end among the rows.
        n
            Number of rows.
        begins
            Whether a batch begins with the first of them.
        """
        cuts, at = [0], 0
        if not begins and len(ends):
            cuts, at = [0, int(ends[0])], 1
        while at < len(ends):
            fitting = int(np.searchsorted(ends, cuts[-1] + self.stretch, side="right"))
            at = max(at + 1, fitting)
            cuts.append(int(ends[at - 1]))
        return cuts if cuts[-1] == n else [*cuts, n]
