"""The generator: an endless supply of epochs over a selection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dao.backend import CountingReader, Traffic
from dao.batches.ahead import look_ahead
from dao.batches.automatic import label_function
from dao.batches.batch import ArrayBatch, batches, to_numpy
from dao.batches.budget import Budget
from dao.batches.course import Course
from dao.batches.explain import explain
from dao.batches.glance import glance
from dao.batches.prefetch import Prefetcher
from dao.batches.share import found_share
from dao.batches.state import course_of, fingerprint, state_of
from dao.batches.stats import Stats
from dao.batches.stream import Stream, whole_stream
from dao.batches.windows import windows
from dao.buffers import keep
from dao.errors import ArgumentError
from dao.samplers.mixing import measure_mixing

if TYPE_CHECKING:
    from collections import abc

    import tensorflow as tf

    from dao.batches.ahead import Ahead
    from dao.batches.fetch import Fetched
    from dao.batches.jax import JaxBatches
    from dao.batches.share import Share
    from dao.batches.spec import BatchSpec
    from dao.batches.torch import TorchBatches
    from dao.samplers import EpochPlan, Mixing, Rows, Sampler
    from dao.store import Store

__all__ = ["Generator"]

Convert = Callable[[ArrayBatch], Any]


@dataclass(eq=False, repr=False)
class Generator:
    """Streams batches of a selection; every ``iter`` is the next epoch.

    Made by `dao.Store.generator`, which documents the arguments.

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
    transform: Callable[[Any], Any] | None
    given_share: Share | None = None
    chosen: Mapping[str, int] = field(default_factory=dict)
    stats: Stats = field(default_factory=Stats)
    _next: Course = field(default_factory=lambda: Course(0))
    _given: tuple[Stream, int] | None = None
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
        """Return the number of batches of the next epoch on this rank."""
        return self.stream(Course(self._next.epoch)).n_batches

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.iterate(to_numpy, self.begin())

    def __repr__(self) -> str:
        """Return a short description."""
        return str(glance(self))

    def _repr_html_(self) -> str:
        return glance(self).html

    def __getstate__(self) -> dict[str, Any]:
        # In a spawned process there is no process group to ask; and plans cannot be pickled.
        return {**self.__dict__, "given_share": self.share, "_given": None, "_plans": {}}

    def set_epoch(self, epoch: int) -> None:
        """Make the next ``iter`` this epoch (0 is the first).

        Examples
        --------
        >>> generator = store.generator(400)
        >>> first, second = (next(iter(generator))["index"] for _ in range(2))
        >>> generator.set_epoch(0)
        >>> bool((next(iter(generator))["index"] == first).all()), bool((first == second).all())
        (True, False)
        """
        if not isinstance(epoch, int) or epoch < 0:
            msg = f"epoch={epoch!r}: give a whole number of at least 0."
            raise ArgumentError(msg)
        self._next, self._given = Course(epoch), None

    def state_dict(self, n_batches: int | None = None) -> dict[str, Any]:
        """Return where the stream is: small, plain values that JSON can hold.

        It speaks of the iterator that was made last, after the batch it gave last. In a
        distributed run take it at the same step on all ranks: then each rank's is good for all.

        Parameters
        ----------
        n_batches
            Batches of that iterator that were used, where something between it and you reads
            ahead, as tf.data does; None for all that it gave.

        Raises
        ------
        dao.errors.ArgumentError
            If it has not given so many.
        """
        stream, given = self._given or (None, 0)
        if n_batches is not None and not 0 <= n_batches <= given:
            msg = f"n_batches={n_batches!r}: the iterator that was made last has given {given}."
            raise ArgumentError(msg)
        used = given if n_batches is None else n_batches
        course = self._next if stream is None else stream.course_after(used)
        return state_of(course, self._fingerprint)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Make the next ``iter`` continue where a `state_dict` was taken.

        With the same world size the stream continues exactly; with another one the ranks divide
        what is left of the epoch anew.

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
        self._next, self._given = course_of(state, self._fingerprint), None

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
        labels = label_function(self.store, key)
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

    def ahead(self) -> Ahead:
        """Return what the next ``iter`` is about to give."""
        return look_ahead(self, self.epoch, self.share)

    def upcoming(self) -> Course:
        """Return the course of the next `iterate`."""
        course = self._next
        if any(course.done) and not self.stream(course).n_batches:
            return Course(course.epoch + 1)  # the state was taken at the end of its epoch
        return course

    def begin(self) -> Course:
        """Return the course of the next `iterate`, and go on to the epoch after."""
        course = self.upcoming()
        self._next = Course(course.epoch + 1)
        return course

    def iterate(
        self,
        convert: Convert,
        course: Course,
        *,
        share: Share | None = None,
        spec: BatchSpec | None = None,
    ) -> Iterator[Any]:
        """Yield what is left of an epoch, converted and transformed in the thread ahead.

        Parameters
        ----------
        convert
            Makes a framework's batch.
        course
            Which epoch, and how much of it is done.
        share
            Of a DataLoader worker.
        spec
            What to read, if not what users asked for.
        """
        own = spec or self.spec
        budget = Budget.of(self.store, own)
        keep(self, budget.kept)
        stream = self.stream(course, share)
        self._given = stream, 0

        def make(wait_until_taken: Callable[[], None]) -> Iterator[Any]:
            fetched = windows(self.store, own, stream, budget, wait_until_taken)
            return self._produce(convert, own, stream, self._counted(fetched))

        return self._consume(Prefetcher(make, budget.depth), stream)

    @property
    def epoch(self) -> int:
        """The epoch of the next ``iter``."""
        return self._next.epoch

    def course(self, epoch: int) -> Course:
        """Return the course of an epoch: the one that was loaded, or from the begin."""
        return self._next if self._next.epoch == epoch else Course(epoch)

    def stream(self, course: Course, share: Share | None = None) -> Stream:
        """Return the rows and batches that one process visits in an epoch."""
        own = share or self.share
        plan, size = self.plan(course.epoch), self.batch_size
        whole = whole_stream(plan, size, drop_last=self.drop_last)
        unit = 1 if plan.batches is not None or size is None else size
        begun, units = course.begun_by(own, whole, unit, drop_last=self.drop_last)
        return Stream.of(plan, begun, own.worker, units, size)

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
    ) -> Iterator[Any]:
        with closing(fetched):
            for group in batches(fetched, spec, stream):
                ready: list[tuple[Any, int]] = []
                try:
                    ready.extend(self._finish(convert, batch) for batch in group)
                except BaseException:
                    yield ready  # what was finished before the error comes before it
                    raise
                yield ready
                del group, ready  # nothing is held here while the next ones are made

    def _finish(self, convert: Convert, batch: ArrayBatch) -> tuple[Any, int]:
        result = convert(batch)
        return result if self.transform is None else self.transform(result), len(batch.index)

    def _consume(self, source: Prefetcher[Any], stream: Stream) -> Iterator[Any]:
        began, seconds, waited = time.perf_counter(), self.stats.seconds, self.stats.waited_seconds
        number = 0
        try:
            for ready in source:
                ready.reverse()
                while ready:
                    batch, n_obs = ready.pop()
                    number += 1
                    self._given = stream, number
                    self.stats.n_obs += n_obs
                    self.stats.n_batches += 1
                    self.stats.seconds = seconds + time.perf_counter() - began
                    self.stats.waited_seconds = waited + source.waited
                    yield batch
                    del batch
        finally:
            source.close()

    @cached_property
    def _fingerprint(self) -> dict[str, Any]:
        return fingerprint(self)


def _traffic(store: Store) -> Traffic:
    reader = store.reader
    return reader.traffic() if isinstance(reader, CountingReader) else Traffic()
