"""Interleave: batches of several generators in one stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dao.errors import ArgumentError, near_matches
from dao.samplers.deal import deal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Interleaved", "interleave"]


class Batches(Protocol):
    """What can be interleaved: a `dao.Generator`, or what its ``torch()`` returns."""

    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...
    def set_epoch(self, epoch: int) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


def interleave(
    generators: Mapping[str, Batches], weights: Mapping[str, float] | None = None, *, seed: int = 0
) -> Interleaved:
    """Return one stream of the batches of several generators, for example one for each organism.

    Parameters
    ----------
    generators
        Name -> generator, or dataset of `dao.Store.torch`.
    weights
        Name -> how many batches it gives in proportion to the others; the epoch ends before one
        would have to begin again. None: as many as it has, so that all end together.
    seed
        Of the order.

    Returns
    -------
    Pairs (name, batch), one epoch for each ``iter``, with a length, `set_epoch` and states.

    Raises
    ------
    dao.errors.ArgumentError
        If there is no generator, or weights are not those of the generators.

    Examples
    --------
    >>> import dao
    >>> blood, gut = store.subset(dataset="blood"), store.subset(dataset="gut")
    >>> both = dao.interleave({"blood": blood.generator(100), "gut": gut.generator(50)})
    >>> sorted(name for name, batch in both)
    ['blood', 'blood', 'gut', 'gut', 'gut', 'gut']
    """
    _check(generators, weights)
    return Interleaved(dict(generators), weights, seed)


class Interleaved:
    """Batches of several generators in one stream; made by `interleave`."""

    def __init__(
        self, generators: Mapping[str, Batches], weights: Mapping[str, float] | None, seed: int
    ) -> None:
        self.generators = generators
        self.weights = weights
        self.seed = seed
        self._next = 0, 0  # epoch, and how many of its batches are done
        self._given: tuple[int, int] | None = None  # the same of the iterator made last

    def __len__(self) -> int:
        """Return the number of batches of one epoch."""
        return int(self._counts().sum())

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        epoch, done = self._next
        if done and done >= len(self):
            self.set_epoch(epoch + 1)
            epoch, done = self._next
        self._next, self._given = (epoch + 1, 0), (epoch, done)
        iterators = [(name, iter(generator)) for name, generator in self.generators.items()]
        turns = deal(self._counts(), self.seed, epoch, "turns")[done:]
        return self._run([iterators[turn] for turn in turns.tolist()], epoch, done)

    def set_epoch(self, epoch: int) -> None:
        """Make the next ``iter`` this epoch of all generators (0 is the first)."""
        for generator in self.generators.values():
            generator.set_epoch(epoch)
        self._next, self._given = (epoch, 0), None

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream is: small, plain values that JSON can hold."""
        epoch, done = self._given or self._next
        states = {name: generator.state_dict() for name, generator in self.generators.items()}
        return {"epoch": epoch, "batch": done, "generators": states}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Make the next ``iter`` continue where a `state_dict` was taken.

        Raises
        ------
        dao.errors.ArgumentError
            If it is of other generators.
        """
        own, other = sorted(self.generators), sorted(state.get("generators", {}))
        if own != other:
            msg = f"This state is of the generators {other}, not of {own}."
            raise ArgumentError(msg)
        for name, generator in self.generators.items():
            generator.load_state_dict(state["generators"][name])
        self._next, self._given = (int(state["epoch"]), int(state["batch"])), None

    def _run(
        self, turns: Sequence[tuple[str, Iterator[Any]]], epoch: int, done: int
    ) -> Iterator[tuple[str, Any]]:
        for number, (name, batches) in enumerate(turns, start=done + 1):
            batch = next(batches)
            self._given = epoch, number
            yield name, batch
            del batch

    def _counts(self) -> NDArray[np.int64]:
        """Return how many batches each generator gives in an epoch."""
        lengths = np.array([len(generator) for generator in self.generators.values()], np.int64)
        if self.weights is None:
            return lengths
        weights = np.array([self.weights[name] for name in self.generators], np.float64)
        counts = (weights * (lengths / weights).min()).astype(np.int64)
        return np.asarray(np.minimum(lengths, counts), np.int64)


def _check(generators: Mapping[str, Batches], weights: Mapping[str, float] | None) -> None:
    if not generators:
        msg = "There is nothing to interleave."
        raise ArgumentError(msg)
    if weights is None:
        return
    for name in weights:
        if name not in generators:
            near = near_matches(name, generators)
            msg = f"There is no generator {name!r} to give a weight.{near}"
            raise ArgumentError(msg)
    for name in generators:
        if not 0 < weights.get(name, 0) < np.inf:
            msg = f"Give {name!r} a weight above 0."
            raise ArgumentError(msg)
