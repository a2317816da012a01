"""The loader that a Trainer iterates over: its epochs, its ranks, its checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader

from dao.batches.share import Share
from dao.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dao.batches.course import Course
    from dao.batches.generator import Generator
    from dao.batches.torch import TorchBatches

__all__ = ["StoreLoader"]


class StoreLoader:
    """Whole batches, one epoch per ``iter``: the one that somebody else counts.

    A Trainer asks for an iterator before it knows its epoch, and more often than it has epochs.
    So the epoch is asked for when the first batch is. The state is that after the batch handed
    out last: Lightning takes it when it has trained on a batch, before it asks for the next.

    Parameters
    ----------
    batches
        What is streamed.
    epoch
        Returns the number of the epoch to give.
    num_workers, multiprocessing_context
        As of ``torch.utils.data.DataLoader``; 0 for the threads of this process.
    """

    def __init__(
        self,
        batches: TorchBatches,
        epoch: Callable[[], int],
        *,
        num_workers: int = 0,
        multiprocessing_context: str | None = None,
    ) -> None:
        self.batches = batches
        self.num_workers = num_workers
        self._epoch = epoch
        self._source: TorchBatches | DataLoader[Any] = batches
        if num_workers:
            self._source = DataLoader(
                batches,
                batch_size=None,
                num_workers=num_workers,
                multiprocessing_context=multiprocessing_context,
            )
        self._is_loaded = False
        self._begun: Course | None = None
        self._n_given = 0

    def __len__(self) -> int:
        """Return the number of batches of one epoch on this rank."""
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        generator, epoch = self.batches.generator, self._epoch()
        if not self._is_loaded or generator.epoch != epoch:
            self.batches.set_epoch(epoch)
        self._is_loaded = False
        self._begun, self._n_given = generator.course(epoch), 0
        _check_world_size(self._begun, generator.share.world_size)
        for batch in self._source:
            self._n_given += 1
            yield batch
            del batch

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream is: small, plain values that JSON can hold.

        It is good for all ranks, and for any number of workers.
        """
        state = self.batches.state_dict()
        if not self.num_workers or self._begun is None:
            return state
        course = after_turns(self.batches.generator, self._begun, self.num_workers, self._n_given)
        return {**state, **course.to_json()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where a `state_dict` was taken.

        Raises
        ------
        dao.errors.ArgumentError
            If it is of another stream; names what differs.
        """
        self.batches.load_state_dict(state)
        self._is_loaded, self._begun = True, None


def after_turns(generator: Generator, course: Course, n_workers: int, n_batches: int) -> Course:
    """Return the course after the workers of a DataLoader have given out so many batches.

    They take turns, in the order of their numbers; those that have no batch left are passed over.

    Parameters
    ----------
    generator
        What they stream.
    course
        How far the epoch had come before.
    n_workers, n_batches
        How many workers, and how many batches all of them have given.
    """
    own = generator.share
    shares = [Share(own.rank, own.world_size, worker, n_workers) for worker in range(n_workers)]
    streams = [generator.stream(course, share) for share in shares]
    left = [stream.n_batches for stream in streams]
    course = streams[0].course
    turn = 0
    for _ in range(min(n_batches, sum(left))):
        while not left[turn % n_workers]:
            turn += 1
        left[turn % n_workers] -= 1
        turn += 1
    for worker, stream in enumerate(streams):
        course = course.after(worker, stream.n_batches - left[worker])
    return course


def _check_world_size(course: Course, world_size: int) -> None:
    if any(course.done) and course.world_size != world_size:
        msg = (
            f"This checkpoint is from the middle of an epoch that {course.world_size} processes "
            f"began, and a Trainer of {world_size} would miscount the rest of its batches. Use as "
            "many processes, or a checkpoint from the end of an epoch."
        )
        raise ArgumentError(msg)
