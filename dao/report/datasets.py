"""What a report tells of datasets, and which of many it looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dao.printable import shortened
from dao.report.columns import NAME_WIDTH
from dao.report.facts import DatasetFact

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.format.manifest import DatasetInfo
    from dao.store import Store

__all__ = ["MOST_DATASETS", "Counted", "cells_of", "dataset_facts", "largest"]

MOST_DATASETS = 50
_MOST_LOOKED_AT = 25


@dataclass(frozen=True)
class Counted:
    """The datasets of an organism with most cells, and how many others there are."""

    ids: tuple[str, ...]
    cells: tuple[int, ...]
    n_others: int


def cells_of(store: Store) -> NDArray[np.int64]:
    """Return the selected cells of each dataset of the store on disk."""
    if store.selection.order is None:
        return store.selection.counts
    codes = store.obs_column("dataset").values
    return np.bincount(codes, minlength=len(store.manifest.datasets))


def dataset_facts(store: Store, cells: NDArray[np.int64]) -> tuple[DatasetFact, ...]:
    """Return the selected datasets with most cells."""
    order = np.argsort(-cells, kind="stable")[:MOST_DATASETS]
    infos = store.manifest.datasets
    return tuple(_fact(infos[i], int(cells[i])) for i in order.tolist() if cells[i])


def largest(store: Store, organism: str, cells: NDArray[np.int64]) -> Counted:
    """Return the datasets of an organism to look at more closely."""
    infos = store.manifest.datasets
    order = [i for i in np.argsort(-cells, kind="stable").tolist() if cells[i]]
    own = [i for i in order if infos[i].organism == organism]
    shown = own[:_MOST_LOOKED_AT]
    ids, counts = tuple(infos[i].id for i in shown), tuple(int(cells[i]) for i in shown)
    return Counted(ids, counts, len(own) - len(shown))


def _fact(info: DatasetInfo, n_obs: int) -> DatasetFact:
    x = info.matrices["X"]
    order = ", ".join(info.cluster_by)
    mixed = "shuffled" if info.shuffled else "as in its source"
    return DatasetFact(
        id=shortened(info.id, NAME_WIDTH),
        organism=shortened(info.organism, NAME_WIDTH),
        n_obs=n_obs,
        n_stored=info.n_obs,
        n_measured=info.n_measured,
        nnz_per_cell=x.nnz / max(1, info.n_obs),
        dtype=str(x.dtype) if x.encoding == "csr" else f"{x.dtype} dense",
        order=shortened(f"by {order}, {mixed}", NAME_WIDTH) if order else mixed,
    )
