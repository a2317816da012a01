"""What a batch holds, and in which form: decided before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from dao.batches.columns import ColumnMap
    from dao.obs import Column

__all__ = ["BatchSpec", "MatrixSpec"]

# Rows gathered at once: the fixed cost of that is more than a batch of 128 rows may take.
_MOST_GATHERED = 4096


@dataclass(frozen=True, slots=True)
class MatrixSpec:
    """How one matrix appears in a batch."""

    columns: ColumnMap
    dtype: np.dtype[Any]
    dense: bool


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """What a batch holds.

    Attributes
    ----------
    matrices
        ``"X"``, ``"layers/<name>"``, ``"obsm/<name>"`` -> how it appears.
    obs
        The obs columns of the whole selection.
    """

    batch_size: int
    matrices: Mapping[str, MatrixSpec]
    obs: Mapping[str, Column]

    @property
    def most_gathered(self) -> int:
        """Rows that are gathered at once, at most: a multiple of the batch size."""
        return max(1, _MOST_GATHERED // self.batch_size) * self.batch_size

    def cuts(self, done: int, n: int) -> list[int]:
        """Return where to cut ``n`` rows that come after ``done`` others, from 0 to n.

        Whole batches lie between cuts, as many as are gathered at once; what is missing of a
        batch that began before, and the begin of one that goes on after, lie apart.
        """
        head = min(n, -done % self.batch_size)
        tail = head + (n - head) // self.batch_size * self.batch_size
        return [*dict.fromkeys([0, *range(head, tail, self.most_gathered), tail, n])]
