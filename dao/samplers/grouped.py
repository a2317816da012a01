"""Each batch from one group."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from dao.ranges import ranges
from dao.samplers.blocks import narrow, set_lengths, shuffled_blocks
from dao.samplers.checks import check_groups, set_columns
from dao.samplers.plan import EpochPlan, even_windows
from dao.samplers.rng import permutation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dao.samplers.rows import Rows

__all__ = ["Grouped"]


@dataclass(frozen=True, slots=True)
class Grouped:
    """Give batches whose cells all have the same value.

    Guarantees: every row that has a value once per epoch (cells whose value is missing are left
    out); a batch never mixes groups; batches of different groups alternate in random order; the
    last batch of each group may be smaller (it is left out with ``drop_last``). With
    ``batch_size=None`` each group is one batch. Rows come to a group in the order of a block
    shuffle, so that batches near each other in the epoch share what is decoded.

    Parameters
    ----------
    by
        obs column, or several: then each combination that occurs is a group.
    block
        Consecutive rows that are read together: larger is faster, smaller mixes better.
    window
        Rows that are decoded together. Groups that are rare gain from a large one, or from a store
        written with ``cluster_by``.

    Examples
    --------
    >>> stream = store.generator(32, obs_keys=["cell_type"], sampler=Grouped("cell_type"))
    >>> {int(batch["obs"]["cell_type"].nunique()) for batch in stream}
    {1}
    """

    by: str | Sequence[str]
    block: int = 256
    window: int = 32_768

    def __post_init__(self) -> None:
        set_columns(self, "by")
        set_lengths(self, "block", "window")

    def check_rows(self, rows: Rows) -> None:
        """Refuse a column without values; warn of missing ones, and of a single group."""
        check_groups("Grouped", self.by, rows)

    def plan(self, rows: Rows, *, seed: int, epoch: int) -> EpochPlan:
        """Return the batches of an epoch."""
        labels = rows.labels(self.by)
        counts = labels.counts()
        size = rows.batch_size or max(1, int(counts.max(initial=1)))
        per_group = -(-counts // size)
        group = np.repeat(np.arange(len(counts)), per_group)
        number = ranges(0, per_group)
        starts = (np.cumsum(counts) - counts)[group] + number * size
        lengths = np.minimum(size, counts[group] - number * size)

        blocks = shuffled_blocks(rows.n, self.block, seed, epoch, "blocks")
        visited = blocks.items(0, rows.n)
        codes = labels.codes[visited]
        order = np.argsort(codes, kind="stable")[np.count_nonzero(codes < 0) :]
        stream = narrow(visited[order], rows.n)
        # Batches that are full at about the same time share blocks, so they are read together.
        by_time = np.argsort(order[starts + lengths - 1], kind="stable")
        together = max(1, self.window // size)
        cuts = even_windows(len(by_time), together)
        mixed = [by_time[a:b][permutation(b - a, seed, epoch, a)] for a, b in pairwise(cuts)]
        batch = np.concatenate([np.empty(0, np.int64), *mixed])
        batches = np.concatenate([[0], np.cumsum(lengths[batch])]).astype(np.int64)

        def window(i: int) -> NDArray[np.int64]:
            parts = [
                stream[starts[b] : starts[b] + lengths[b]] for b in batch[cuts[i] : cuts[i + 1]]
            ]
            return np.concatenate(parts).astype(np.int64)

        return EpochPlan(batches[cuts], window, batches)
