"""All groups equally often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import ArgumentError
from dao.samplers.blocks import set_lengths
from dao.samplers.checks import check_groups, set_columns
from dao.samplers.draws import Draws

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dao.samplers.plan import EpochPlan
    from dao.samplers.rows import Rows

__all__ = ["Balanced"]


@dataclass(frozen=True, slots=True)
class Balanced:
    """Draw cells so that all groups are equally likely, and all cells of a group.

    Guarantees: those of `Weighted`, with the weight 1 / (cells of the group). Cells whose value
    is missing are left out.

    Parameters
    ----------
    by
        obs column, or several: then each combination that occurs is a group.
    size
        Draws in an epoch; as many as cells that have a value if None.
    block
        Consecutive rows that are read together.
    window
        Draws that are decoded and shuffled together.

    Examples
    --------
    >>> sampler = Balanced("cell_type", size=1000)
    >>> sum(len(batch["index"]) for batch in store.generator(100, sampler=sampler))
    1000
    """

    by: str | Sequence[str]
    size: int | None = None
    block: int = 256
    window: int = 16_384

    def __post_init__(self) -> None:
        set_columns(self, "by")
        set_lengths(self, "block", "window")
        if self.size is not None:
            set_lengths(self, "size")

    def check_rows(self, rows: Rows) -> None:
        """Refuse a column without values; warn of missing ones, and of a single group."""
        check_groups("Balanced", self.by, rows)

    def plan(self, rows: Rows, *, seed: int, epoch: int) -> EpochPlan:
        """Return the draws of an epoch.

        Raises
        ------
        dao.errors.ArgumentError
            If no cell has a value.
        """
        labels = rows.labels(self.by)
        counts = labels.counts()
        n_labelled = int(counts.sum())
        if rows.n and not n_labelled:
            msg = f"No selected cell has a value of {self.by!r}."
            raise ArgumentError(msg)
        # The last entry is that of the code -1.
        weight_of = np.append(np.where(counts > 0, 1 / np.maximum(counts, 1), 0.0), 0.0)

        def weights(some: Any) -> NDArray[np.float64]:
            return np.asarray(weight_of[labels.codes[some]])

        size = n_labelled if self.size is None or not n_labelled else self.size
        draws = Draws(rows.n, weights, size, self.block, self.window)
        return draws.plan(seed=seed, epoch=epoch)
