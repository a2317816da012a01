"""torch: batches of several datasets in one, alone and under DataLoader workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.utils.data import IterableDataset, get_worker_info

from dao.batches.interleave import Interleaved

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TorchInterleaved", "are_torch"]


def are_torch(datasets: Mapping[str, Any]) -> bool:
    """Whether all of these are iterable datasets of torch."""
    return all(isinstance(dataset, IterableDataset) for dataset in datasets.values())


class TorchInterleaved(Interleaved, IterableDataset[Any]):
    """Pairs (name, batch) for ``DataLoader(dataset, batch_size=None)``; made by `interleave`.

    Each worker takes turns among its own parts of the datasets.
    """

    @property
    def _is_part(self) -> bool:
        return get_worker_info() is not None
