"""Share: which part of an epoch one process visits, among ranks and DataLoader workers."""

from __future__ import annotations

import sys
from dataclasses import dataclass

__all__ = ["Share", "found_share"]


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

    def interval(self, n_units: int, batch: int, *, drop_last: bool) -> tuple[int, int]:
        """Return the first unit of the stream to visit and the one to stop before.

        With ``drop_last`` ranks leave out what does not divide; else the last ranks go on
        beyond the end, where the stream begins again, so that all have as many batches.

        Parameters
        ----------
        n_units
            Length of the stream: rows, or batches where the sampler says what they are.
        batch
            Units in a batch.
        """
        if drop_last:
            per_rank = n_units // self.world_size // batch * batch
        else:
            per_rank = -(-n_units // self.world_size)
        n_batches = -(-per_rank // batch)
        first = n_batches * self.worker // self.n_workers * batch
        stop = n_batches * (self.worker + 1) // self.n_workers * batch
        base = self.rank * per_rank
        return base + min(first, per_rank), base + min(stop, per_rank)


def found_share() -> Share:
    """Return the rank and world size of the distributed run that this process is part of.

    Lightning and torchrun are seen through torch.distributed, and tensorflow through the
    cluster of the strategy in whose scope this is called.
    """
    return _of_torch() or _of_tensorflow() or Share()


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
