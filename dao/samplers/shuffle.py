"""Blocks in random order, rows in random order within a window of many blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from dao.samplers.blocks import set_lengths, shuffled_blocks
from dao.samplers.plan import EpochPlan, even_windows
from dao.samplers.rng import permutation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dao.samplers.rows import Rows

__all__ = ["Shuffle"]


@dataclass(frozen=True, slots=True)
class Shuffle:
    """Shuffle blocks of consecutive rows, then the rows of each window of such blocks.

    Guarantees: every row once per epoch; another order in each epoch; a selection that fits
    into one window is shuffled perfectly. Rows of one block (neighbours in the store, which
    are a random sample of their dataset unless it was written with ``shuffle=False`` or
    ``cluster_by``) come within the same window.

    Parameters
    ----------
    block
        Consecutive rows that are read together: larger is faster, smaller mixes better.
        ``"auto"`` chooses one with which batches are mixed nearly as by a perfect shuffle; what
        it chose is in `dao.Generator.sampler` and in `dao.Generator.explain`.
    window
        Rows that are decoded and shuffled together: larger mixes better and takes more memory.
        May be ``"auto"`` too.

    Examples
    --------
    >>> generator = store.generator(
    ...     64, obs_keys=["cell_type"], sampler=Shuffle(block=16, window=200)
    ... )
    >>> generator.mixing("cell_type").ratio > 0.9
    True
    """

    block: int | str = "auto"
    window: int | str = "auto"

    def __post_init__(self) -> None:
        for name, length in (("block", self.block), ("window", self.window)):
            if not (isinstance(length, str) and length == "auto"):
                set_lengths(self, name, or_else=", or 'auto'")

    def plan(self, rows: Rows, *, seed: int, epoch: int) -> EpochPlan:
        """Return the row stream of an epoch."""
        block, size = self.lengths
        n = rows.n
        blocks = shuffled_blocks(n, block, seed, epoch, "blocks")
        # Windows are cut by rows: a block that is split between two of them costs less than
        # windows of uneven lengths, which no batch size would divide.
        boundaries = even_windows(n, size)

        def window(i: int) -> NDArray[np.int64]:
            found = blocks.items(int(boundaries[i]), int(boundaries[i + 1]))
            return found[permutation(len(found), seed, epoch, "window", i)]

        return EpochPlan(boundaries, window)

    @property
    def lengths(self) -> tuple[int, int]:
        """Block and window as numbers; what is left to choose, as fast as mixing allows."""
        block = 256 if self.block == "auto" else self.block
        window = 16_384 if self.window == "auto" else self.window
        return cast("int", block), cast("int", window)
