"""Share: which part of an epoch one process visits, among ranks and DataLoader workers."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

from dao.errors import ArgumentError

__all__ = ["Share", "found_share", "share_in_worker", "worker_of"]


@dataclass(frozen=True, slots=True)
class Share:
    """Who one process is.

    Attributes
    ----------
    rank, world_size
        Of the training process: ranks visit stretches of equal length.
    worker, n_workers
        Of the DataLoader worker: workers visit whole batches of their rank's stretch.
    """

    rank: int = 0
    world_size: int = 1
    worker: int = 0
    n_workers: int = 1

    @property
    def of_rank(self) -> Share:
        """The share of all workers of this rank together."""
        return replace(self, worker=0, n_workers=1)

    def interval(
        self, n_units: int, batch: int, *, drop_last: bool, pad: bool = True
    ) -> tuple[int, int]:
        """Return the first unit of the stream to visit and the one to stop before.

        With ``drop_last`` ranks leave out what does not divide; else the last ranks go on
        beyond the end, where the stream begins again, so that all have as many batches. Without
        ``pad`` they stop at the end instead, and the first ranks may have one unit more.

        Parameters
        ----------
        n_units
            Length of the stream: rows, or batches where the sampler says what they are.
        batch
            Units in a batch.
        drop_last
            Whether ranks leave out what does not divide.
        pad
            Whether ranks that lack units repeat some.
        """
        base, length = self._of_rank(n_units, batch, drop_last=drop_last, pad=pad)
        n_batches = -(-length // batch)
        first = n_batches * self.worker // self.n_workers * batch
        stop = n_batches * (self.worker + 1) // self.n_workers * batch
        return base + min(first, length), base + min(stop, length)

    def _of_rank(self, n_units: int, batch: int, *, drop_last: bool, pad: bool) -> tuple[int, int]:
        """Return where the units of the rank begin, and how many there are."""
        if drop_last:
            length = n_units // self.world_size // batch * batch
            return self.rank * length, length
        if pad:
            length = -(-n_units // self.world_size)
            return self.rank * length, length
        each, more = divmod(n_units, self.world_size)
        return self.rank * each + min(self.rank, more), each + (self.rank < more)


def found_share() -> Share:
    """Return the rank and world size of the distributed run that this process is part of.

    Lightning and torchrun are seen through torch.distributed, and tensorflow through the
    cluster of the strategy in whose scope this is called.
    """
    return _of_torch() or _of_tensorflow() or Share()


def worker_of() -> tuple[int, int, int] | None:
    """Return number, team size and seed of the DataLoader worker that this process is, or None.

    The seed is that of the team: the same in all workers of one DataLoader.
    """
    # Where torch has not been imported there is no DataLoader.
    data = sys.modules.get("torch.utils.data")
    info = None if data is None else data.get_worker_info()
    return None if info is None else (info.id, info.num_workers, info.seed - info.id)


def share_in_worker(share: Share, *, made_here: bool = False) -> Share:
    """Return what a DataLoader worker reads of the share of its rank; elsewhere all of it.

    Parameters
    ----------
    share
        Of the rank.
    made_here
        Whether somebody has given it in this worker: they may have divided by workers themselves.

    Raises
    ------
    dao.errors.ArgumentError
        If it cannot be known whether they have.
    """
    worker = worker_of()
    if worker is None:
        return share
    number, n_workers, _ = worker
    if made_here and share.world_size % n_workers == 0:
        if share.rank % n_workers == number:
            return share
        msg = (
            f"rank={share.rank}, world_size={share.world_size} were given in DataLoader worker "
            f"{number} of {n_workers}, where dao cannot know whether they are those of the worker. "
            "Leave them out there, or make the generator before the workers start: it gives each "
            "worker its part."
        )
        raise ArgumentError(msg)
    return replace(share, worker=number, n_workers=n_workers)


def _of_torch() -> Share | None:
    # A process group can only exist where the user has imported torch.
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is None or not (distributed.is_available() and distributed.is_initialized()):
        return None
    return Share(distributed.get_rank(), distributed.get_world_size())


def _of_tensorflow() -> Share | None:
    distribute = getattr(sys.modules.get("tensorflow"), "distribute", None)
    if distribute is None or not distribute.has_strategy():
        return None
    resolver = distribute.get_strategy().cluster_resolver
    if resolver is None or resolver.task_type != "worker":
        return None
    return Share(resolver.task_id, resolver.cluster_spec().num_tasks("worker"))
