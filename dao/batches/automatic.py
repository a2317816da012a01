"""What is left to choose: settings of the sampler from what is known of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dao.batches.rows import key_of
from dao.samplers import Shuffle
from dao.samplers.auto import auto_shuffle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from dao.samplers import Rows, Sampler
    from dao.store import Store

    LabelsOf = Callable[[NDArray[np.int64]], NDArray[np.integer]]

__all__ = ["choices", "label_function", "settled"]

_MOST_COLUMNS = 16  # that are looked at where nothing is known of the order of the rows


def settled(sampler: Sampler, store: Store, rows: Rows) -> Sampler:
    """Return the sampler with everything chosen that was left to choose."""
    if not isinstance(sampler, Shuffle) or "auto" not in {sampler.block, sampler.window}:
        return sampler
    keys = list(_unmixed(store)) if rows.n > sampler.lengths[1] else []
    return auto_shuffle(sampler, rows, {key: label_function(store, key) for key in keys})


def choices(sampler: str | Sampler, found: Sampler) -> dict[str, int]:
    """Return what `settled` chose of what was left to choose."""
    given = Shuffle() if sampler == "shuffle" else sampler
    if not isinstance(given, Shuffle) or not isinstance(found, Shuffle):
        return {}
    names = [n for n in ("block", "window") if getattr(given, n) == "auto"]
    return {n: getattr(found, n) for n in names}


def label_function(store: Store, key: str) -> LabelsOf:
    """Return a function from positions in the selection to labels of an obs column."""
    if key == "dataset":
        return store.selection.dataset_of
    codes = key_of(key, store.obs_column(key)).codes
    return lambda rows: codes[rows]


def _unmixed(store: Store) -> Iterator[str]:
    """Yield the columns by which cells may lie together on disk.

    Within a dataset that was written shuffled there are none but those of ``cluster_by``.
    """
    datasets = store.selected_datasets
    if len(datasets) > 1:
        yield "dataset"
    keys = dict.fromkeys(key for d in datasets for key in d.cluster_by)
    if not all(d.shuffled for d in datasets):
        columns = store.manifest.obs_columns
        kinds = [n for n in store.obs_columns if columns[n].kind == "categorical"]
        keys |= dict.fromkeys(kinds[:_MOST_COLUMNS])
    yield from (key for key in keys if key in store.obs_columns)
