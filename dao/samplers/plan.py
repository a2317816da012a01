"""What a sampler gives: the epoch as a list of windows that can be computed one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from dao.samplers.rows import Rows

__all__ = ["EpochPlan", "Sampler", "even_windows"]


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """The row stream of one epoch, cut into windows.

    Attributes
    ----------
    boundaries
        int64, n_windows + 1: where each window begins in the stream, and the stream's length.
    window
        ``window(i)`` returns the rows of window i in the order in which they are visited:
        int64 positions in the selection, ``boundaries[i + 1] - boundaries[i]`` of them. A row may
        come any number of times.
    batches
        int64, n_batches + 1: where each batch begins in the stream, for samplers that say which
        rows come together. None: wherever ``batch_size`` rows are full.
    extras
        ``extras(n)`` returns what a batch of n rows carries besides: name -> array.
    by_turns
        Whether DataLoader workers take turns, batch by batch, so that batches come in the order of
        the stream. That is for streams in which neighbours lie together in the store; others are
        read faster if each worker has a part of its own.

    Examples
    --------
    >>> plan = EpochPlan(np.array([0, 3, 5]), lambda i: np.array([2, 0, 1] if i == 0 else [4, 3]))
    >>> [plan.window(i).tolist() for i in range(2)]
    [[2, 0, 1], [4, 3]]
    """

    boundaries: NDArray[np.int64]
    window: Callable[[int], NDArray[np.int64]]
    batches: NDArray[np.int64] | None = None
    extras: Callable[[int], Mapping[str, NDArray[Any]]] | None = None
    by_turns: bool = False

    @property
    def n_rows(self) -> int:
        """Length of the stream."""
        return int(self.boundaries[-1])

    def rows(self, start: int, stop: int) -> Iterator[NDArray[np.int64]]:
        """Yield the rows ``start`` to ``stop`` of the stream, at most a window at a time."""
        while start < stop:
            i = int(np.searchsorted(self.boundaries, start, side="right")) - 1
            low, high = int(self.boundaries[i]), int(self.boundaries[i + 1])
            end = min(high, stop)
            yield self.window(i)[start - low : end - low]
            start = end


@runtime_checkable
class Sampler(Protocol):
    """A way to visit the rows of a selection.

    A frozen dataclass does best: its ``repr`` is how a state knows that it belongs to another
    order.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Backwards:
    ...     def plan(self, rows, *, seed, epoch):
    ...         return EpochPlan(np.array([0, rows.n]), lambda i: np.arange(rows.n)[::-1])
    >>> next(iter(store.generator(3, sampler=Backwards())))["index"].tolist()
    [399, 398, 397]
    """

    def plan(self, rows: Rows, *, seed: int, epoch: int) -> EpochPlan:
        """Return the row stream of an epoch.

        Parameters
        ----------
        rows
            How many rows there are in each dataset, and what obs says of them.
        seed, epoch
            What the order may depend on besides: on nothing else, so that it is the same in
            every process and on every machine.
        """


def even_windows(n: int, window: int) -> NDArray[np.int64]:
    """Return the boundaries of windows of equal length; the last may be shorter."""
    return np.append(np.arange(0, n, window), n).astype(np.int64)
