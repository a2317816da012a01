"""Counts and genes per cell of each dataset, from some of its cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dao.printable import shortened
from dao.report.columns import NAME_WIDTH
from dao.report.facts import SpreadFact

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.report.datasets import Counted
    from dao.store import Store

__all__ = ["MOST_CELLS", "spread_facts", "stretches"]

MOST_CELLS = 2_000  # of a dataset
_STRETCHES = 20
_PERCENTILES = (5, 25, 50, 75, 95)


def spread_facts(store: Store, organism: str, looked_at: Counted) -> list[SpreadFact]:
    """Return how the selected features of X add up in the cells of some datasets."""
    counted = zip(looked_at.ids, looked_at.cells, strict=True)
    return [_fact(_some(store, name, n_obs), organism, name, n_obs) for name, n_obs in counted]


def stretches(n: int, most: int) -> NDArray[np.int64]:
    """Return at most so many of ``n`` positions, in a few stretches that are evenly spread.

    Neighbours share chunks, so that little is decoded.

    >>> stretches(5, 10).tolist(), len(stretches(10**6, 2_000))
    ([0, 1, 2, 3, 4], 2000)
    """
    if n <= most:
        return np.arange(n)
    length = most // _STRETCHES
    starts = np.linspace(0, n - length, _STRETCHES).astype(np.int64)
    return np.unique(starts[:, None] + np.arange(length))


def _some(store: Store, name: str, n_obs: int) -> Store:
    """Return some cells of a dataset, without a filter over all cells of the store."""
    ordinal, positions = store.manifest.ordinals[name], stretches(n_obs, MOST_CELLS)
    if store.selection.order is None:
        return store.take(store.selection.offsets[ordinal] + positions)
    there = np.flatnonzero(store.obs_column("dataset").values == ordinal)
    return store.take(there[positions])


def _fact(some: Store, organism: str, name: str, n_obs: int) -> SpreadFact:
    sums: list[NDArray[Any]] = []
    genes: list[NDArray[Any]] = []
    whole = True
    for batch in some.generator(sampler="sequential", dtype="native"):
        x = batch["X"]
        sums.append(np.asarray(x.astype(np.float64).sum(axis=1)).ravel())
        genes.append(np.asarray((x != 0).sum(axis=1)).ravel())
        whole = whole and bool((x.data >= 0).all() and (x.data == np.trunc(x.data)).all())
    n_genes = np.concatenate(genes)
    return SpreadFact(
        dataset=shortened(name, NAME_WIDTH),
        organism=shortened(organism, NAME_WIDTH),
        n_obs=n_obs,
        n_looked_at=some.n_obs,
        counts=_percentiles(np.concatenate(sums)),
        genes=_percentiles(n_genes),
        whole=whole,
        n_empty=int((n_genes == 0).sum()),
    )


def _percentiles(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(np.percentile(values, _PERCENTILES).astype(np.float64).tolist())
