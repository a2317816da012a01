"""Stream: the rows that one process visits in an epoch, and where their batches end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.batches.course import total

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from dao.batches.course import Course, Stretches
    from dao.samplers import EpochPlan

__all__ = ["Stream", "whole_stream"]


def whole_stream(plan: EpochPlan, batch_size: int | None, *, drop_last: bool) -> Stretches:
    """Return the units of an epoch: rows, or batches where the sampler says what they are.

    With ``drop_last`` and a batch size only full ones of the sampler's batches take part.
    """
    if plan.batches is None:
        return ((0, plan.n_rows),) if plan.n_rows else ()
    n_batches = len(plan.batches) - 1
    if not drop_last or batch_size is None:
        return ((0, n_batches),) if n_batches else ()
    full = np.concatenate([[False], np.diff(plan.batches) == batch_size, [False]])
    edges = np.flatnonzero(full[1:] != full[:-1]).tolist()
    return tuple(zip(edges[::2], edges[1::2], strict=True))


@dataclass(frozen=True)
class Stream:
    """What one process visits in an epoch.

    Attributes
    ----------
    plan
        The order of the whole epoch.
    course
        How far it has come at the begin of this stream.
    worker
        Which DataLoader worker this is.
    stretches
        Rows of the plan's stream, in the order of visit.
    size
        Rows in a batch, where all have the same number; else None.
    own_ends
        int64: where each batch ends in this stream, where they are of different sizes.
    """

    plan: EpochPlan
    course: Course
    worker: int
    stretches: Stretches
    size: int | None
    own_ends: NDArray[np.int64] | None = None

    @classmethod
    def of(
        cls, plan: EpochPlan, course: Course, worker: int, units: Stretches, size: int | None
    ) -> Stream:
        """Return the stream of these units of an epoch (see `whole_stream`)."""
        if plan.batches is None:
            return cls(plan, course, worker, units, size)
        lengths = [np.diff(plan.batches[a : b + 1]) for a, b in units]
        ends = np.cumsum(np.concatenate([np.empty(0, np.int64), *lengths]))
        rows = tuple((int(plan.batches[a]), int(plan.batches[b])) for a, b in units)
        return cls(plan, course, worker, rows, None, ends)

    @cached_property
    def n_rows(self) -> int:
        """Rows to visit."""
        return total(self.stretches)

    @property
    def n_batches(self) -> int:
        """Batches to give out."""
        if self.own_ends is not None:
            return len(self.own_ends)
        return -(-self.n_rows // self.size) if self.size else 0

    @property
    def full_batches_only(self) -> bool:
        """Whether all batches are known to have the same number of cells."""
        return self.size is not None and self.n_rows % self.size == 0

    def ends(self, start: int, stop: int) -> NDArray[np.int64]:
        """Return where batches end among the rows after ``start`` and up to ``stop``."""
        if self.own_ends is not None:
            low, high = np.searchsorted(self.own_ends, [start, stop], side="right")
            return self.own_ends[low:high]
        size = self.size or 1
        ends = np.arange(start // size + 1, stop // size + 1, dtype=np.int64) * size
        # The last batch ends with the stream, full or not.
        return np.append(ends, stop) if stop == self.n_rows and stop % size else ends

    def rows(self) -> Iterator[NDArray[np.int64]]:
        """Yield the rows, at most a window at a time."""
        for start, stop in self.stretches:
            yield from self.plan.rows(start, stop)

    def course_after(self, n_batches: int) -> Course:
        """Return the course after so many batches of this stream."""
        return self.course.after(self.worker, n_batches)

    def extras(self, n_rows: int) -> Mapping[str, NDArray[Any]]:
        """Return what a batch of so many rows carries besides."""
        return self.plan.extras(n_rows) if self.plan.extras else {}
