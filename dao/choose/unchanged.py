"""Whether a store still has the cells and features that were selected in it earlier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dao.errors import StoreChangedError
from dao.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dao.format.manifest import DatasetInfo, Manifest
    from dao.format.saved import SavedDataset, SavedSelection
    from dao.store import Store

__all__ = ["carried_over", "same_features", "still_there"]


def still_there(datasets: Iterable[SavedDataset], manifest: Manifest, consequence: str) -> None:
    """Check that datasets hold the same cells in the same order as they did.

    Raises
    ------
    dao.errors.StoreChangedError
        If one does not; says which and why.
    """
    for then in datasets:
        if then.id not in manifest.ordinals:
            msg = f"{consequence}: dataset {then.id!r} is not in the store any more."
            raise StoreChangedError(msg)
        now = manifest.dataset(then.id)
        if (now.path, now.obs.file.sha256, now.n_obs) != (then.path, then.obs_sha256, then.n_obs):
            how = f"with {now.n_obs:,} instead of {then.n_obs:,} cells"
            if now.n_obs == then.n_obs:
                how = "with other cells, or the same ones in another order"
            msg = (
                f"{consequence}: dataset {then.id!r} was written anew, {how}. Select the "
                "cells again."
            )
            raise StoreChangedError(msg)


def carried_over(selection: Selection, then: Manifest, now: Manifest) -> Selection:
    """Return a selection of one generation of a store in another one.

    Raises
    ------
    dao.errors.StoreChangedError
        If selected datasets were removed or written anew in between.
    """
    chosen = {_identity(then.datasets[i]): selection.chosen[i] for i in selection.datasets}
    there = [_identity(d) for d in now.datasets]
    if [i for i in there if i in chosen] != list(chosen):
        msg = "The store has changed since it was opened: open it again."
        raise StoreChangedError(msg)
    none = np.empty(0, np.uint32)
    sizes = tuple(d.n_obs for d in now.datasets)
    return Selection(sizes, tuple(chosen.get(i, none) for i in there), selection.order)


def same_features(store: Store, saved: SavedSelection, where: str) -> Store:
    """Return a store with the features that were saved, also where its space has grown.

    Raises
    ------
    dao.errors.StoreChangedError
        If the spaces of several organisms have grown, of which features cannot be chosen.
    """
    if saved.features is not None:
        stored = [f for f in saved.features if f not in set(saved.zero_features)]
        # Those that an earlier choice left out are zeros, whatever the store has of them by now.
        chosen = store.select_features(stored) if stored else store
        return chosen.select_features(saved.features, missing="zero")
    grown = [o for o, n in saved.n_vars.items() if store.manifest.space(o).n_vars != n]
    if not grown:
        return store
    if len(saved.n_vars) > 1:
        msg = f"{where} cannot be used: by now the store has more features of {grown[0]}."
        raise StoreChangedError(msg)
    # New features come at the end of a space.
    return store.select_features(store.var_names[: saved.n_vars[grown[0]]])


def _identity(dataset: DatasetInfo) -> tuple[str, str, str]:
    return dataset.id, dataset.path, dataset.obs.file.sha256
