"""What a sampler gives: the epoch as a list of windows that can be computed one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

__all__ = ["EpochPlan", "Sampler"]


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """The row stream of one epoch, cut into windows.

    Attributes
    ----------
    boundaries
        int64, n_windows + 1: where each window begins in the stream, and the stream's length.
    window
        ``window(i)`` returns the rows of window i in the order in which they are visited:
        int64 positions in the selection, ``boundaries[i + 1] - boundaries[i]`` of them.
    """

    boundaries: NDArray[np.int64]
    window: Callable[[int], NDArray[np.int64]]

    @property
    def n_rows(self) -> int:
        """Length of the stream."""
        return int(self.boundaries[-1])

    def rows(self, start: int, stop: int) -> Iterator[NDArray[np.int64]]:
        """Yield the rows ``start`` to ``stop`` of the stream, at most a window at a time.

        ``stop`` may lie beyond the end: the stream then begins again.
        """
        while start < stop and self.n_rows:
            base = start - start % self.n_rows
            at = start - base
            i = int(np.searchsorted(self.boundaries, at, side="right")) - 1
            low, high = int(self.boundaries[i]), int(self.boundaries[i + 1])
            end = min(high, stop - base)
            yield self.window(i)[at - low : end - low]
            start = base + end


@runtime_checkable
class Sampler(Protocol):
    """A way to visit the rows of a selection."""

    def plan(self, sizes: NDArray[np.int64], *, seed: int, epoch: int) -> EpochPlan:
        """Return the row stream of an epoch.

        Parameters
        ----------
        sizes
            int64: selected rows of each dataset; positions count through them in order.
        seed, epoch
            What the order may depend on, besides the sizes: on nothing else, so that it is
            the same in every process and on every machine.
        """
