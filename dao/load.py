"""`load_store`: from a path to a `Store` of everything in it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from dao.backend import find_backend
from dao.errors import ArgumentError, UnknownColumnError, near_matches
from dao.features import FeatureTables
from dao.format.obs_schema import VIRTUAL_COLUMNS
from dao.obs import ObsStore
from dao.remote.url import is_url
from dao.selection import Selection
from dao.sizes import parse_bytes
from dao.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["load_store"]


def load_store(
    path: str | os.PathLike[str],
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
        ``https://`` (extra ``cloud``).
    backend
        What decodes: ``"local"`` (compiled loops, the default for local folders), ``"zarrs"``
        (Rust), ``"zarr"`` (zarr-python alone), or the name of an installed third-party backend.
        ``"cloud"`` is the default for URLs: what was read is kept on local disk.
    columns
        obs columns to offer; all if None.
    memory
        Bytes that a stream may hold, as a number or for example ``"1GiB"``. Changes speed,
        never the order of rows.
    storage_options
        For URLs: credentials, endpoint, region and the like, as obstore names them. What is not
        given comes from the environment.
    **backend_options
        Passed to the backend. Those of ``"cloud"``: ``cache_dir``, a folder; ``cache_size``, as
        ``"10GiB"``, 0 for no cache.

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
    location = _location(path)
    name = backend
    if backend == "auto":
        name = "cloud" if is_url(location) else "local"
    decoder = find_backend(name)
    if storage_options:
        backend_options["storage_options"] = dict(storage_options)
    _check_place(location, name, storage_options)
    budget = parse_bytes(memory)
    opened = decoder.open(location, memory=budget, options=backend_options)
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


def _location(path: object) -> str:
    if not isinstance(path, str | os.PathLike) or not str(path):
        msg = f"A store is opened by its path, not by {path!r}."
        raise ArgumentError(msg)
    return str(os.fspath(path))


def _check_place(location: str, backend: str, storage_options: object) -> None:
    if is_url(location) and backend == "local":
        msg = "backend='local' reads local folders only: leave it out for a URL."
        raise ArgumentError(msg)
    if storage_options and not is_url(location):
        msg = f"{location} is no URL: leave out storage_options=."
        raise ArgumentError(msg)
