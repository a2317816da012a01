"""What ``dao info`` tells of a store, as plain values."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao.remote.url import is_url
from dao.sizes import bytes_on_disk

if TYPE_CHECKING:
    from dao.format.manifest import DatasetInfo
    from dao.store import Store

__all__ = ["describe", "stored_bytes"]

_FIRST_CATEGORIES = 10


def describe(path: str) -> dict[str, Any]:
    """Return what a store holds as values that JSON can hold.

    Parameters
    ----------
    path
        Folder of the store.

    Raises
    ------
    dao.errors.StoreNotFoundError
        If there is no store.

    Examples
    --------
    >>> description = describe(str(store_path))
    >>> description["n_obs"], [d["id"] for d in description["datasets"]]
    (400, ['blood', 'gut'])
    """
    import dao

    store = dao.load_store(path)
    manifest = store.manifest
    return {
        "path": path,
        "uuid": manifest.uuid,
        "generation": manifest.generation,
        "created": manifest.created,
        "created_by": manifest.created_by,
        "profile": manifest.profile,
        "n_obs": manifest.n_obs,
        "bytes": stored_bytes(store),
        "feature_spaces": {s.organism: s.n_vars for s in manifest.feature_spaces},
        "datasets": [_dataset(d) for d in manifest.datasets],
        "obs_columns": {name: _column(store, name) for name in manifest.obs_columns},
        "history": [dict(h) for h in manifest.history],
    }


def stored_bytes(store: Store) -> int:
    """Return the size of a store: of the files in its folder, or at a URL of those in use."""
    return store.manifest.n_bytes if is_url(store.path) else bytes_on_disk(Path(store.path))


def _dataset(dataset: DatasetInfo) -> dict[str, Any]:
    x = dataset.matrices["X"]
    return {
        "id": dataset.id,
        "organism": dataset.organism,
        "n_obs": dataset.n_obs,
        "n_measured": dataset.n_measured,
        "matching": None if dataset.matching is None else asdict(dataset.matching),
        "nnz": x.nnz,
        "encoding": x.encoding,
        "dtype": str(x.dtype),
        "source_dtype": x.source_dtype,
        "layers": dataset.layers,
        "obsm": dataset.obsm,
        "shuffled": dataset.shuffled,
        "cluster_by": list(dataset.cluster_by),
        "bytes": dataset.n_bytes,
    }


def _column(store: Store, name: str) -> dict[str, Any]:
    column = store.manifest.obs_columns[name]
    categories = store.categories(name) if column.kind == "categorical" else None
    return {
        "kind": f"ordered {column.kind}" if column.ordered else column.kind,
        "dtype": column.dtype,
        "nullable": column.nullable,
        "n_categories": None if categories is None else len(categories),
        # Not all: there may be as many as cells.
        "first_categories": None if categories is None else categories[:_FIRST_CATEGORIES],
    }
