"""The loader that a Trainer iterates over: its epochs, its ranks, its checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader

from dao.batches.course import Course
from dao.batches.turns import course_after_turns
from dao.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dao.batches.torch import TorchBatches

__all__ = ["StoreLoader"]


class StoreLoader:
    """Whole batches, one epoch per ``iter``: the one that somebody else counts.

    A Trainer asks for an iterator before it knows its epoch, and more often than it has epochs.
    So the epoch is asked for when the first batch is. The state is that after the batch that was
    trained on last: a checkpoint that is saved within a training step continues with its batch.

    Parameters
    ----------
    batches
        What is streamed.
    epoch
        Returns the number of the epoch to give.
    num_workers, multiprocessing_context, pin_memory, persistent_workers
        As of ``torch.utils.data.DataLoader``; 0 workers for the threads of this process.
    in_flight
        Returns how many of the batches that were handed out last are not trained on yet.
    """

    def __init__(
        self,
        batches: TorchBatches,
        epoch: Callable[[], int],
        *,
        num_workers: int = 0,
        multiprocessing_context: str | None = None,
        pin_memory: bool = False,
        persistent_workers: bool = False,
        in_flight: Callable[[], int] = lambda: 0,
    ) -> None:
        self.batches = batches
        self.num_workers = num_workers
        self._epoch = epoch
        self._in_flight = in_flight
        self._source: TorchBatches | DataLoader[Any] = batches
        if num_workers or pin_memory:
            self._source = DataLoader(
                batches,
                batch_size=None,
                num_workers=num_workers,
                multiprocessing_context=multiprocessing_context,
                pin_memory=pin_memory,
                persistent_workers=persistent_workers,
            )
        self._is_loaded = False
        self._begun: Course | None = None
        self._n_given = 0

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch on this rank, as Trainers count them."""
        return self.batches.source.stream(Course(self._epoch())).n_batches

    def __iter__(self) -> Iterator[Any]:
        generator, epoch = self.batches.source, self._epoch()
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
        source = self.batches.source
        if self._begun is None:
            return source.state_of(source.course(source.epoch))
        n_workers = max(1, self.num_workers)
        n_trained = max(0, self._n_given - self._in_flight())
        return source.state_of(course_after_turns(source, self._begun, n_workers, n_trained))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where a `state_dict` was taken.

        Raises
        ------
        dao.errors.ArgumentError
            If it is of another stream; names what differs.
        """
        self.batches.load_state_dict(state)
        self._is_loaded, self._begun = True, None


def _check_world_size(course: Course, world_size: int) -> None:
    if course.is_begun and course.world_size != world_size:
        msg = (
            f"This checkpoint is from the middle of an epoch that {course.world_size} processes "
            f"began, and a Trainer of {world_size} would miscount the rest of its batches. Use as "
            "many processes, or a checkpoint from the end of an epoch."
        )
        raise ArgumentError(msg)
