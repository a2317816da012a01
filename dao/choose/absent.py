"""What AnnData has and a store has not, with what there is instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dao.similar import similar

if TYPE_CHECKING:
    from dao.store import Store

__all__ = ["absent"]

_INSTEAD = {
    "X": "its batches are store.generator(), and store.to_anndata().X has all of it in memory",
    "raw": "write it as X with dao.Source(path, layer='raw')",
    "layers": "ask for them by name: store.generator(layers=[...]), or store.to_anndata().layers",
    "obsm": "ask for them by name: store.generator(obsm=[...]), or store.to_anndata().obsm",
    "varm": "a store does not keep it",
    "obsp": "a store does not keep it",
    "varp": "a store does not keep it",
    "obs_names": "they are store.obs.index",
    "obs_keys": "the names of the columns are store.obs_columns",
    "var_keys": "the names of the columns are store.var.columns",
    "columns": "the names of the columns are store.obs_columns",
    "index": "the names of the cells are store.obs.index",
    "loc": "choose cells by name with store[[...]], or features too: store[cells, features]",
    "iloc": "choose cells by position with store[[...]], or features too: store[cells, features]",
    "query": "choose cells with store.subset('n_counts > 1000')",
    "filter": "choose cells with store.subset('n_counts > 1000')",
    "copy": "a store never changes, so no copy is needed",
    "write": "write the selection with dao.write_store(path, store)",
    "write_h5ad": "store.to_anndata().write_h5ad(path), or dao export",
    "to_df": "store.to_anndata().to_df() has all of it in memory",
    "n_cells": "it is store.n_obs",
    "n_genes": "it is store.n_vars",
}


def absent(store: Store, name: str) -> AttributeError:
    """Return the error for an attribute that a store does not have."""
    plain = f"{type(store).__name__!r} object has no attribute {name!r}"
    # Python itself looks for names with underscores, also before there is a state to ask.
    if name.startswith("_") or "obs_columns" not in store.__dict__:
        return AttributeError(plain, name=name, obj=store)
    if name in _INSTEAD:
        return AttributeError(f"A store has no {name}: {_INSTEAD[name]}.", name=name, obj=store)
    if name in store.obs_columns:
        msg = f"{name!r} is an obs column: store.obs[{name!r}]."
        return AttributeError(msg, name=name, obj=store)
    known = [n for n in dir(type(store)) if not n.startswith("_")]
    near = similar(name, known)
    hint = f". Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return AttributeError(f"{plain}{hint}", name=name, obj=store)
