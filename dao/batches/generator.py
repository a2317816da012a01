"""The generator: an endless supply of epochs over a selection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dao.arguments import flag, text, whole
from dao.backend import CountingReader, Traffic
from dao.batches.ahead import look_ahead
from dao.batches.automatic import label_function
from dao.batches.batch import ArrayBatch, batches, to_numpy
from dao.batches.budget import Budget
from dao.batches.calls import Calls
from dao.batches.course import Course, total
from dao.batches.epochs import Epochs
from dao.batches.explain import explain
from dao.batches.glance import glance
from dao.batches.prefetch import Prefetcher
from dao.batches.share import Share, found_share, share_in_worker, worker_of
from dao.batches.state import course_of, fingerprint, of_worker, state_of
from dao.batches.stats import Stats
from dao.batches.stream import Stream, whole_stream
from dao.batches.turns import course_after_turns
from dao.batches.windows import windows
from dao.buffers import keep
from dao.cached import cached_property
from dao.errors import ArgumentError
from dao.samplers.mixing import measure_mixing
from dao.threads import n_threads

if TYPE_CHECKING:
    from collections import abc

    import numpy as np
    import tensorflow as tf
    from numpy.typing import NDArray

    from dao.batches.ahead import Ahead
    from dao.batches.fetch import Fetched
    from dao.batches.functions import Functions
    from dao.batches.jax import JaxBatches
    from dao.batches.spec import BatchSpec
    from dao.batches.torch import TorchBatches
    from dao.samplers import EpochPlan, Mixing, Rows, Sampler
    from dao.store import Store

__all__ = ["Generator"]

Convert = Callable[[ArrayBatch], Any]
Item = tuple[Any, int, int]  # a batch, its number of cells, and its first row


@dataclass(eq=False, repr=False)
class Generator:
    """Streams batches of a selection; every ``iter`` is the next epoch.

    Made by `dao.Store.generator`, which documents the arguments. In a DataLoader worker it gives
    the part of that worker, also inside of a dataset of your own.

    Examples
    --------
    >>> generator = store.generator(batch_size=100, obs_keys=["cell_type"])
    >>> batch = next(iter(generator))
    >>> batch["X"].shape, sorted(batch)
    ((100, 300), ['X', 'index', 'layers', 'obs', 'obsm'])
    """

    store: Store
    spec: BatchSpec
    sampler: Sampler
    rows: Rows
    seed: int
    drop_last: bool
    transform: Functions | None
    given_share: Share | None = None
    pad: bool = True
    chosen: Mapping[str, int] = field(default_factory=dict)
    stats: Stats = field(default_factory=Stats)
    _loaded: Course = field(default_factory=lambda: Course(0))
    _epochs: Epochs = field(default_factory=Epochs)
    _given: tuple[Stream, int] | None = None
    _made_in_worker: bool = field(default_factory=lambda: worker_of() is not None)
    _plans: dict[int, EpochPlan] = field(default_factory=dict)

    @property
    def batch_size(self) -> int | None:
        """Cells in a batch (the last may have fewer); None if the sampler decides."""
        return self.spec.batch_size

    @property
    def categories(self) -> dict[str, list[Any]]:
        """Column -> the values behind its codes, the same for every selection of the store."""
        return {n: list(c.categories) for n, c in self.spec.obs.items() if c.categories is not None}

    @property
    def share(self) -> Share:
        """Rank and world size, as given, else of the distributed run that this process is in."""
        return self.given_share or found_share()

    def __len__(self) -> int:
        """Return how many batches the next ``iter`` gives, over all workers of this rank.

        After `load_state_dict` these are the ones that are left of the epoch.
        """
        return self.stream(self.upcoming()).n_batches

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.iterate(to_numpy, self.begin())

    def __repr__(self) -> str:
        """Return a short description."""
        return str(glance(self))

    def _repr_html_(self) -> str:
        return glance(self).html

    def __getstate__(self) -> dict[str, Any]:
        # In a spawned worker there is no process group to ask; and plans cannot be pickled.
        share = self.share
        known = {"given_share": share} if share.world_size > 1 else {}
        own: dict[str, Any] = {"_given": None, "_plans": {}, "_epochs": copy(self._epochs)}
        return {**self.__dict__, **known, **own}

    def set_epoch(self, epoch: int, *, reads_all: bool = False) -> None:
        """Make the next ``iter`` this epoch (0 is the first).

        Parameters
        ----------
        epoch
            Which one.
        reads_all
            Whether the first rank reads the cells of all ranks then, to hand them out itself.

        Examples
        --------
        >>> generator = store.generator(400)
        >>> first, second = (next(iter(generator))["index"] for _ in range(2))
        >>> generator.set_epoch(0)
        >>> bool((next(iter(generator))["index"] == first).all()), bool((first == second).all())
        (True, False)
        """
        epoch, reads_all = whole("epoch", epoch), flag("reads_all", reads_all)
        self._loaded, self._given = Course(epoch), None
        self._epochs.set(epoch, reads_all=reads_all)

    def state_dict(self, n_batches: int | None = None) -> dict[str, Any]:
        """Return where the stream is: small, plain values that JSON can hold.

        It counts the batches that the iterator that was made last has given, also the one that is
        being trained on: in the body of a loop, call this after the step of the optimiser. Before
        it, say how many batches have been trained on: in ``for i, batch in enumerate(batches)``,
        ``state_dict(i)`` continues with this batch and ``state_dict(i + 1)`` with the next. In a
        distributed run take the state at the same step on all ranks: then each rank's is good for
        all.

        Parameters
        ----------
        n_batches
            Batches of that iterator that were used; None for all that it gave. Pass it where
            something between the iterator and you reads ahead, as tf.data, accelerate and
            the workers of a plain DataLoader do.

        Raises
        ------
        dao.errors.ArgumentError
            If it has not given so many, or DataLoader workers have given them and ``n_batches`` is
            None.

        Examples
        --------
        >>> generator = store.generator(100)
        >>> for i, batch in enumerate(generator):
        ...     before, after = generator.state_dict(i), generator.state_dict()
        ...     break
        >>> before["done"], after["done"]
        ([0], [1])
        """
        n_batches = None if n_batches is None else whole("n_batches", n_batches)
        team = self._epochs.team()
        if team is not None:
            return self.state_of(self._after_workers(team, n_batches))
        stream, given = self._given or (None, 0)
        if n_batches is not None and n_batches > given:
            msg = f"n_batches={n_batches!r}: the iterator that was made last has given {given}."
            raise ArgumentError(msg)
        used = given if n_batches is None else n_batches
        worker = worker_of()
        course = self.course(self.epoch) if stream is None else stream.course_after(used)
        state = self.state_of(course)
        return state if worker is None else of_worker(state, worker[0])

    def state_of(self, course: Course) -> dict[str, Any]:
        """Return a course as a state of this stream."""
        return state_of(course, self._fingerprint)

    def _after_workers(self, team: tuple[int, int], n_batches: int | None) -> Course:
        epoch, n_workers = team
        if n_batches is None:
            msg = (
                "The batches of this epoch are given by DataLoader workers, and this process does "
                "not know how many have come. Pass state_dict(n_batches), or use torchdata's "
                "StatefulDataLoader and its state_dict()."
            )
            raise ArgumentError(msg)
        return course_after_turns(self, self.course(epoch), n_workers, n_batches)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Make the next ``iter`` continue where a `state_dict` was taken.

        With the same world size the stream continues exactly; with another one the ranks divide
        what is left of the epoch.

        Parameters
        ----------
        state
            Of `state_dict`, or of a torchdata ``StatefulDataLoader`` whose workers read this.

        Raises
        ------
        dao.errors.ArgumentError
            If the state is of another stream; names what differs.

        Examples
        --------
        >>> generator, again = store.generator(100), store.generator(100)
        >>> stream = iter(generator)
        >>> seen = next(stream)["index"]
        >>> again.load_state_dict(generator.state_dict())
        >>> bool((next(iter(again))["index"] == next(stream)["index"]).all())
        True
        """
        self._loaded, self._given = course_of(state, self._fingerprint), None
        self._epochs.set(self._loaded.epoch, partial=self._loaded.is_begun)

    def explain(self) -> str:
        """Return in words what an epoch reads and how much memory that takes.

        Examples
        --------
        >>> print(store.generator(128).explain().splitlines()[0])
        400 of 400 cells per epoch in 4 batches of 128
        """
        return explain(self)

    def mixing(self, key: str) -> Mixing:
        """Return how varied batches are in an obs column, beside a perfect shuffle.

        Measured on a sample of batches, of several epochs where they are few, with a standard
        error; no matrix is read.

        Parameters
        ----------
        key
            obs column, ``"dataset"`` or ``"organism"``.

        Raises
        ------
        dao.errors.UnknownColumnError
            With the nearest names.

        Examples
        --------
        >>> store.generator(64, obs_keys=["cell_type"]).mixing("cell_type").ratio > 0.95
        True
        """
        labels = label_function(self.store, text("key", key, "cell_type"))
        return measure_mixing(self._planned, self.batch_size, key, labels)

    def torch(self, device: Any = None) -> TorchBatches:
        """Return an `torch.utils.data.IterableDataset` of whole batches.

        Parameters
        ----------
        device
            Where the tensors go, for example ``"cuda"``: copied from pinned memory while the
            device computes, sparse matrices made dense there. Not inside DataLoader workers.

        Raises
        ------
        dao.errors.ArgumentError
            If the device is not there.
        """
        from dao.batches.torch import TorchBatches

        return TorchBatches(self, device)

    def tensorflow(self, *, ragged: bool = False) -> tf.data.Dataset:
        """Return a `tf.data.Dataset` of whole batches, each pass over it the next epoch.

        X is dense, or a ``tf.SparseTensor`` for ``x_format="csr"``. Made after `load_state_dict`
        in the middle of an epoch, the dataset is what is left of that; make another one for the
        epochs after.

        Parameters
        ----------
        ragged
            Whether X and layers as CSR are ``{"indices": ..., "values": ...}`` instead, two
            ``tf.RaggedTensor`` with a row for each cell: half the memory.

        Raises
        ------
        dao.errors.ArgumentError
            If the generator has a function as ``transform`` (use ``dataset.map``), or ``ragged``
            is asked for dense batches.
        """
        from dao.batches.tensorflow import tensorflow_dataset

        return tensorflow_dataset(self, ragged=ragged)

    def jax(self) -> JaxBatches:
        """Return an iterable of batches of `jax` arrays, which share memory with NumPy's.

        X is a ``jax.Array``, or a ``jax.experimental.sparse.BCSR`` for ``x_format="csr"``.

        Raises
        ------
        dao.errors.ArgumentError
            If values need 64 bits and jax is not set to use them.
        """
        from dao.batches.jax import JaxBatches

        return JaxBatches(self)

    # --- for adaptors to frameworks -----------------------------------------------------------

    def ahead(self, *, of_rank: bool = False) -> Ahead:
        """Return what the next ``iter`` is about to give.

        Parameters
        ----------
        of_rank
            Whether to say this of all DataLoader workers of a rank together.
        """
        course = self.course(self._epochs.agree(int))
        return look_ahead(self, course, self.share if of_rank else self.reading_share)

    @property
    def takes_turns(self) -> bool:
        """Whether DataLoader workers take turns, batch by batch."""
        return self.plan(self.epoch).by_turns

    def upcoming(self) -> Course:
        """Return the course of the next `iterate`."""
        return self.course(self._epochs.agree(self._first_left))

    def begin(self) -> Course:
        """Return the course of the next `iterate`, and go on to the epoch after."""
        course = self.upcoming()
        self._epochs.begun(course.epoch)
        return course

    def _first_left(self, epoch: int) -> int:
        """Return an epoch, or the next one if a state was loaded that was taken at its end."""
        course = self.course(epoch)
        is_known = course.is_begun and None not in course.done
        return epoch + 1 if is_known and not self.stream(course).n_batches else epoch

    def iterate(
        self,
        convert: Convert,
        course: Course,
        *,
        spec: BatchSpec | None = None,
        numbers: NDArray[np.int64] | None = None,
    ) -> Iterator[Any]:
        """Yield what is left of an epoch, converted and transformed in threads ahead.

        In a DataLoader worker that is the part of this worker.

        Parameters
        ----------
        convert
            Makes a framework's batch.
        course
            Which epoch, and how much of it is done.
        spec
            What to read, if not what users asked for.
        numbers
            Which of the batches that are left to this rank to give; None for all, or those of
            the DataLoader worker.
        """
        own = spec or self.spec
        budget = Budget.of(self.store, own)
        keep(self, budget.kept)
        stream = self.stream(course, self.reading_share, numbers)
        self._given = stream, 0

        def make(wait_until_taken: Callable[[], None]) -> Iterator[Any]:
            fetched = windows(self.store, own, stream, budget, wait_until_taken)
            return self._produce(convert, own, stream, self._counted(fetched))

        source = Prefetcher(make, budget.depth)
        if self.transform is None:
            return self._consume(_one_by_one(source), [source], stream)
        calls = self._calls(_one_by_one(source), self.transform, stream, budget)
        return self._consume(calls, [source, calls], stream)

    @property
    def epoch(self) -> int:
        """The epoch of the next ``iter``."""
        return self._epochs.next

    @property
    def reading_share(self) -> Share:
        """What this process reads: the share of its rank, or of its DataLoader worker."""
        if self._epochs.reads_all:
            # The other ranks ask for an iterator and for no batch of it.
            return share_in_worker(Share())
        is_own = self._made_in_worker and self.given_share is not None
        return share_in_worker(self.share, made_here=is_own)

    def shortest_batch(self) -> int:
        """Return the cells of the smallest batch of the next epoch, over all ranks; 0 if none."""
        course, world_size = Course(self.epoch), self.share.world_size
        streams = [self.stream(course, Share(rank, world_size)) for rank in range(world_size)]
        return min((s.shortest for s in streams if s.n_rows), default=0)

    def course(self, epoch: int) -> Course:
        """Return the course of an epoch: the one that was loaded, or from the begin."""
        return self._loaded if self._loaded.epoch == epoch else Course(epoch)

    def stream(
        self,
        course: Course,
        share: Share | None = None,
        numbers: NDArray[np.int64] | None = None,
    ) -> Stream:
        """Return the rows and batches that one process visits in an epoch.

        Parameters
        ----------
        course
            Which epoch, and how much of it is done.
        share
            Of a DataLoader worker; that of this rank if None.
        numbers
            Which batches of what is left to the rank; those of the share if None.
        """
        own = share or self.share
        if numbers is not None:
            own = own.of_rank
        plan, size = self.plan(course.epoch), self.batch_size
        whole = whole_stream(plan, size, drop_last=self.drop_last)
        unit = 1 if plan.batches is not None or size is None else size
        how: dict[str, Any] = {"drop_last": self.drop_last, "pad": self.pad}
        begun, units = course.begun_by(own, whole, unit, by_turns=plan.by_turns, **how)
        if numbers is None:
            numbers = begun.turns(own, -(-total(units) // unit))
        return Stream.of(
            plan,
            begun,
            own.worker,
            units,
            size,
            numbers=numbers,
            n_repeated=begun.n_repeated(own, whole, unit, **how),
            may_repeat=own.world_size > 1 and self.pad and not self.drop_last,
        )

    def plan(self, epoch: int) -> EpochPlan:
        """Return the order of an epoch; the last two are remembered."""
        if epoch not in self._plans:
            self._plans = dict(list(self._plans.items())[-1:])
            self._plans[epoch] = self._planned(epoch)
        return self._plans[epoch]

    def _planned(self, epoch: int) -> EpochPlan:
        return self.sampler.plan(self.rows, seed=self.seed, epoch=epoch)

    # --- stages -------------------------------------------------------------------------------

    def _counted(self, fetched: abc.Generator[Fetched]) -> abc.Generator[Fetched]:
        before = _traffic(self.store)
        with closing(fetched) as ahead:
            for window in ahead:
                now = _traffic(self.store)
                self.stats.requests += now.requests - before.requests
                self.stats.cache_hits += now.cache_hits - before.cache_hits
                before = now
                self.stats.bytes_read += window.n_bytes
                self.stats.chunks_decoded += window.n_chunks
                yield window
                del window

    def _produce(
        self, convert: Convert, spec: BatchSpec, stream: Stream, fetched: abc.Generator[Fetched]
    ) -> Iterator[list[Item]]:
        row = 0
        with closing(fetched):
            for group in batches(fetched, spec, stream):
                ready: list[Item] = []
                try:
                    for batch in group:
                        ready.append((convert(batch), len(batch.index), row))
                        row += len(batch.index)
                except BaseException:
                    yield ready  # what was finished before the error comes before it
                    raise
                yield ready
                del group, ready, batch  # nothing is held here while the next ones are made

    def _calls(
        self, items: Iterator[Item], functions: Functions, stream: Stream, budget: Budget
    ) -> Calls[Item]:
        """Return the batches of items after functions of users, which are called ahead."""
        seed = (self.seed, stream.course.epoch)

        def call(item: Item) -> Item:
            batch, n_obs, row = item
            own = (*seed, stream.place(row)) if functions.is_random else ()
            return functions(batch, own), n_obs, row

        worker = worker_of()
        threads = n_threads() // (1 if worker is None else worker[1])
        n = max(1, threads) if functions.is_parallel else 1
        return Calls(items, call, n, budget.called_bytes)

    def _consume(
        self, items: Iterator[Item], sources: Sequence[Prefetcher[Any] | Calls[Any]], stream: Stream
    ) -> Iterator[Any]:
        began, seconds, waited = time.perf_counter(), self.stats.seconds, self.stats.waited_seconds
        closing = self.store.closing
        try:
            for source in sources:
                closing.reads(source)
            for number, (batch, n_obs, _) in enumerate(items, start=1):
                self._given = stream, number
                self.stats.n_obs += n_obs
                self.stats.n_batches += 1
                self.stats.seconds = seconds + time.perf_counter() - began
                self.stats.waited_seconds = waited + sources[-1].waited
                yield batch
                del batch
                closing.check()
            closing.check()
        except Exception:
            closing.check()  # it may have failed because of that
            raise
        finally:
            for source in sources:
                source.close()

    @cached_property
    def _fingerprint(self) -> dict[str, Any]:
        return fingerprint(self)


def _one_by_one(source: Iterator[list[Item]]) -> Iterator[Item]:
    """Yield the items of lists, and let go of each."""
    for ready in source:
        ready.reverse()
        while ready:
            yield ready.pop()


def _traffic(store: Store) -> Traffic:
    reader = store.reader
    return reader.traffic() if isinstance(reader, CountingReader) else Traffic()
