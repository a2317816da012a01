"""Interleave: batches of several generators in one stream."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dao.arguments import any_seed, mapping, number, shown, whole
from dao.batches.glance import interleaved_glance
from dao.errors import ArgumentError, near_matches
from dao.samplers.deal import deal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from dao.batches.ahead import Ahead

__all__ = ["Interleaved", "interleave"]

_METHODS = ("ahead", "set_epoch", "state_dict", "load_state_dict")


class Batches(Protocol):
    """What can be interleaved: a `dao.Generator`, or what its ``torch()`` returns."""

    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...
    def ahead(self) -> Ahead: ...
    def set_epoch(self, epoch: int) -> None: ...
    def state_dict(self, n_batches: int | None = None) -> dict[str, Any]: ...
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
    Pairs (name, batch), one epoch for each ``iter``, with a length, `set_epoch` and states. Of
    datasets of torch it is an ``IterableDataset`` itself, also for DataLoader workers.

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
    seed = any_seed(seed)
    made = Interleaved
    if "torch" in sys.modules:
        from dao.batches.torch_interleave import TorchInterleaved, are_torch

        made = TorchInterleaved if are_torch(generators) else Interleaved
    return made(dict(generators), weights, seed)


class Interleaved:
    """Batches of several generators in one stream; made by `interleave`."""

    def __init__(
        self, generators: Mapping[str, Batches], weights: Mapping[str, float] | None, seed: int
    ) -> None:
        self.generators = generators
        self.weights = weights
        self.seed = seed
        # Epoch, batches before, turns and batches of the iterator that was made last.
        self._given: tuple[int, int, NDArray[np.int64], int] | None = None

    def __repr__(self) -> str:
        return str(interleaved_glance(self))

    def _repr_html_(self) -> str:
        return interleaved_glance(self).html

    def __len__(self) -> int:
        """Return how many batches the next ``iter`` gives, over all workers of this rank."""
        _, done, turns = self._turns()
        if done and not len(turns):
            return int(self._counts([a.n_batches for a in self._ahead()]).sum())
        return len(turns)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        epoch, done, turns = self._turns()
        if done and not len(turns) and not self._is_part:
            self.set_epoch(epoch + 1)
            epoch, done, turns = self._turns()
        iterators = []
        for place, (name, part) in enumerate(self.generators.items()):
            if place in turns or self._is_part:
                iterators.append((name, iter(part)))
            else:
                part.set_epoch(epoch + 1)  # of this one everything has been given
                iterators.append((name, iter(())))
        return self._run(turns, iterators, epoch, done)

    @property
    def _is_part(self) -> bool:
        """Whether this is one of several processes that share an epoch, and must not end it."""
        return False

    def _turns(self) -> tuple[int, int, NDArray[np.int64]]:
        """Return the next epoch, how many of its batches are done, and whose the others are.

        A loaded state goes on with the same turns. Where ranks or workers have divided what is
        left of it, turns are dealt for that.
        """
        ahead = self._ahead()
        epoch = ahead[0].epoch
        done = np.array([a.n_batches - a.n_left for a in ahead], np.int64)
        turns = deal(self._counts([a.n_batches for a in ahead]), self.seed, epoch, "turns")
        n_done = int(done.sum())
        if n_done < 0 or (done != np.bincount(turns[:n_done], minlength=len(done))).any():
            left = self._counts([a.n_left for a in ahead])
            return epoch, 0, deal(left, self.seed, epoch, "turns")
        return epoch, n_done, turns[n_done:]

    def _ahead(self) -> list[Ahead]:
        return [part.ahead() for part in self.generators.values()]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_given": None}

    def set_epoch(self, epoch: int) -> None:
        """Make the next ``iter`` this epoch of all generators (0 is the first)."""
        epoch = whole("epoch", epoch)
        for generator in self.generators.values():
            generator.set_epoch(epoch)
        self._given = None

    def state_dict(self, n_batches: int | None = None) -> dict[str, Any]:
        """Return where the stream is: small, plain values that JSON can hold.

        Parameters
        ----------
        n_batches
            Batches of the iterator that was made last that were used; None for all that it gave,
            also the one that is being trained on (see `dao.Generator.state_dict`).

        Raises
        ------
        dao.errors.ArgumentError
            If it has not given so many.
        """
        n_batches = None if n_batches is None else whole("n_batches", n_batches)
        if self._given is None:
            if n_batches:
                msg = f"n_batches={n_batches!r}: the iterator that was made last has given 0."
                raise ArgumentError(msg)
            states = {name: part.state_dict() for name, part in self.generators.items()}
            epoch, done = self._turns()[:2]
            return {"epoch": epoch, "batch": done, "generators": states}
        epoch, before, turns, given = self._given
        if n_batches is not None and n_batches > given:
            msg = f"n_batches={n_batches!r}: the iterator that was made last has given {given}."
            raise ArgumentError(msg)
        used = given if n_batches is None else n_batches
        counts = np.bincount(turns[:used], minlength=len(self.generators)).tolist()
        states = {
            name: part.state_dict(None if n_batches is None else count)
            for (name, part), count in zip(self.generators.items(), counts, strict=True)
        }
        return {"epoch": epoch, "batch": before + used, "generators": states}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Make the next ``iter`` continue where a `state_dict` was taken.

        Raises
        ------
        dao.errors.ArgumentError
            If it is of other generators.
        """
        found = self._checked(list(_states(state)))
        for name, generator in self.generators.items():
            states = [one["generators"][name] for one in found]
            generator.load_state_dict({"states": states})
        self._given = None

    def _checked(self, states: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return states of these generators."""
        own = sorted(self.generators)
        for one in states or [{"generators": {}}]:
            other = sorted(one["generators"])
            if own != other:
                msg = f"This state is of the generators {other}, not of {own}."
                raise ArgumentError(msg)
        return states

    def _run(
        self,
        turns: NDArray[np.int64],
        iterators: Sequence[tuple[str, Iterator[Any]]],
        epoch: int,
        before: int,
    ) -> Iterator[tuple[str, Any]]:
        self._given = epoch, before, turns, 0
        return self._batches(turns, iterators, epoch, before)

    def _batches(
        self,
        turns: NDArray[np.int64],
        iterators: Sequence[tuple[str, Iterator[Any]]],
        epoch: int,
        before: int,
    ) -> Iterator[tuple[str, Any]]:
        for given, turn in enumerate(turns.tolist(), start=1):
            name, batches = iterators[turn]
            batch = next(batches)
            self._given = epoch, before, turns, given
            yield name, batch
            del batch

    def _counts(self, n_batches: Sequence[int]) -> NDArray[np.int64]:
        """Return how many batches each generator gives, of those that it has."""
        lengths = np.array(n_batches, np.int64)
        if self.weights is None:
            return lengths
        weights = np.array([self.weights[name] for name in self.generators], np.float64)
        counts = (weights * (lengths / weights).min()).astype(np.int64)
        return np.asarray(np.minimum(lengths, counts), np.int64)


def _states(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the states in a state, also where that is inside of a DataLoader's."""
    if isinstance(value, Mapping):
        if "generators" in value:
            yield value
            return
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _states(part)


def _check(generators: Mapping[str, Batches], weights: Mapping[str, float] | None) -> None:
    example = "{'blood': blood.generator(64), 'gut': gut.generator(64)}"
    for name, part in mapping("generators", generators, example).items():
        if isinstance(part, type) or not all(hasattr(part, method) for method in _METHODS):
            msg = f"generators: {name!r} is {shown(part)}: pass a generator, as in {example}."
            raise ArgumentError(msg)
    if not generators:
        msg = f"generators={{}}: there is nothing to interleave. Pass a dict, as in {example}."
        raise ArgumentError(msg)
    if weights is None:
        return
    for name in mapping("weights", weights, "{'blood': 2, 'gut': 1}"):
        if name not in generators:
            near = near_matches(name, generators)
            msg = f"There is no generator {name!r} to give a weight.{near}"
            raise ArgumentError(msg)
    for name in generators:
        if name not in weights:
            msg = f"weights={shown(weights)}: give {name!r} a weight, too."
            raise ArgumentError(msg)
        number(f"weights[{name!r}]", weights[name], 0)
