"""Course: how far an epoch has come, and what is left of it for whom.

An epoch is a stream of units: rows, or batches where the sampler says what they are. Everything
here is arithmetic on places in that stream, so that all ranks and workers, now and after a resume,
come to the same result without talking to each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dao.batches.share import Share
from dao.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Course", "Stretches", "cut", "total", "united"]

# Places in the stream, [start, stop), that follow each other.
Stretches = tuple[tuple[int, int], ...]


def total(stretches: Stretches) -> int:
    """Return the number of units in stretches."""
    return sum(stop - start for start, stop in stretches)


def cut(stretches: Stretches, start: int, stop: int) -> Stretches:
    """Return the units ``start`` to ``stop`` of stretches, which begin again after their end."""
    length = total(stretches)
    found: list[tuple[int, int]] = []
    base = start - start % length if length else stop
    while base < stop:
        for a, b in stretches:
            low, high = max(start, base), min(stop, base + b - a)
            if low < high:
                found.append((a + low - base, a + high - base))
            base += b - a
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Course:
    """An epoch that was begun by some ranks and workers.

    Attributes
    ----------
    epoch
        0 is the first.
    left
        What was left of the stream when they began; None for all of it.
    world_size
        How many ranks began.
    done
        Batches that each DataLoader worker has given out since, in every rank: ranks go in step.
        None for a worker of which nothing is known.
    """

    epoch: int
    left: Stretches | None = None
    world_size: int = 1
    done: tuple[int | None, ...] = (0,)

    def begun_by(
        self, share: Share, whole: Stretches, batch: int, *, drop_last: bool
    ) -> tuple[Course, Stretches]:
        """Return the course as the given ranks and workers go on with it, and what one visits.

        The same ranks and workers continue exactly where they were. If their numbers have
        changed, they divide what is left anew.

        Parameters
        ----------
        share
            Which of them is asking.
        whole
            The stream of the epoch.
        batch
            Units in a batch.
        drop_last
            See `Share.interval`.

        Raises
        ------
        dao.errors.ArgumentError
            If it is not known how far each worker has come.
        """
        course = self
        if (self.world_size, len(self.done)) != (share.world_size, share.n_workers):
            fresh = all(d == 0 for d in self.done)
            left = self.left if fresh else self._rest(whole, batch, drop_last=drop_last)
            course = Course(self.epoch, left, share.world_size, (0,) * share.n_workers)
        done = course.done[share.worker]
        if done is None:
            raise ArgumentError(_ONE_WORKER)
        left = whole if course.left is None else course.left
        start, stop = share.interval(total(left), batch, drop_last=drop_last)
        return course, cut(left, min(stop, start + done * batch), stop)

    def _rest(self, whole: Stretches, batch: int, *, drop_last: bool) -> Stretches:
        left = whole if self.left is None else self.left
        length, n_workers = total(left), len(self.done)
        found: list[tuple[int, int]] = []
        end = 0
        for rank in range(self.world_size):
            for worker, done in enumerate(self.done):
                if done is None:
                    raise ArgumentError(_ONE_WORKER)
                share = Share(rank, self.world_size, worker, n_workers)
                start, end = share.interval(length, batch, drop_last=drop_last)
                # What lies beyond the end was added to give all ranks the same number.
                found += cut(left, min(start + done * batch, end, length), min(end, length))
        return _merged([*found, *cut(left, min(end, length), length)])

    def after(self, worker: int, n_batches: int) -> Course:
        """Return the course after a worker has given out so many more batches."""
        done = list(self.done)
        done[worker] = (done[worker] or 0) + n_batches
        return replace(self, done=tuple(done))

    def to_json(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        left = None if self.left is None else [list(s) for s in self.left]
        return {
            "epoch": self.epoch,
            "left": left,
            "world_size": self.world_size,
            "done": list(self.done),
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Course:
        """Return the course of which `to_json` was taken."""
        left = state["left"]
        stretches = None if left is None else tuple((int(a), int(b)) for a, b in left)
        done = tuple(None if d is None else int(d) for d in state["done"])
        return cls(int(state["epoch"]), stretches, int(state["world_size"]), done)


def united(courses: Sequence[Course]) -> Course:
    """Return what the workers of one DataLoader know together.

    Raises
    ------
    dao.errors.ArgumentError
        If they are not of the same epoch of the same DataLoader.
    """
    first = courses[0]
    done = list(first.done)
    for course in courses[1:]:
        if replace(course, done=()) != replace(first, done=()) or len(course.done) != len(done):
            msg = "These states were not taken at the same time of the same DataLoader."
            raise ArgumentError(msg)
        done = [new if old is None else old for old, new in zip(done, course.done, strict=True)]
    return replace(first, done=tuple(done))


def _merged(stretches: list[tuple[int, int]]) -> Stretches:
    found: list[tuple[int, int]] = []
    for start, stop in stretches:
        if found and found[-1][1] == start:
            found[-1] = found[-1][0], stop
        else:
            found.append((start, stop))
    return tuple(found)


_ONE_WORKER = (
    "This state is that of one DataLoader worker, which does not know how far the others have "
    "come. With the same number of workers give each its own, as torchdata's StatefulDataLoader "
    "does; with another load the state of the whole DataLoader into the dataset before they start."
)
