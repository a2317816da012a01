"""What a report tells of datasets, and which of many it looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dao.printable import shortened
from dao.report.columns import NAME_WIDTH
from dao.report.facts import DatasetFact

if TYPE_CHECKING:
    from dao.format.manifest import DatasetInfo
    from dao.store import Store

__all__ = ["MOST_DATASETS", "Counted", "dataset_facts", "largest"]

MOST_DATASETS = 50
_MOST_LOOKED_AT = 25


@dataclass(frozen=True)
class Counted:
    """The datasets of an organism with most cells, and how many others there are."""

    ids: tuple[str, ...]
    cells: tuple[int, ...]
    n_others: int


def dataset_facts(store: Store) -> tuple[DatasetFact, ...]:
    """Return the selected datasets with most cells."""
    return tuple(_fact(info, n) for info, n in _by_size(store)[:MOST_DATASETS])


def largest(store: Store, organism: str) -> Counted:
    """Return the datasets of an organism to look at more closely."""
    own = [(info.id, n) for info, n in _by_size(store) if info.organism == organism]
    shown = own[:_MOST_LOOKED_AT]
    ids, cells = tuple(name for name, _ in shown), tuple(n for _, n in shown)
    return Counted(ids, cells, len(own) - len(shown))


def _by_size(store: Store) -> list[tuple[DatasetInfo, int]]:
    """Return the selected datasets and their cells, those with most first."""
    cells = store.selection.n_obs_by_dataset[store.selection.datasets].tolist()
    return sorted(zip(store.selected_datasets, cells, strict=True), key=lambda one: -one[1])


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
