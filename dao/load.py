"""`load_store`: from a path to a `Store` of everything in it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dao.backend import SourcesBackend, find_backend
from dao.errors import ArgumentError, UnknownColumnError, near_matches
from dao.features import FeatureTables
from dao.format.obs_schema import VIRTUAL_COLUMNS
from dao.obs import ObsStore
from dao.selection import Selection
from dao.sizes import parse_bytes
from dao.store import Store

if TYPE_CHECKING:
    from dao.backend import Backend, Reader

__all__ = ["load_store"]

_LOCAL = {"auto", "local", "zarr", "zarrs"}


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
        The folder that `dao.write_store` wrote. For ``backend="h5ad"`` a folder, pattern or list of
        ``.h5ad`` files, or a dict of them by dataset id.
    backend
        What decodes: ``"local"`` (compiled loops, the default for local folders), ``"zarrs"``
        (Rust), ``"zarr"`` (zarr-python alone), or the name of an installed third-party backend;
        ``"h5ad"`` reads files that were not converted.
    columns
        obs columns to offer; all if None.
    memory
        Bytes that a stream may hold, as a number or for example ``"1GiB"``. Changes speed,
        never the order of rows.
    storage_options
        For URLs; not in this version.
    **backend_options
        Passed to the backend.

    Raises
    ------
    dao.errors.StoreNotFoundError
        If there is no store at ``path``.
    dao.errors.UnknownBackendError, dao.errors.FormatVersionError, dao.errors.FormatError
        If it cannot be opened.

    Examples
    --------
    >>> store = load_store(store_path)
    >>> store.subset(cell_type="B cell").shape
    (100, 300)
    """
    name = "local" if backend == "auto" else backend
    decoder = find_backend(name)
    budget = parse_bytes(memory)
    if isinstance(path, str) or not isinstance(path, Sequence | Mapping):
        location = _location(path, storage_options, any_url=backend not in _LOCAL)
        opened = decoder.open(location, memory=budget, options=backend_options)
    else:
        location = "several files"
        opened = _open_sources(decoder, name, path, budget, backend_options)
    manifest = opened.manifest()
    known = {*manifest.obs_columns, *VIRTUAL_COLUMNS}
    columns = [columns] if isinstance(columns, str) else columns
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
        location,
        name,
        budget,
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


def _location(path: object, storage_options: Mapping[str, Any] | None, *, any_url: bool) -> str:
    if not isinstance(path, str | os.PathLike) or not str(path):
        msg = f"A store is opened by its path, not by {path!r}."
        raise ArgumentError(msg)
    location = str(os.fspath(path))
    if ("://" in location and not any_url) or storage_options:
        msg = f"{location}: this version reads local folders only. Copy the store to one."
        raise ArgumentError(msg)
    return location
