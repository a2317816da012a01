"""Stream: the rows that one process visits in an epoch, and where their batches end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from dao.batches.course import total
from dao.cached import cached_property

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
    n_repeated
        How many rows at the end are there a second time, so that all ranks have as many.
    may_repeat
        Whether there may be such rows in any rank, so that batches name them.
    """

    plan: EpochPlan
    course: Course
    worker: int
    stretches: Stretches
    size: int | None
    own_ends: NDArray[np.int64] | None = None
    n_repeated: int = 0
    may_repeat: bool = False

    @classmethod
    def of(
        cls,
        plan: EpochPlan,
        course: Course,
        worker: int,
        units: Stretches,
        size: int | None,
        *,
        numbers: NDArray[np.int64] | None = None,
        n_repeated: int = 0,
        may_repeat: bool = False,
    ) -> Stream:
        """Return the stream of these units of an epoch (see `whole_stream`).

        Parameters
        ----------
        plan, course, worker, size, may_repeat
            As of the stream.
        units
            What to visit.
        numbers
            Which batches of the units to visit, ascending; None for all.
        n_repeated
            How many units at the end are there a second time.
        """
        if plan.batches is not None:
            return cls._of_batches(plan, course, worker, units, numbers, n_repeated, may=may_repeat)
        n_new, n = total(units) - n_repeated, total(units)
        if numbers is None:
            return cls(plan, course, worker, units, size, None, n_repeated, may_repeat)
        starts = numbers * (size or 1)
        stops = np.minimum(starts + (size or 1), n)
        repeated = int(np.maximum(0, stops - np.maximum(starts, n_new)).sum())
        rows = _chosen(units, starts, stops)
        return cls(plan, course, worker, rows, size, None, repeated, may_repeat)

    @classmethod
    def _of_batches(
        cls,
        plan: EpochPlan,
        course: Course,
        worker: int,
        units: Stretches,
        numbers: NDArray[np.int64] | None,
        n_repeated: int,
        *,
        may: bool,
    ) -> Stream:
        bounds = cast("NDArray[np.int64]", plan.batches)
        parts = [np.empty(0, np.int64), *(np.arange(a, b) for a, b in units)]
        batch = np.concatenate(parts)
        is_repeated = np.arange(len(batch)) >= len(batch) - n_repeated
        if numbers is not None:
            batch, is_repeated = batch[numbers], is_repeated[numbers]
        lengths = bounds[batch + 1] - bounds[batch]
        # Batches that follow each other are one stretch.
        begins = np.flatnonzero(np.diff(batch, prepend=-2) != 1)
        lasts = np.append(begins[1:], len(batch)) - 1 if len(batch) else begins
        first, last = bounds[batch[begins]].tolist(), bounds[batch[lasts] + 1].tolist()
        rows = tuple(zip(first, last, strict=True))
        repeated = int(lengths[is_repeated].sum())
        return cls(plan, course, worker, rows, None, np.cumsum(lengths), repeated, may)

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

    @property
    def shortest(self) -> int:
        """Cells of the smallest batch; 0 if there is none."""
        if self.own_ends is not None:
            return int(np.diff(self.own_ends, prepend=0).min(initial=self.n_rows))
        if self.size is None or self.n_rows < self.size:
            return self.n_rows
        return self.n_rows % self.size or self.size

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
        """Yield the rows, at most a window at a time, and short stretches together."""
        plan = _remembered(self.plan)
        most = int(np.diff(self.plan.boundaries).max(initial=1))
        waiting: list[NDArray[np.int64]] = []
        n_waiting = 0
        for start, stop in self.stretches:
            for part in plan.rows(start, stop):
                if waiting and n_waiting + len(part) > most:
                    yield _joined(waiting)
                    waiting, n_waiting = [], 0
                waiting.append(part)
                n_waiting += len(part)
        if waiting:
            yield _joined(waiting)

    def place(self, row: int) -> int:
        """Return where a row of this stream comes in the epoch, of all ranks and workers.

        A row that comes a second time is behind the end.
        """
        at = int(np.searchsorted(self._ends_of_stretches, row, side="right"))
        stop = self.stretches[at][1]
        place = int(stop - (self._ends_of_stretches[at] - row))
        return place + (self.plan.n_rows if row >= self.n_rows - self.n_repeated else 0)

    @cached_property
    def _ends_of_stretches(self) -> NDArray[np.int64]:
        lengths = [stop - start for start, stop in self.stretches]
        return np.cumsum(np.array(lengths, np.int64))

    def course_after(self, n_batches: int) -> Course:
        """Return the course after so many batches of this stream."""
        return self.course.after(self.worker, n_batches)

    def extras(self, start: int, n_rows: int) -> Mapping[str, NDArray[Any]]:
        """Return what a batch of so many rows, the first of them ``start``, carries besides."""
        extras = dict(self.plan.extras(n_rows)) if self.plan.extras else {}
        if self.may_repeat:
            rows = np.arange(start, start + n_rows)
            extras["is_padding"] = rows >= self.n_rows - self.n_repeated
        return extras


def _remembered(plan: EpochPlan) -> EpochPlan:
    """Return a plan that remembers its last window."""
    return replace(plan, window=lru_cache(1)(plan.window))


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _chosen(stretches: Stretches, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> Stretches:
    """Return ranges of the units of stretches, which are in order and do not overlap."""
    found: list[tuple[int, int]] = []
    base = 0
    for a, b in stretches:
        end = base + b - a
        low = int(np.searchsorted(stops, base, side="right"))
        high = int(np.searchsorted(starts, end, side="left"))
        first = np.maximum(starts[low:high], base) + (a - base)
        last = np.minimum(stops[low:high], end) + (a - base)
        found += zip(first.tolist(), last.tolist(), strict=True)
        base = end
    return tuple(found)
