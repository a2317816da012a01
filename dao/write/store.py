"""`write_store`: many studies in, one store out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao.arguments import mapping
from dao.errors import ArgumentError
from dao.paths import is_path, location
from dao.write.job import make_job
from dao.write.remote import staged
from dao.write.run import plan_sources, write_sources
from dao.write.source import normalise_sources

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from dao.store import Store
    from dao.write.plan import WritePlan

__all__ = ["plan_store", "write_store"]


def write_store(
    path: str | os.PathLike[str],
    sources: Any,
    *,
    organism: str | None = None,
    features: Any = "outer",
    feature_key: str | None = None,
    layer: str | None = None,
    layers: Sequence[str] = (),
    obsm: Sequence[str] = (),
    obs_columns: Sequence[str] | None = None,
    obs_schema: Mapping[str, Any] | None = None,
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
        Folder of the store, or its URL: ``s3://``, ``gs://`` or ``az://`` (extra ``cloud``). For a
        URL everything new is written to the folder of temporary files first.
    sources
        An AnnData, a path (.h5ad, anndata .zarr, 10x .h5), a folder of .h5ad files, a pattern such
        as ``"data/*.h5ad"``, a `dao.Source`, a `dao.Store`, or a list
        or dict (id -> any of these). Files and stores are read piece by piece, never whole. Of a
        store each dataset that has cells selected becomes one, with the selected features.
    organism
        Of all sources that do not say otherwise; taken from ``uns["organism"]`` or
        ``obs["organism"]`` if None, else "unknown".
    features
        ``"outer"``: every feature of any study; ``"inner"``: those that all studies of an
        organism share; or the wanted ones in the order wanted: ids, a DataFrame, a store, or a
        path (GTF, parquet, csv, one id per line, a store). `dao.Features` says more, as aliases;
        a dict gives each organism its own. Genes that a study did not measure are zero in X and
        known as not measured.
    feature_key
        Column of var with the feature ids; var_names if None. Version suffixes of Ensembl ids
        are cut, columns with the same id are summed.
    layer
        Which matrix becomes X: a layer, ``"raw"``, or X; of a 10x file a genome or a type of
        features. Where a layer is called raw: ``"layers/raw"`` or ``"raw/X"``.
    layers, obsm
        Further matrices to store. Layers are aligned like X. Each obsm has the same columns in all
        studies of an organism: those of DataFrames are aligned by name, others must be alike. If
        none are named, all that a `dao.Store` among the sources has come along. What is left out
        is named in a warning.
    obs_columns
        Columns of obs to keep; all if None.
    obs_schema
        Column -> `dao.ObsColumn` or a dtype, as in ``{"cell_type": "category"}``: what obs must
        be, and which columns are kept. The store remembers it, and holds appended studies to it.
        If None, the columns of the studies are united.
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
        ``"create"`` begins a store, and refuses a path where one is. ``"append"`` adds datasets to
        the store that is there, and ``"replace"`` puts datasets in the place of those with the
        same ids; both refuse a path without a store. ``"overwrite"`` replaces the whole store.
    client
        A `dask.distributed.Client`, or the address of a scheduler (extra ``dask``): the workers of
        its cluster read and write, with ``memory`` each. They must see the sources and the store
        at the same paths. What is in memory is written by this process meanwhile. The files are
        the same as without.
    storage_options
        For URLs, as in `dao.load_store`.
    progress
        Show a progress bar on a terminal.

    Returns
    -------
    The opened store.

    Raises
    ------
    dao.errors.StoreExistsError, dao.errors.StoreNotFoundError
        If there is a store that ``mode`` refuses, or none that it needs.
    dao.errors.SourceError
        If a source cannot be read, or is changed by another program while it is written.
    dao.errors.DaoError
        For anything else. In every case the disk is then as it was before.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> adata = anndata.AnnData(np.eye(3, dtype="float32"))
    >>> store = write_store(tmp_path / "tiny.dao", {"tiny": adata}, progress=False)
    >>> store.shape
    (3, 3)
    """
    options: dict[str, Any] = {
        "layers": layers,
        "obsm": obsm,
        "obs_columns": obs_columns,
        "obs_schema": obs_schema,
        "shuffle": shuffle,
        "cluster_by": cluster_by,
        "seed": seed,
        "profile": profile,
        "memory": memory,
        "mode": mode,
    }
    where = _location(path, storage_options)
    if client is not None:
        from dao.write.cluster import check_client

        check_client(client)
    given = normalise_sources(sources, organism=organism, layer=layer, feature_key=feature_key)
    from dao.load import load_store

    if isinstance(where, Path):
        job = make_job(where, **options)
        write_sources(job, given, features, progress=progress, client=client)
        return load_store(where)
    make_job(Path(), **options)  # what is wrong is found before anything is requested
    with staged(where, storage_options, mode) as staging:
        job = make_job(staging.root, **options, token=staging.token)
        write_sources(job, given, features, progress=progress, client=client)
        staging.publish(replace=mode == "overwrite")
    return load_store(where, storage_options=storage_options)


def plan_store(
    path: str | os.PathLike[str],
    sources: Any,
    *,
    organism: str | None = None,
    features: Any = "outer",
    feature_key: str | None = None,
    layer: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> WritePlan:
    """Return what `write_store` would write with the same arguments; nothing is written.

    Raises
    ------
    dao.errors.DaoError
        For everything that would stop the write before matrices are read.
    """
    where = _location(path, storage_options)
    given = normalise_sources(sources, organism=organism, layer=layer, feature_key=feature_key)
    if isinstance(where, Path):
        return plan_sources(make_job(where, **options), given, features)
    make_job(Path(), **options)
    with staged(where, storage_options, options.get("mode", "create")) as staging:
        return plan_sources(make_job(staging.root, **options), given, features)


def _location(path: object, storage_options: Mapping[str, Any] | None) -> Path | str:
    if not is_path(path):
        msg = f"A store is written to a path, not to {type(path).__name__}. Pass a str or a Path."
        raise ArgumentError(msg)
    where = location(path)
    if storage_options is not None:
        mapping("storage_options", storage_options, "{'region': 'eu-central-1'}")
    if storage_options and isinstance(where, Path):
        msg = f"{where} is not a URL: leave out storage_options=."
        raise ArgumentError(msg)
    return where
