"""A store that has been given an ontology: written, and opened again with the same selection."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dao.choose.unchanged import carried_over
from dao.errors import ArgumentError

if TYPE_CHECKING:
    import os

    from dao.store import Store

__all__ = ["with_ontology"]


def with_ontology(store: Store, column: str, file: str | os.PathLike[str]) -> Store:
    """Return the new generation of a store; see `dao.Store.add_ontology`."""
    from dao.load import load_store
    from dao.write.ontology import add_ontology

    if "://" in store.path:
        msg = f"{store.path}: this version writes to local folders only."
        raise ArgumentError(msg)
    info = store.column_info(column)
    if info.dtype != "string":
        msg = f"{column!r} holds {info.dtype}: an ontology is for names or ids of terms."
        raise ArgumentError(msg)
    known = partial(store.categories, column)
    add_ontology(Path(store.path), store.manifest, column, file, known)
    opened = load_store(store.path, store.backend, columns=store.obs_columns, memory=store.memory)
    selection = carried_over(store.selection, store.manifest, opened.manifest)
    return replace(
        opened,
        selection=selection,
        organisms=store.organisms,
        _chosen_features=store.chosen_features,
        _zero_features=store.zero_features,
    )
