"""`write_store`: many studies in, one store out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import ArgumentError
from dao.format.encodings import PROFILES
from dao.sizes import parse_bytes
from dao.write.commit import commit, garbage, remove_all, write_lock
from dao.write.generation import Job, write_generation
from dao.write.inspect import inspect_source
from dao.write.progress import progress_report
from dao.write.source import normalise_sources

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dao.store import Store

__all__ = ["write_store"]


def write_store(
    path: str | os.PathLike[str],
    sources: Any,
    *,
    organism: str | None = None,
    features: str | Sequence[str] = "outer",
    feature_key: str | None = None,
    layer: str | None = None,
    layers: Sequence[str] = (),
    obsm: Sequence[str] = (),
    obs_columns: Sequence[str] | None = None,
    shuffle: bool = True,
    cluster_by: str | Sequence[str] | None = None,
    seed: int = 0,
    profile: str = "fast",
    memory: int | str = "2GiB",
    mode: str = "create",
    client: Any = None,
    storage_options: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Store:
    """Write studies into a store, aligned to one feature space per organism.

    Parameters
    ----------
    path
        Folder of the store.
    sources
        An AnnData, a path (.h5ad, anndata .zarr, 10x .h5), a `dao.Source`, or a list or dict
        (id -> any of these). Files are read piece by piece, never whole.
    organism
        Of all sources that do not say otherwise; taken from ``uns["organism"]`` or
        ``obs["organism"]`` if None, else "unknown".
    features
        ``"outer"``: every feature of any study; ``"inner"``: those that all studies of an
        organism share; or the wanted ids, in the order wanted. Genes that a study did not
        measure are zero in X and known as not measured.
    feature_key
        Column of var with the feature ids; var_names if None. Version suffixes of Ensembl ids
        are cut, columns with the same id are summed.
    layer
        Which matrix becomes X: a layer, ``"raw"``, or X.
    layers, obsm
        Further matrices to store. Layers are aligned like X.
    obs_columns
        Columns of obs to keep; all if None.
    shuffle
        Bring the rows of each dataset into a random order, so that consecutive rows are a
        fair sample. ``obs["_source_row"]`` remembers where each row was.
    cluster_by
        Columns of obs: rows with equal values lie together (shuffled among themselves), so
        that a subset by these columns reads little.
    seed
        Of the shuffle; the same sources and seed give the same store.
    profile
        ``"fast"`` (for local disks) or ``"compact"`` (fewer bytes, slower).
    memory
        Bytes that writing may hold, as a number or for example ``"2GiB"``.
    mode
        ``"create"`` refuses an existing store, ``"append"`` adds datasets to it,
        ``"overwrite"`` replaces it.
    client, storage_options
        For writing on a cluster and to URLs; not in this version.
    progress
        Show a progress bar on a terminal.

    Returns
    -------
    The opened store.

    Raises
    ------
    dao.errors.DaoError
        The disk is then as it was before.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> adata = anndata.AnnData(np.eye(3, dtype="float32"))
    >>> store = write_store(tmp_path / "tiny.dao", {"tiny": adata}, progress=False)
    >>> store.shape
    (3, 3)
    """
    root = _check_path(path, client, storage_options)
    for name, value, allowed in (
        ("profile", profile, tuple(PROFILES)),
        ("mode", mode, ("create", "append", "overwrite")),
    ):
        if value not in allowed:
            msg = f"{name}={value!r}: give one of {', '.join(map(repr, allowed))}."
            raise ArgumentError(msg)
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        msg = f"seed={seed!r}: give a whole number of at least 0."
        raise ArgumentError(msg)
    job = Job(
        root=root,
        generation=1,
        matrices=(
            *(f"layers/{n}" for n in _names("layers", layers)),
            *(f"obsm/{n}" for n in _names("obsm", obsm)),
        ),
        obs_columns=None if obs_columns is None else _names("obs_columns", obs_columns),
        shuffle=bool(shuffle),
        cluster_by=() if cluster_by is None else _names("cluster_by", cluster_by),
        seed=int(seed),
        profile=profile,
        memory=parse_bytes(memory),
    )
    given = normalise_sources(sources, organism=organism, layer=layer, feature_key=feature_key)
    studies = [
        inspect_source(
            source,
            matrices=job.matrices,
            obs_columns=job.obs_columns,
            shuffle=job.shuffle,
            cluster_by=job.cluster_by,
            seed=int(seed),
        )
        for source in given
    ]
    with write_lock(root, mode=mode) as before:
        if before is not None:
            job = replace(job, generation=before.generation + 1)
        base = before if mode == "append" else None
        with progress_report(show=progress) as report:
            manifest = write_generation(job, studies, features, base, before, report)
        commit(root, manifest)
        if mode == "overwrite":
            remove_all(garbage(root, manifest, old_generations=True))
    from dao.load import load_store

    return load_store(root)


def _names(argument: str, names: str | Iterable[str]) -> tuple[str, ...]:
    listed = (names,) if isinstance(names, str) else tuple(names)
    if not all(isinstance(n, str) and n for n in listed) or len(set(listed)) != len(listed):
        msg = f"{argument}={names!r}: give different names as strings."
        raise ArgumentError(msg)
    if argument in {"layers", "obsm"} and any("/" in n or n.startswith(".") for n in listed):
        msg = (
            f"{argument}={names!r}: a name that becomes a folder cannot hold '/' or begin with '.'."
        )
        raise ArgumentError(msg)
    return listed


def _check_path(
    path: str | os.PathLike[str], client: Any, storage_options: Mapping[str, Any] | None
) -> Path:
    if client is not None:
        msg = "client= (writing on a cluster) is not in this version; leave it out."
        raise ArgumentError(msg)
    if not isinstance(path, str | os.PathLike) or not str(path):
        msg = f"A store is written to a path, not to {path!r}."
        raise ArgumentError(msg)
    if "://" in str(path) or storage_options:
        msg = f"{path}: this version writes to local folders only. Write there and copy the store."
        raise ArgumentError(msg)
    return Path(path)
