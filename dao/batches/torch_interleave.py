"""Interleaved streams as a torch dataset, so that DataLoader workers take it apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import IterableDataset

from dao.batches.course import Course
from dao.batches.dispatch import asked_by_dispatcher
from dao.batches.interleave import Interleaved
from dao.batches.share import worker_of
from dao.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from dao.batches.ahead import Ahead

__all__ = ["TorchInterleaved", "are_torch"]


def are_torch(datasets: Mapping[str, Any]) -> bool:
    """Whether all of these are iterable datasets of torch."""
    return all(isinstance(dataset, IterableDataset) for dataset in datasets.values())


class TorchInterleaved(Interleaved, IterableDataset[Any]):
    """Pairs (name, batch) for ``DataLoader(dataset, batch_size=None)``; made by `interleave`.

    Each worker interleaves its own parts of the datasets. But where all of these are in store
    order, workers take turns, so that batches come in the order of one process.
    """

    _done_in_turn = 0  # batches that this worker has given of a state that it was given

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        worker = worker_of()
        if worker is None or not self._takes_turns:
            return super().__iter__()
        number, n_workers, _ = worker
        epoch, before, turns = self._turns()
        states = {name: _of_rank(part) for name, part in self.generators.items()}
        own = np.arange(number + self._done_in_turn * n_workers, len(turns), n_workers)
        done, self._done_in_turn = self._done_in_turn, 0
        iterators = []
        for place, (name, part) in enumerate(self.generators.items()):
            numbers = np.cumsum(turns == place) - 1
            chosen = numbers[own[turns[own] == place]]
            iterators.append((name, _begin(part, chosen)))
        self._in_turn = {"worker": number, "n_workers": n_workers, "before": done}
        self._states = states
        return self._run(turns[own], iterators, epoch, before)

    def set_epoch(self, epoch: int) -> None:
        """Make the next ``iter`` this epoch of all datasets (0 is the first).

        Raises
        ------
        dao.errors.ArgumentError
            If accelerate asks, which cannot hand out pairs to other processes.
        """
        if asked_by_dispatcher():
            msg = (
                "accelerate cannot hand out pairs (name, batch) to other processes: iterate over "
                "the loader without accelerator.prepare(loader)."
            )
            raise ArgumentError(msg)
        super().set_epoch(epoch)

    @property
    def _is_part(self) -> bool:
        return worker_of() is not None

    @property
    def _takes_turns(self) -> bool:
        return all(getattr(part, "takes_turns", False) for part in self.generators.values())

    def _ahead(self) -> list[Ahead]:
        if self._is_part and self._takes_turns:
            return [part.source.ahead(of_rank=True) for part in _sources(self)]
        return super()._ahead()

    def state_dict(self, n_batches: int | None = None) -> dict[str, Any]:
        """Return where the stream is; in a DataLoader worker, where that worker is."""
        if not (self._is_part and self._takes_turns and self._given is not None):
            return super().state_dict(n_batches)
        epoch, before, _, given = self._given
        turns = {**self._in_turn, "done": self._in_turn["before"] + given}
        return {"epoch": epoch, "batch": before, "turns": turns, "generators": self._states}

    def _checked(self, states: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return states of these generators, as if one process had given the batches."""
        states = super()._checked(states)
        self._done_in_turn = 0
        turns = [one["turns"] for one in states if "turns" in one]
        if not turns:
            return states
        worker = worker_of()
        if worker is not None and [t["worker"] for t in turns] == [worker[0]]:
            self._done_in_turn = int(turns[0]["done"])
            return states
        return [self._together(states, turns)]

    def _together(
        self, states: list[Mapping[str, Any]], turns: Sequence[Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        """Return the state of one process after what workers in turn have given together."""
        n_workers = int(turns[0]["n_workers"])
        done = {int(turn["worker"]): int(turn["done"]) for turn in turns}
        n = sum(done.values())
        expected = {w: (n - w + n_workers - 1) // n_workers for w in range(n_workers)}
        if done != expected:
            msg = (
                f"This state is of {len(done)} of {n_workers} DataLoader workers, or they did not "
                "take turns. Pass the whole state of a StatefulDataLoader, with in_order=True."
            )
            raise ArgumentError(msg)
        for name, part in self.generators.items():
            part.load_state_dict(states[0]["generators"][name])
        left = super()._turns()[2]
        counts = np.bincount(left[:n], minlength=len(self.generators)).tolist()
        after = {
            name: _after(state, count)
            for (name, state), count in zip(states[0]["generators"].items(), counts, strict=True)
        }
        return {**states[0], "generators": after}


def _sources(stream: Interleaved) -> list[Any]:
    return list(stream.generators.values())


def _begin(part: Any, numbers: NDArray[np.int64]) -> Iterator[Any]:
    batches: Iterator[Any] = part.begin(numbers)
    return batches


def _of_rank(part: Any) -> dict[str, Any]:
    """Return the state of a dataset as its rank is about to begin."""
    source = part.source
    course = source.course(source.ahead(of_rank=True).epoch)
    state: dict[str, Any] = source.state_of(source.stream(course).course)
    return state


def _after(state: Mapping[str, Any], n_batches: int) -> dict[str, Any]:
    return {**state, **Course.from_json(state).after(0, n_batches).to_json()}
