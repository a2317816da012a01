"""torch: whole batches of tensors, alone, under DataLoader workers and in DDP."""

from __future__ import annotations

import sys
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.backend import missing_extra
from dao.batches.dispatch import asked_by_dispatcher, asked_by_preparation
from dao.batches.glance import Glanced
from dao.batches.numeric import numeric_obs
from dao.batches.share import Share
from dao.errors import ArgumentError, DaoError

try:
    import torch
    from torch.utils.data import IterableDataset, get_worker_info

    from dao.batches.device import mover, parse_device, sparse_spec
    from dao.batches.torch_loader import refuse_batching
except ImportError as error:
    msg = "store.torch()"
    raise missing_extra(msg, "torch", error) from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from dao.batches.ahead import Ahead
    from dao.batches.batch import ArrayBatch
    from dao.batches.generator import Generator
    from dao.batches.spec import BatchSpec

__all__ = ["TorchBatches", "silence_warnings", "to_torch"]


class TorchBatches(Glanced, IterableDataset[Any]):
    """An iterable dataset whose items are whole batches.

    Use it as it is, or inside ``DataLoader(dataset, batch_size=None, num_workers=k)``: each
    worker reads its own part of the epoch, every row exactly once; with ``sampler="sequential"``
    they take turns, so that batches come in store order. A DataLoader with a batch size
    would stack whole batches, and is refused. X is dense or
    ``torch.sparse_csr``; obs a dict of tensors (categoricals as int64 codes, missing -1).

    Parameters
    ----------
    generator
        What is streamed; the attribute ``source``.
    device
        Where the tensors go, for example ``"cuda"``; not inside DataLoader workers.
    """

    def __init__(self, generator: Generator, device: Any = None) -> None:
        self.source = generator
        self._device = parse_device(device)
        silence_warnings()  # here too: tensors of workers are put together in this process

    def __len__(self) -> int:
        """Return how many batches the next ``iter`` gives, over all workers of this rank.

        After `load_state_dict` these are the ones that are left of the epoch.
        """
        if asked_by_dispatcher():
            source = self.source
            return source.stream(source.upcoming(), Share()).n_batches
        return len(self.source)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        refuse_batching(sys._getframe(1))  # noqa: SLF001 - the only way to see who iterates
        try:
            return self.begin()
        except DaoError as error:
            if get_worker_info() is None:
                raise
            # A worker that lives on would end without a word if it could not begin.
            return _raising(error)

    def begin(self, numbers: NDArray[np.int64] | None = None) -> Iterator[dict[str, Any]]:
        """Return the batches of the next epoch; in a DataLoader worker, its part.

        Parameters
        ----------
        numbers
            Which of the batches that are left to this rank; None for all, or those of the worker.
        """
        silence_warnings()
        if self._device is not None and get_worker_info() is not None:
            msg = (
                f"device={str(self._device)!r} cannot be used in DataLoader workers: leave it out "
                "there, or leave out the workers (dao reads ahead in threads)."
            )
            raise ArgumentError(msg)
        course = self.source.begin()
        return self.source.iterate(self._convert(), course, spec=self._spec(), numbers=numbers)

    def ahead(self) -> Ahead:
        """Return what the next ``iter`` is about to give; in a DataLoader worker, its part."""
        return self.source.ahead()

    @property
    def takes_turns(self) -> bool:
        """Whether DataLoader workers take turns, batch by batch."""
        return self.source.takes_turns

    def _spec(self) -> BatchSpec:
        """Return what leaves the reader: with a device, sparse what is stored so."""
        generator = self.source
        if self._device is None:
            return generator.spec
        stored = {name: generator.store.matrix_infos(name) for name in generator.spec.matrices}
        sparse = {n: all(i.encoding == "csr" for i in infos) for n, infos in stored.items()}
        return sparse_spec(generator.spec, sparse)

    def _convert(self) -> Callable[[ArrayBatch], dict[str, Any]]:
        if self._device is None:
            return to_torch
        move = mover(self._device, self.source.spec)
        return lambda batch: move(to_torch(batch))

    def set_epoch(self, epoch: int) -> None:
        """Make the next ``iter`` this epoch, also in workers."""
        is_dispatched = asked_by_dispatcher()
        if is_dispatched and self._has_sparse:
            msg = (
                "accelerate cannot hand out sparse matrices to other processes: pass "
                "x_format='dense', or iterate over the loader without accelerator.prepare(loader)."
            )
            raise ArgumentError(msg)
        self.source.set_epoch(epoch, reads_all=is_dispatched)

    @property
    def generator(self) -> Any:
        """Not here, but `source`: accelerate takes an attribute of this name for torch's."""
        if asked_by_preparation():
            msg = (
                "accelerate cannot divide a stream of whole batches with dispatch_batches=False. "
                "Leave that out, or iterate over the loader without accelerator.prepare(loader): "
                "each process reads its own part."
            )
            raise ArgumentError(msg)
        msg = "The generator of these batches is batches.source."
        raise AttributeError(msg)

    @property
    def _has_sparse(self) -> bool:
        return not all(how.dense for how in self.source.spec.matrices.values())

    def state_dict(self, n_batches: int | None = None) -> dict[str, Any]:
        """Return where the stream is; in a DataLoader worker, where that worker is.

        torchdata's ``StatefulDataLoader`` asks its workers for it. See `dao.Generator.state_dict`
        for what it counts, and for ``n_batches``.

        Raises
        ------
        dao.errors.ArgumentError
            If the iterator has not given so many batches, or DataLoader workers have given them and
            ``n_batches`` is None.
        """
        return self.source.state_dict(n_batches)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where a `state_dict` was taken.

        Parameters
        ----------
        state
            Of this, or of a ``StatefulDataLoader``: then with any number of workers.

        Raises
        ------
        dao.errors.ArgumentError
            If the state is of another stream; names what differs.
        """
        self.source.load_state_dict(state)

    @property
    def categories(self) -> dict[str, list[Any]]:
        """Column -> the values behind its codes."""
        return self.source.categories


def _raising(error: DaoError) -> Iterator[Any]:
    yield from ()
    raise error


@cache
def silence_warnings() -> None:
    """Make torch say once, unheard, that CSR is in beta and that it trusts its makers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse ")
        torch.sparse_csr_tensor([0, 0], [], [], size=(1, 1), check_invariants=False)
        torch.sparse_csr_tensor([0, 0], [], [], size=(1, 1))


def to_torch(batch: ArrayBatch) -> dict[str, Any]:
    """Return the batch as tensors that share memory with its arrays."""
    return {
        "X": _tensor(batch.matrices["X"]),
        "obs": {n: torch.from_numpy(numeric_obs(n, c)) for n, c in batch.obs.items()},
        "layers": {n: _tensor(m) for n, m in batch.group("layers").items()},
        "obsm": {n: _tensor(m) for n, m in batch.group("obsm").items()},
        "index": torch.from_numpy(batch.index),
        **{n: torch.from_numpy(a) for n, a in batch.extras.items()},
    }


def _tensor(matrix: Any) -> torch.Tensor:
    if isinstance(matrix, np.ndarray):
        return torch.from_numpy(matrix)
    return torch.sparse_csr_tensor(
        torch.from_numpy(matrix.indptr),
        torch.from_numpy(matrix.indices),
        torch.from_numpy(matrix.data),
        size=matrix.shape,
        check_invariants=False,
    )
