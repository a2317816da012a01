"""The generator: an endless supply of epochs over a selection."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.batches.batch import ArrayBatch, batches, to_numpy
from dao.batches.budget import Budget
from dao.batches.fetch import Fetched, fetch
from dao.batches.prefetch import Prefetcher, one_ahead
from dao.buffers import keep, kept_bytes
from dao.errors import ArgumentError
from dao.sizes import format_bytes

if TYPE_CHECKING:
    import tensorflow as tf

    from dao.batches.spec import BatchSpec
    from dao.batches.torch import TorchBatches
    from dao.samplers import EpochPlan, Sampler
    from dao.store import Store

__all__ = ["Generator", "Share", "Stats"]

Convert = Callable[[ArrayBatch], Any]


@dataclass
class Stats:
    """What reading has cost so far, over all epochs of a generator in this process.

    Attributes
    ----------
    n_obs, n_batches
        Cells and batches handed out.
    seconds
        Time between the first request and the last batch.
    waited_seconds
        Of these, how long the consumer waited for data: near zero means that the model, not
        the loader, is the limit.
    bytes_read
        Decoded bytes.
    chunks_decoded
        Chunks decoded.
    cache_hits
        Chunks served from a cache instead (no backend of this version has one).
    """

    n_obs: int = 0
    n_batches: int = 0
    seconds: float = 0.0
    waited_seconds: float = 0.0
    bytes_read: int = 0
    chunks_decoded: int = 0
    cache_hits: int = 0

    @property
    def cells_per_second(self) -> float:
        """Cells handed out per second, the consumer's own time included."""
        return self.n_obs / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        share = 100 * self.waited_seconds / self.seconds if self.seconds else 0.0
        return (
            f"{self.n_obs:,} cells in {self.seconds:.1f} s: {self.cells_per_second:,.0f} cells/s, "
            f"{share:.0f} % of the time waiting for data, {format_bytes(self.bytes_read)} decoded"
        )


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of an epoch's stream one process reads.

    Attributes
    ----------
    rank, world_size
        Of the training process: ranks read stretches of equal length.
    worker, n_workers
        Of the DataLoader worker: workers read whole batches of their rank's stretch.
    """

    rank: int = 0
    world_size: int = 1
    worker: int = 0
    n_workers: int = 1

    def rows(self, n_rows: int, batch_size: int, *, drop_last: bool) -> tuple[int, int]:
        """Return the first row of the stream to read and the one to stop before.

        With ``drop_last`` ranks leave out what does not divide; else the last rank reads
        beyond the end, where the stream begins again, so that all have as many batches.
        """
        if drop_last:
            per_rank = n_rows // self.world_size // batch_size * batch_size
        else:
            per_rank = -(-n_rows // self.world_size)
        n_batches = -(-per_rank // batch_size)
        first = n_batches * self.worker // self.n_workers * batch_size
        stop = n_batches * (self.worker + 1) // self.n_workers * batch_size
        base = self.rank * per_rank
        return base + first, base + min(stop, per_rank)


@dataclass(eq=False)
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
    seed: int
    drop_last: bool
    transform: Callable[[Any], Any] | None
    share: Share
    stats: Stats = field(default_factory=Stats)
    _epoch: int = 0
    _resume_at: int = 0
    _current: tuple[int, int] = (0, 0)

    @property
    def batch_size(self) -> int:
        """Cells in a batch (the last of an epoch may have fewer)."""
        return self.spec.batch_size

    @property
    def categories(self) -> dict[str, list[Any]]:
        """Column -> the values behind its codes, the same for every selection of the store."""
        return {n: list(c.categories) for n, c in self.spec.obs.items() if c.categories is not None}

    def __len__(self) -> int:
        """Return the number of batches of one epoch on this rank."""
        start, stop = self._rows(self.share)
        return max(0, -(-(stop - start) // self.batch_size))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        epoch, first = self.begin()
        return self.iterate(to_numpy, epoch=epoch, first_batch=first)

    @property
    def full_batches_only(self) -> bool:
        """Whether every batch has `batch_size` cells."""
        start, stop = self._rows(self.share)
        return (stop - start) % self.batch_size == 0

    def set_epoch(self, epoch: int) -> None:
        """Make the next ``iter`` this epoch (0 is the first)."""
        if not isinstance(epoch, int) or epoch < 0:
            msg = f"epoch={epoch!r}: give a whole number of at least 0."
            raise ArgumentError(msg)
        self._epoch, self._resume_at = epoch, 0

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream is: small, plain values that JSON can hold.

        It speaks of the iterator that was made last, after the batch it gave last.
        """
        epoch, batch = self._current
        return {"version": 1, "epoch": epoch, "batch": batch, "stream": self._fingerprint()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Make the next ``iter`` continue where a `state_dict` was taken.

        Raises
        ------
        dao.errors.ArgumentError
            If the state is of another stream; names what differs.
        """
        own = self._fingerprint()
        other = dict(state.get("stream", {}))
        if state.get("version") != 1 or other != own:
            differing = [k for k in own if other.get(k) != own[k]] or ["version"]
            shown = ", ".join(f"{k} {other.get(k)!r} instead of {own.get(k)!r}" for k in differing)
            msg = f"This state belongs to another stream: {shown}."
            raise ArgumentError(msg)
        self._epoch, self._resume_at = int(state["epoch"]), int(state["batch"])
        if self._resume_at >= len(self):
            self._epoch, self._resume_at = self._epoch + 1, 0
        self._current = (self._epoch, self._resume_at)

    def explain(self) -> str:
        """Return in words what an epoch reads and how much memory that takes."""
        start, stop = self._rows(self.share)
        budget = self._budget()
        plan = self._plan(0)
        windows = np.diff(plan.boundaries)
        largest = int(windows.max()) if len(windows) else 0
        at_once = min(largest, budget.fetch_rows)
        fused = budget.fuses(at_once)
        row_bytes = budget.final_row_bytes if fused else budget.stored_row_bytes
        lines = [
            (
                f"{stop - start:,} of {self.store.n_obs:,} cells per epoch "
                f"in {len(self):,} batches of {self.batch_size:,}"
            ),
            f"order: {self.sampler}, seed {self.seed}",
            (
                f"decoded {at_once:,} cells at a time (windows of {largest:,}), "
                f"about {format_bytes(row_bytes * at_once)}"
            ),
            (
                f"up to {budget.depth} times {budget.stretch:,} cells ready ahead, "
                f"{format_bytes(budget.stretch_bytes)} each time"
            ),
            f"backend {self.store.backend!r}, memory budget {format_bytes(self.store.memory)}",
        ]
        return "\n".join(lines)

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

    def tensorflow(self) -> tf.data.Dataset:
        """Return a `tf.data.Dataset` of whole batches."""
        from dao.batches.tensorflow import tensorflow_dataset

        return tensorflow_dataset(self)

    def iterate(
        self,
        convert: Convert,
        *,
        epoch: int,
        share: Share | None = None,
        first_batch: int = 0,
        spec: BatchSpec | None = None,
    ) -> Iterator[Any]:
        """Yield an epoch's batches, converted and transformed in the thread that reads ahead.

        For adaptors to frameworks; users iterate over the generator itself.
        """
        budget = self._budget(spec)
        keep(self, budget.kept)
        start, stop = self._rows(share or self.share)
        start = min(stop, start + first_batch * self.batch_size)
        windows = self._windows(epoch, start, stop, spec or self.spec, budget)
        source = self._produce(convert, spec or self.spec, windows)
        return self._consume(Prefetcher(source, budget.depth), epoch, first_batch)

    def begin(self) -> tuple[int, int]:
        """Return the epoch and first batch of the next `iterate`, and go on to the epoch after.

        For adaptors to frameworks.
        """
        epoch, first = self._epoch, self._resume_at
        self._epoch, self._resume_at = epoch + 1, 0
        return epoch, first

    def _produce(
        self, convert: Convert, spec: BatchSpec, windows: Iterator[Fetched]
    ) -> Iterator[Any]:
        with closing(one_ahead(windows)) as ahead:
            for group in batches(ahead, spec):
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

    def _consume(self, source: Prefetcher[Any], epoch: int, first: int) -> Iterator[Any]:
        self._current = (epoch, first)
        began, seconds, waited = time.perf_counter(), self.stats.seconds, self.stats.waited_seconds
        number = first
        try:
            for ready in source:
                ready.reverse()
                while ready:
                    batch, n_obs = ready.pop()
                    number += 1
                    self._current = (epoch, number)
                    self.stats.n_obs += n_obs
                    self.stats.n_batches += 1
                    self.stats.seconds = seconds + time.perf_counter() - began
                    self.stats.waited_seconds = waited + source.waited
                    yield batch
                    del batch
        finally:
            source.close()

    def _windows(
        self, epoch: int, start: int, stop: int, spec: BatchSpec, budget: Budget
    ) -> Iterator[Fetched]:
        at_most = budget.fetch_rows
        store = self.store
        # Without used memory a window takes long, so the first batch is fetched alone.
        first = 0 if kept_bytes() else min(at_most, budget.stretch)
        done = 0
        for rows in self._plan(epoch).rows(start, stop):
            for a, b in _parts(len(rows), first, at_most):
                fetched = fetch(
                    store.reader,
                    store.manifest,
                    store.selection,
                    spec.matrices,
                    rows[a:b],
                    budget.cuts(done, b - a),
                    fused=budget.fuses(b - a),
                )
                done += b - a
                self.stats.bytes_read += fetched.n_bytes
                self.stats.chunks_decoded += fetched.n_chunks
                yield fetched
                del fetched
            first = 0

    def _plan(self, epoch: int) -> EpochPlan:
        return self.sampler.plan(self.store.selection.stretches, seed=self.seed, epoch=epoch)

    def _rows(self, share: Share) -> tuple[int, int]:
        n_rows = self._plan(0).n_rows
        return share.rows(n_rows, self.batch_size, drop_last=self.drop_last)

    def _budget(self, spec: BatchSpec | None = None) -> Budget:
        return Budget.of(self.store, (spec or self.spec).matrices, self.batch_size)

    def _fingerprint(self) -> dict[str, Any]:
        manifest = self.store.manifest
        positions = self.store.selection.positions(manifest)
        return {
            "store": manifest.uuid,
            "generation": manifest.generation,
            "selection": f"{len(positions)}-{zlib.crc32(positions.tobytes()):08x}",
            "sampler": repr(self.sampler),
            "seed": self.seed,
            "batch_size": self.batch_size,
            "drop_last": self.drop_last,
            "rank": self.share.rank,
            "world_size": self.share.world_size,
        }


def _parts(n: int, first: int, at_most: int) -> list[tuple[int, int]]:
    """Cut ``range(n)`` into parts of ``at_most``, after one of ``first`` if that is not 0."""
    starts = [*([0] if first else []), *range(first, n, at_most)]
    return list(pairwise([*starts, n]))
