"""Course: how far an epoch has come, and what is left of it for whom.

An epoch is a stream of units: rows, or batches where the sampler says what they are. Everything
here is arithmetic on places in that stream, so that all ranks and workers, now and after a resume,
come to the same result without talking to each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.batches.share import Share
from dao.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

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
    before
        Batches of each rank that were given out before these workers began. Only workers that
        take turns count so; others divide what is left.
    by_turns
        Whether workers take turns, batch by batch. Else each visits a part of its own.
    """

    epoch: int
    left: Stretches | None = None
    world_size: int = 1
    done: tuple[int | None, ...] = (0,)
    before: int = 0
    by_turns: bool = False

    @property
    def is_begun(self) -> bool:
        """Whether a batch of these ranks and workers has been given out."""
        return any(self.done) or self.before > 0

    def begun_by(
        self,
        share: Share,
        whole: Stretches,
        batch: int,
        *,
        drop_last: bool,
        pad: bool = True,
        by_turns: bool = False,
    ) -> tuple[Course, Stretches]:
        """Return the course as the given ranks and workers go on with it, and what one visits.

        The same ranks and workers continue exactly where they were. If their numbers have
        changed, they divide what is left. Workers that take turns visit the stretches that are
        returned together: each its batches of them (see `turns`).

        Parameters
        ----------
        share
            Which of them is asking.
        whole
            The stream of the epoch.
        batch
            Units in a batch.
        drop_last, pad
            See `Share.interval`.
        by_turns
            Whether workers take turns from now on.

        Raises
        ------
        dao.errors.ArgumentError
            If it is not known how far each worker has come.
        """
        how = _How(whole, batch, drop_last, pad)
        course = self._of_team(share, how, by_turns=by_turns)
        left, start, stop = course._place(share, how)  # noqa: SLF001 - its own
        return course, cut(left, start, stop)

    def n_repeated(
        self, share: Share, whole: Stretches, batch: int, *, drop_last: bool, pad: bool = True
    ) -> int:
        """Return how many units at the end of what `begun_by` returned are there a second time.

        They give all ranks the same number. Asked of the course that `begun_by` returned.
        """
        left, start, stop = self._place(share, _How(whole, batch, drop_last, pad))
        return max(0, stop - max(start, total(left)))

    def turns(self, share: Share, n_batches: int) -> NDArray[np.int64] | None:
        """Return which batches of its rank's stretches a worker gives; None for all of them."""
        if not self.by_turns or share.n_workers == 1:
            return None
        first = share.worker + (self.done[share.worker] or 0) * share.n_workers
        return np.arange(first, n_batches, share.n_workers, dtype=np.int64)

    def _place(self, share: Share, how: _How) -> tuple[Stretches, int, int]:
        """Return what was left, and from where to where of it one worker, or its rank, goes."""
        done = self.done[share.worker]
        if done is None:
            raise ArgumentError(_ONE_WORKER)
        left = how.whole if self.left is None else self.left
        if not self.by_turns:
            start, stop = how.interval(share, total(left))
            return left, min(stop, start + done * how.batch), stop
        start, stop = how.interval(share.of_rank, total(left))
        n_given = self.before + (done if share.n_workers == 1 else 0)
        return left, min(stop, start + n_given * how.batch), stop

    def _of_team(self, share: Share, how: _How, *, by_turns: bool) -> Course:
        """Return the course as a team goes on: this one, or one in which nobody has done any."""
        n_workers = share.n_workers
        same_ranks = self.world_size == share.world_size
        same_turns = self.by_turns == by_turns or len(self.done) == 1
        # Where turns are taken, those of a new DataLoader begin with its first worker.
        goes_on = not by_turns or n_workers == 1 or None in self.done or not any(self.done)
        if same_ranks and same_turns and len(self.done) == n_workers and goes_on:
            return replace(self, by_turns=by_turns)
        n_given = self._n_given if same_ranks and by_turns and same_turns else None
        fresh = (0,) * n_workers
        if n_given is not None:
            if n_workers == 1:
                return Course(self.epoch, self.left, share.world_size, (n_given,), 0, by_turns)
            return Course(self.epoch, self.left, share.world_size, fresh, n_given, by_turns)
        left = self._rest(how) if self.is_begun else self.left
        return Course(self.epoch, left, share.world_size, fresh, 0, by_turns)

    @property
    def _n_given(self) -> int | None:
        """How many batches of each rank were given, if that were the first ones; else None."""
        done = [self._known(worker) for worker in range(len(self.done))]
        n = sum(done)
        in_turn = [(n - worker + len(done) - 1) // len(done) for worker in range(len(done))]
        return self.before + n if done == in_turn else None

    def _known(self, worker: int) -> int:
        done = self.done[worker]
        if done is None:
            raise ArgumentError(_ONE_WORKER)
        return done

    def _rest(self, how: _How) -> Stretches:
        left = how.whole if self.left is None else self.left
        length = total(left)
        found: list[tuple[int, int]] = []
        end = 0
        for rank in range(self.world_size):
            share = Share(rank, self.world_size)
            end = how.interval(share, length)[1]
            for first, last in self._not_given(share, how, length):
                # What lies beyond the end was added to give all ranks the same number.
                found += cut(left, min(first, end, length), min(last, end, length))
        return _merged([*found, *cut(left, min(end, length), length)])

    def _not_given(self, share: Share, how: _How, length: int) -> Iterator[tuple[int, int]]:
        """Yield from where to where a rank has not given out its units."""
        n_workers = len(self.done)
        if not self.by_turns:
            for worker in range(n_workers):
                part = replace(share, worker=worker, n_workers=n_workers)
                start, end = how.interval(part, length)
                yield start + self._known(worker) * how.batch, end
            return
        start, end = how.interval(share, length)
        following = [
            self.before + worker + self._known(worker) * n_workers for worker in range(n_workers)
        ]
        stop = max(following) - n_workers + 1
        for number in range(min(following), stop):
            if number >= following[(number - self.before) % n_workers]:
                yield start + number * how.batch, start + (number + 1) * how.batch
        yield start + max(stop, min(following)) * how.batch, end

    def after(self, worker: int, n_batches: int) -> Course:
        """Return the course after a worker has given out so many more batches."""
        done = list(self.done)
        done[worker] = (done[worker] or 0) + n_batches
        return replace(self, done=tuple(done))

    def to_json(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        left = None if self.left is None else [list(s) for s in self.left]
        state = {
            "epoch": self.epoch,
            "left": left,
            "world_size": self.world_size,
            "done": list(self.done),
        }
        # One worker does the same with turns and without.
        if self.by_turns and (len(self.done) > 1 or self.before):
            state |= {"by_turns": True, "before": self.before}
        return state

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Course:
        """Return the course of which `to_json` was taken."""
        left = state["left"]
        stretches = None if left is None else tuple((int(a), int(b)) for a, b in left)
        done = tuple(None if d is None else int(d) for d in state["done"])
        turns = int(state.get("before", 0)), bool(state.get("by_turns", False))
        return cls(int(state["epoch"]), stretches, int(state["world_size"]), done, *turns)


@dataclass(frozen=True, slots=True)
class _How:
    """How the units of an epoch are divided."""

    whole: Stretches
    batch: int
    drop_last: bool
    pad: bool

    def interval(self, share: Share, length: int) -> tuple[int, int]:
        return share.interval(length, self.batch, drop_last=self.drop_last, pad=self.pad)


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
    "come. With the same number of workers, load it by torchdata's StatefulDataLoader; with "
    "another number, load the state of the whole DataLoader into the dataset before they start."
)
