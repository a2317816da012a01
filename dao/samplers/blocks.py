"""Blocks of consecutive items in a random order: what all block-wise samplers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.arguments import whole
from dao.ranges import ranges
from dao.samplers.rng import permutation

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Blocks", "EvenBlocks", "narrow", "set_lengths", "shuffled_blocks"]

_MOST_ROWS = 1 << 40  # of an epoch, a window or a block


@dataclass(frozen=True, slots=True)
class Blocks:
    """A stream of blocks.

    Attributes
    ----------
    order
        int64: the blocks, in stream order; block b begins with item ``b * size``.
    ends
        int64, one more than blocks: where each begins in the stream, and the stream's length.
    size
        Consecutive items in a block (the last may have fewer).
    """

    order: NDArray[np.int64]
    ends: NDArray[np.int64]
    size: int

    def touched(self, low: int, high: int) -> slice:
        """Return which blocks, in stream order, hold places ``low`` to ``high`` of the stream."""
        first = int(np.searchsorted(self.ends, low, side="right")) - 1
        last = int(np.searchsorted(self.ends, high, side="left"))
        return slice(first, last)

    def items(self, low: int, high: int) -> NDArray[np.int64]:
        """Return the items at places ``low`` to ``high``, where each item comes once."""
        here = self.touched(low, high)
        starts = self.order[here] * self.size
        items = ranges(starts, np.diff(self.ends[here.start : here.stop + 1]))
        skipped = low - int(self.ends[here.start]) if len(starts) else 0
        return items[skipped : skipped + high - low]


@dataclass(frozen=True, slots=True)
class EvenBlocks:
    """A stream of blocks that are all of one size, but for one: where they begin is arithmetic.

    Attributes
    ----------
    order
        The blocks, in stream order, in four bytes each where that suffices.
    size
        Items in a block.
    short
        Place in the stream of the last block, which may have fewer.
    missing
        How many fewer.
    """

    order: NDArray[np.unsignedinteger]
    size: int
    short: int
    missing: int

    def items(self, low: int, high: int) -> NDArray[np.int64]:
        """Return the items at places ``low`` to ``high`` of the stream."""
        if low >= high:
            return np.empty(0, np.int64)
        here = np.arange(self._block(low), self._block(high - 1) + 1)
        starts = self.order[here].astype(np.int64) * self.size
        lengths = np.where(here == self.short, self.size - self.missing, self.size)
        first = int(here[0]) * self.size - self.missing * (int(here[0]) > self.short)
        return ranges(starts, lengths)[low - first : high - first]

    def _block(self, place: int) -> int:
        """Return which block of the stream holds a place."""
        is_behind = place >= (self.short + 1) * self.size - self.missing
        return (place + self.missing * is_behind) // self.size


def shuffled_blocks(n: int, size: int, *key: int | str) -> EvenBlocks:
    """Return ``n`` items in blocks of ``size``, in a random order that depends on ``key``."""
    n_blocks = -(-n // size)
    order = narrow(permutation(n_blocks, *key), n_blocks)
    short = int(np.argmax(order)) if n_blocks else 0
    return EvenBlocks(order, size, short, n_blocks * size - n)


def narrow(rows: NDArray[Any], n: int) -> NDArray[np.unsignedinteger]:
    """Return rows, all below ``n``, in 4 bytes each where that suffices."""
    return rows.astype(np.uint32 if n <= 1 << 32 else np.uint64)


def set_lengths(sampler: Any, *names: str, or_else: str = "") -> None:
    """Make the numbers of rows of a frozen sampler whole numbers of Python.

    Raises
    ------
    dao.errors.ArgumentError
        With the name and the value of one that is not a whole number of at least 1.
    """
    for name in names:
        length = whole(name, getattr(sampler, name), 1, _MOST_ROWS, or_else)
        object.__setattr__(sampler, name, length)
