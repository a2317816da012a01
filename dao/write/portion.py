"""Portion: cells of an open store that become one dataset of another store."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dao.cached import cached_property
from dao.errors import ArgumentError, SourceError
from dao.format.names import UNKNOWN_ORGANISM
from dao.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from dao.format.manifest import DatasetInfo, MatchingInfo, OriginInfo
    from dao.store import Store
    from dao.write.source import Source

__all__ = ["Matched", "Origin", "Portion", "each_dataset", "known_organism", "portion_of"]


@dataclass(frozen=True)
class Portion:
    """Cells of datasets of one organism.

    Attributes
    ----------
    store
        The cells, in store order, and the features.
    order
        Which of them comes where, if not in store order.
    datasets
        Those that they belong to; they may have no cells.
    keep_ids
        The obs column that says of each cell which dataset it belongs to; None for none.
    is_again
        Whether this is a whole dataset that is written into its own store again.
    """

    store: Store
    order: NDArray[Any] | None
    datasets: tuple[DatasetInfo, ...]
    keep_ids: str | None = None
    is_again: bool = False

    @cached_property
    def label(self) -> str:
        """How messages name it."""
        ids = ", ".join(repr(d.id) for d in self.datasets)
        return f"{ids} of {self.store.path}"


@dataclass(frozen=True)
class Matched:
    """The tables of measured and dropped features of a dataset, and their numbers."""

    measured: pd.DataFrame
    dropped: pd.DataFrame | None
    matching: MatchingInfo | None


@dataclass(frozen=True)
class Origin:
    """What is known of the cells of a portion besides obs.

    Attributes
    ----------
    order
        As of `Portion`.
    source_rows
        Which row each of them had in the source that it came from at first.
    matrices
        Layers and obsm that come along.
    annotation
        What the store says of the features, which the study need not have said itself.
    shuffled
        Whether they are in a random order.
    matched
        How the features were matched at first, where they go to the same places again.
    datasets
        Which datasets they were in at first, by source rows.
    """

    order: NDArray[Any] | None
    source_rows: NDArray[np.int64]
    matrices: tuple[str, ...]
    annotation: pd.DataFrame
    shuffled: bool
    matched: Matched | None = None
    datasets: tuple[OriginInfo, ...] = ()

    def origins(self, dataset: str) -> tuple[OriginInfo, ...]:
        """Return what the manifest records of them as a dataset of this id."""
        always_there = [(o.id, o.first) for o in self.datasets] == [(dataset, 0)]
        return () if always_there else self.datasets


def each_dataset(source: Source, store: Store) -> list[Source]:
    """Return a source for each dataset that a store has cells of.

    Raises
    ------
    dao.errors.SourceError
        If no cells are selected, or one comes several times.
    dao.errors.ArgumentError
        If one id was given to several.
    """
    ids = store.datasets
    if not ids:
        msg = f"No cells of {store.path} are selected: there is nothing to write."
        raise SourceError(msg)
    if store.n_obs > store.selection.n_chosen:
        msg = (
            f"Some cells of {store.path} are selected several times, and a dataset holds each "
            "once. Leave out the repeats: store.take(np.unique(...))."
        )
        raise SourceError(msg)
    if source.id is not None and len(ids) > 1:
        msg = (
            f"{store.path} has {len(ids)} datasets with ids of their own: leave out {source.id!r}, "
            f"or give the cells of one: store.subset(dataset={ids[0]!r})."
        )
        raise ArgumentError(msg)
    return [
        replace(
            source,
            path=(portion := portion_of(store, [name])),
            id=source.id or name,
            organism=source.organism or known_organism(portion),
        )
        for name in ids
    ]


def portion_of(
    store: Store, ids: Sequence[str], keep_ids: str | None = None, *, is_again: bool = False
) -> Portion:
    """Return the selected cells of some datasets of one organism; see `Portion`."""
    datasets = tuple(store.manifest.datasets[store.manifest.ordinals[i]] for i in ids)
    chosen = store.subset(dataset=list(ids))
    selection = chosen.selection
    stored = Selection(selection.sizes, selection.chosen)
    cells = replace(chosen, selection=stored, organisms=(datasets[0].organism,))
    return Portion(cells, selection.order, datasets, keep_ids, is_again)


def known_organism(portion: Portion) -> str | None:
    """Return the organism of a portion; None if nobody has said it."""
    name = portion.datasets[0].organism
    return None if name == UNKNOWN_ORGANISM else name
