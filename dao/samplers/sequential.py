"""Store order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dao.samplers.blocks import set_lengths
from dao.samplers.plan import EpochPlan, even_windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.samplers.rows import Rows

__all__ = ["Sequential"]


@dataclass(frozen=True, slots=True)
class Sequential:
    """Visit rows in the order of the store: dataset after dataset, each from its first row.

    Guarantees: every row once per epoch; the same order in every epoch, also with DataLoader
    workers, which take turns.

    Parameters
    ----------
    window
        Rows that are decoded together; changes speed and memory, not the order.

    Examples
    --------
    >>> next(iter(store.generator(4, sampler=Sequential())))["index"].tolist()
    [0, 1, 2, 3]
    """

    window: int = 16_384

    def __post_init__(self) -> None:
        set_lengths(self, "window")

    def plan(self, rows: Rows, *, seed: int, epoch: int) -> EpochPlan:
        """Return the row stream; seed and epoch do not matter."""
        boundaries = even_windows(rows.n, self.window)

        def window(i: int) -> NDArray[np.int64]:
            return np.arange(boundaries[i], boundaries[i + 1])

        return EpochPlan(boundaries, window, by_turns=True)
