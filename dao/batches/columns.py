"""Which columns of a matrix a batch shows, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.cached import cached_property

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ColumnMap"]


@dataclass(frozen=True)
class ColumnMap:
    """The columns of the output in terms of the stored columns.

    Attributes
    ----------
    columns
        int32: for each output column the stored column, or -1 for a column of zeros.
    """

    columns: NDArray[np.int32]

    @property
    def n_vars(self) -> int:
        """Columns of the output."""
        return len(self.columns)

    @cached_property
    def ascending(self) -> bool:
        """Whether stored columns ascend, so that selected indices stay sorted."""
        known = self.columns[self.columns >= 0]
        return bool((np.diff(known) > 0).all())

    def is_identity(self, n_stored: int) -> bool:
        """Whether the output shows the first columns as stored, of a matrix this wide."""
        if n_stored > self.n_vars:
            return False
        return self._identity_until >= n_stored

    @cached_property
    def _identity_until(self) -> int:
        same = self.columns == np.arange(self.n_vars)
        return self.n_vars if same.all() else int(np.argmin(same))

    def place(self, n_stored: int) -> NDArray[np.int32]:
        """Return for each stored column its place in the output, or -1."""
        known = self._places.get(n_stored)
        if known is not None:
            return known
        place = np.full(n_stored, -1, np.int32)
        shown = np.flatnonzero((self.columns >= 0) & (self.columns < n_stored))
        place[self.columns[shown]] = shown
        return self._places.setdefault(n_stored, place)

    def narrow_place(self, n_stored: int) -> NDArray[np.unsignedinteger[Any]]:
        """Return for each stored column its place in the output, or ``n_vars``, one beyond.

        In the smallest dtype, so that as much of it as can be stays in the fastest cache.
        """
        known = self._narrow_places.get(n_stored)
        if known is not None:
            return known
        place = self.place(n_stored)
        narrow = np.where(place < 0, self.n_vars, place).astype(np.min_scalar_type(self.n_vars))
        return self._narrow_places.setdefault(n_stored, narrow)

    @cached_property
    def chosen(self) -> ColumnMap:
        """What shows columns that were chosen by this one, and nothing else."""
        return ColumnMap(np.arange(self.n_vars, dtype=np.int32))

    @cached_property
    def _places(self) -> dict[int, NDArray[np.int32]]:
        return {}

    @cached_property
    def _narrow_places(self) -> dict[int, NDArray[Any]]:
        return {}

    def within(self, n_stored: int) -> NDArray[np.int32]:
        """Return ``columns`` with -1 where a matrix of this width has none."""
        return np.where(self.columns < n_stored, self.columns, -1).astype(np.int32)
