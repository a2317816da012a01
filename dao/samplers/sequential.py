"""Store order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dao.errors import ArgumentError
from dao.samplers.plan import EpochPlan

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Sequential"]


@dataclass(frozen=True, slots=True)
class Sequential:
    """Visit rows in the order of the store: dataset after dataset, each from its first row.

    Guarantees: every row once per epoch; the same order in every epoch.

    Parameters
    ----------
    window
        Rows that are decoded together; changes speed and memory, not the order.
    """

    window: int = 16_384

    def __post_init__(self) -> None:
        if self.window < 1:
            msg = f"window={self.window}: a window has at least one row."
            raise ArgumentError(msg)

    def plan(self, sizes: NDArray[np.int64], *, seed: int, epoch: int) -> EpochPlan:
        """Return the row stream; seed and epoch do not matter."""
        n = int(sizes.sum())
        boundaries = np.append(np.arange(0, n, self.window), n).astype(np.int64)
        return EpochPlan(boundaries, lambda i: np.arange(boundaries[i], boundaries[i + 1]))
