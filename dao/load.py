"""`load_store`: from a path to a `Store` of everything in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dao.arguments import mapping, names, text
from dao.auto_backend import auto_backend, several
from dao.backend import SourcesBackend, find_backend
from dao.errors import ArgumentError, UnknownColumnError, near_matches
from dao.features import FeatureTables
from dao.format.obs_schema import VIRTUAL_COLUMNS
from dao.obs import ObsStore
from dao.paths import is_path, location
from dao.remote.url import is_url
from dao.selection import Selection
from dao.sizes import parse_bytes
from dao.store import Store

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from dao.backend import Backend, Reader

__all__ = ["load_store"]


def load_store(
    path: str | os.PathLike[str] | Sequence[Any] | Mapping[str, Any],
    backend: str = "auto",
    *,
    columns: Sequence[str] | None = None,
    memory: int | str = "1GiB",
    storage_options: Mapping[str, Any] | None = None,
    **backend_options: Any,
) -> Store:
    """Open a store for reading.

    Parameters
    ----------
    path
        The folder that `dao.write_store` wrote, or its URL: ``s3://``, ``gs://``, ``az://`` or
        ``https://`` (extra ``cloud``). Also unconverted files: one ``.h5ad``, a folder, pattern or
        list of them, a dict of them by dataset id, or a store of sfaira.
    backend
        What decodes: ``"local"`` (compiled loops), ``"zarrs"`` (Rust), ``"zarr"`` (zarr-python
        alone), or the name of an installed third-party backend. ``"auto"`` is ``"local"`` for
        local folders, ``"cloud"`` for URLs (what was read is kept on local disk), ``"h5ad"`` or
        ``"sfaira"`` for what was not converted; `Generator.explain` says which and why.
    columns
        obs columns to offer; all if None.
    memory
        Bytes that a stream may hold, as a number or for example ``"1GiB"``. Changes speed,
        never the order of rows.
    storage_options
        For URLs: credentials, endpoint, region and the like, as obstore names them, and options of
        its HTTP client and of repeated requests, as ``{"timeout": 30, "retry_timeout": 120}``. What
        is not given comes from the environment.
    **backend_options
        Passed to the backend. Those of ``"cloud"``: ``cache_dir``, a folder; ``cache_size``, as
        ``"10GiB"``, 0 for no cache. For all URLs: ``retry_timeout``, the seconds for which
        requests are made again while a server fails that has answered before; 60 if not given.

    Raises
    ------
    dao.errors.StoreNotFoundError
        If there is no store at ``path``.
    dao.errors.StorageError
        If a server cannot be reached, or refuses.
    dao.errors.UnknownBackendError, dao.errors.FormatVersionError, dao.errors.FormatError
        If it cannot be opened.

    Examples
    --------
    >>> store = load_store(store_path)
    >>> store.subset(cell_type="B cell").shape
    (100, 300)
    """
    sources = several(path)
    where = _location(path) if sources is None else "several files"
    given = where if sources is None else sources
    text("backend", backend, "local")
    name, reason = auto_backend(given) if backend == "auto" else (backend, "as asked for")
    decoder = find_backend(name)
    if storage_options is not None:
        storage_options = mapping("storage_options", storage_options, "{'region': 'eu-central-1'}")
    if storage_options:
        backend_options["storage_options"] = storage_options
    _check_place(where, name, storage_options)
    budget = parse_bytes(memory)
    if sources is None:
        opened = decoder.open(where, memory=budget, options=backend_options)
    else:
        opened = _open_sources(decoder, name, sources, budget, backend_options)
    manifest = opened.manifest()
    known = {*manifest.obs_columns, *VIRTUAL_COLUMNS}
    columns = None if columns is None else names("columns", columns)
    for column in columns or ():
        if column not in known:
            msg = f"columns: there is no obs column {column!r}.{near_matches(column, known)}"
            raise UnknownColumnError(msg)
    offered = tuple(c for c in manifest.obs_columns if columns is None or c in set(columns))
    selection = Selection.everything(manifest)
    organisms = tuple(s.organism for s in manifest.feature_spaces)
    return Store(
        opened,
        ObsStore(opened),
        FeatureTables(opened),
        selection,
        offered,
        organisms,
        where,
        name,
        budget,
        reason,
    )


def _open_sources(
    backend: Backend,
    name: str,
    sources: Sequence[Any] | Mapping[str, Any],
    memory: int,
    options: Mapping[str, Any],
) -> Reader:
    if not isinstance(backend, SourcesBackend):
        msg = f"Backend {name!r} opens one store; several .h5ad files are for backend='h5ad'."
        raise ArgumentError(msg)
    return backend.open_sources(sources, memory=memory, options=options)


def _location(path: object) -> str:
    if not is_path(path):
        msg = f"A store is opened by its path, not by {type(path).__name__}. Pass a str or a Path."
        raise ArgumentError(msg)
    return str(location(path))


def _check_place(where: str, backend: str, storage_options: object) -> None:
    if is_url(where) and backend == "local":
        msg = "backend='local' reads local folders only: leave it out for a URL."
        raise ArgumentError(msg)
    if storage_options and not is_url(where):
        msg = f"{where} is not a URL: leave out storage_options=."
        raise ArgumentError(msg)
