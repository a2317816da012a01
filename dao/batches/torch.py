"""torch: whole batches of tensors, alone, under DataLoader workers and in DDP."""

from __future__ import annotations

import sys
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.backend import missing_extra
from dao.batches.ahead import look_ahead
from dao.batches.glance import Glanced
from dao.batches.numeric import numeric_obs
from dao.batches.share import Share
from dao.batches.state import of_worker
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

    from dao.batches.ahead import Ahead
    from dao.batches.batch import ArrayBatch
    from dao.batches.generator import Generator
    from dao.batches.spec import BatchSpec

__all__ = ["TorchBatches", "silence_warnings", "to_torch"]

_MOST_WORKERS = 1024


class TorchBatches(Glanced, IterableDataset[Any]):
    """An iterable dataset whose items are whole batches.

    Use it as it is, or inside ``DataLoader(dataset, batch_size=None, num_workers=k)``: each
    worker reads its own part of the epoch, every row exactly once. A DataLoader with a batch size
    would stack whole batches, and is refused. X is dense or
    ``torch.sparse_csr``; obs a dict of tensors (categoricals as int64 codes, missing -1).

    Parameters
    ----------
    generator
        What is streamed.
    device
        Where the tensors go, for example ``"cuda"``; not inside DataLoader workers.
    """

    def __init__(self, generator: Generator, device: Any = None) -> None:
        self.generator = generator
        self._device = parse_device(device)
        silence_warnings()  # here too: tensors of workers are put together in this process
        # Workers may be new processes for each epoch, or live on, so what they must agree on
        # lies in memory that all of them share: first the epoch that `set_epoch` asked for,
        # then how many each worker has begun since, each in a place of its own.
        self._shared = torch.zeros(1 + _MOST_WORKERS, dtype=torch.int64)
        self._shared.share_memory_()  # type: ignore[no-untyped-call]  # torch does not type it

    def __len__(self) -> int:
        """Return the number of batches of one epoch, over all workers of this rank."""
        return len(self.generator)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        silence_warnings()
        refuse_batching(sys._getframe(1))  # noqa: SLF001 - the only way to see who iterates
        info = get_worker_info()
        if info is None:
            return self.generator.iterate(
                self._convert(), self.generator.begin(), spec=self._spec()
            )
        if self._device is not None:
            msg = (
                f"device={str(self._device)!r} cannot be used in DataLoader workers: leave it out "
                "there, or leave out the workers (dao reads ahead in threads)."
            )
            raise ArgumentError(msg)
        begun = self._shared[1 : 1 + info.num_workers].clone()
        epoch, share = self._part_of(info)
        if int(begun.min()) < int(begun[info.id]):
            msg = (
                "A DataLoader worker ended before it began its last epoch, so workers disagree "
                "on which epoch is next. Call set_epoch(n) before going on."
            )
            raise DaoError(msg)
        self._shared[1 + info.id] += 1
        course = self.generator.course(epoch)
        return self.generator.iterate(to_torch, course, share=share)

    def _part_of(self, info: Any) -> tuple[int, Share]:
        """Return the next epoch of a DataLoader worker, and its share of it."""
        base = self.generator.share
        epoch = int(self._shared[0]) + int(self._shared[1 + info.id])
        return epoch, Share(base.rank, base.world_size, info.id, info.num_workers)

    def ahead(self) -> Ahead:
        """Return what the next ``iter`` is about to give; in a DataLoader worker, its part."""
        info = get_worker_info()
        if info is None:
            return self.generator.ahead()
        return look_ahead(self.generator, *self._part_of(info))

    def _spec(self) -> BatchSpec:
        """Return what leaves the reader: with a device, sparse what is stored so."""
        generator = self.generator
        if self._device is None:
            return generator.spec
        stored = {name: generator.store.matrix_infos(name) for name in generator.spec.matrices}
        sparse = {n: all(i.encoding == "csr" for i in infos) for n, infos in stored.items()}
        return sparse_spec(generator.spec, sparse)

    def _convert(self) -> Callable[[ArrayBatch], dict[str, Any]]:
        if self._device is None:
            return to_torch
        move = mover(self._device, self.generator.spec)
        return lambda batch: move(to_torch(batch))

    def set_epoch(self, epoch: int) -> None:
        """Make the next ``iter`` this epoch, also in workers."""
        self.generator.set_epoch(epoch)
        self._shared.zero_()
        self._shared[0] = epoch

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream is; in a DataLoader worker, where that worker is.

        torchdata's ``StatefulDataLoader`` asks its workers for it.
        """
        state = self.generator.state_dict()
        info = get_worker_info()
        return state if info is None else of_worker(state, info.id)

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
        self.generator.load_state_dict(state)
        info = get_worker_info()
        self._shared[0] = self.generator.epoch
        if info is None:
            self._shared[1:] = 0
        else:
            self._shared[1 + info.id] = 0

    @property
    def categories(self) -> dict[str, list[Any]]:
        """Column -> the values behind its codes."""
        return self.generator.categories


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
