"""A store after its directory was changed: opened again, with the same cells and features."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao.backend import check_own
from dao.choose.unchanged import carried_over
from dao.errors import ArgumentError
from dao.remote.url import is_url

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from dao.store import Store

__all__ = ["compacted", "with_ontology", "without_datasets"]


def with_ontology(store: Store, column: str, file: str | os.PathLike[str]) -> Store:
    """Return the new generation of a store; see `dao.Store.add_ontology`."""
    from dao.write.ontology import add_ontology

    root = _root(store, "add_ontology")
    info = store.column_info(column)
    if info.dtype != "string":
        msg = f"{column!r} holds {info.dtype}: an ontology is for names or ids of terms."
        raise ArgumentError(msg)
    add_ontology(root, store.manifest, column, file, partial(store.categories, column))
    return _opened_again(store, store)


def without_datasets(store: Store, ids: Sequence[str]) -> Store:
    """Return the new generation of a store; see `dao.Store.remove`."""
    from dao.write.change import check_there, remove_datasets

    root = _root(store, "remove")
    check_there(ids, store.manifest)
    left = store.subset(exclude={"dataset": list(ids)})
    remove_datasets(root, store.manifest, ids)
    return _opened_again(store, left)


def compacted(store: Store, **arguments: Any) -> Store:
    """Return the new generation of a store; see `dao.Store.compact`."""
    from dao.load import load_store
    from dao.write.change import check_same
    from dao.write.compact import compact_datasets

    root = _root(store, "compact")
    # What others have committed since stays, and may be what is asked for.
    now = load_store(root)
    check_same(now.manifest, store.manifest, root)
    compact_datasets(root, now, **arguments)
    return load_store(store.path, store.backend, memory=store.memory)


def _root(store: Store, what: str) -> Path:
    check_own(store.reader, what)
    if is_url(store.path):
        msg = f"{store.path}: this version writes to local folders only."
        raise ArgumentError(msg)
    return Path(store.path)


def _opened_again(before: Store, wanted: Store) -> Store:
    """Return the generation that is there now, with the cells and features of ``wanted``."""
    from dao.load import load_store

    everything = before.obs_columns == tuple(before.manifest.obs_columns)
    columns = None if everything else before.obs_columns
    opened = load_store(before.path, before.backend, columns=columns, memory=before.memory)
    selection = carried_over(wanted.selection, before.manifest, opened.manifest)
    return replace(
        opened,
        selection=selection,
        organisms=tuple(o for o in wanted.organisms if o in opened.organisms),
        _chosen_features=before.chosen_features,
        _zero_features=before.zero_features,
    )
