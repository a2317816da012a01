"""A store whose selected cells are decoded and held in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.arguments import names
from dao.backend import find_backend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dao.store import Store

__all__ = ["to_memory"]


def to_memory(
    store: Store, layers: Sequence[str] | None = None, obsm: Sequence[str] | None = None
) -> Store:
    """Return the store with its selection in memory; see `dao.Store.to_memory`."""
    layers = None if layers is None else names("layers", layers)
    obsm = None if obsm is None else names("obsm", obsm)
    for kind, listed in (("layers", layers), ("obsm", obsm)):
        for name in listed or ():
            store.matrix_infos(f"{kind}/{name}")
    backend: Any = find_backend("memory")
    datasets = store.manifest.datasets
    rows = {
        datasets[i].id: None if chosen is None else chosen.astype(np.int64)
        for i, chosen in store.selection.parts()
    }
    held = backend.around(store.reader, rows, _columns(store))
    for i in store.selection.datasets:
        dataset = datasets[i]
        own_layers = dataset.layers if layers is None else layers
        own_obsm = dataset.obsm if obsm is None else obsm
        others = [f"layers/{name}" for name in own_layers] + [f"obsm/{name}" for name in own_obsm]
        for matrix in ["X", *others]:
            held.load(dataset.id, matrix)
    reason = "matrices stay decoded in memory"
    return replace(store, reader=held, backend="memory", backend_reason=reason)


def _columns(store: Store) -> NDArray[np.bool_] | None:
    """Return which features of the space are chosen; None for all."""
    if store.chosen_features is None:
        return None
    positions = store.feature_positions()
    mask = np.zeros(store.manifest.space(store.organisms[0]).n_vars, np.bool_)
    mask[positions[positions >= 0]] = True
    return mask
