"""Which backend opens what is at a path, where the user leaves that to dao, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dao.arguments import listed
from dao.format.manifest import MANIFEST_NAME
from dao.paths import is_path, local_path
from dao.remote.url import is_url

__all__ = ["auto_backend", "several"]


def auto_backend(path: Any) -> tuple[str, str]:
    """Return the name of a backend, and the reason as words.

    Nothing is opened: names of files say enough. What is of no known kind is left to the backend
    for local stores, which says what it lacks.

    Parameters
    ----------
    path
        An absolute path or a URL, or several sources as `several` returns them.
    """
    sources = several(path)
    if sources is not None:
        given = sources.values() if isinstance(sources, Mapping) else sources
        if any(is_path(one) and not is_url(one) and _is_store(local_path(one)) for one in given):
            return "local", "these are stores"
        return "h5ad", "several files are read as they are"
    text = str(path)
    if is_url(text):
        return "cloud", "the store is at a URL, and what was read is kept on local disk"
    place = Path(text)
    if not _is_store(place):
        if _is_h5ad(place, text):
            return "h5ad", ".h5ad files are read as they are"
        if place.is_dir() and any(any(place.glob(p)) for p in ("zarr/X", "*/zarr/X")):
            return "sfaira", "sfaira wrote this, and it is read as it is"
    return "local", "the store is in a local folder, and compiled loops decode into batches"


def several(path: Any) -> Sequence[Any] | Mapping[str, Any] | None:
    """Return the sources if a list or a dict of them is given in place of a path, else None."""
    if is_path(path):
        return None
    if isinstance(path, Mapping):
        return path
    return None if hasattr(path, "obs_names") else listed(path)


def _is_store(place: Path) -> bool:
    return (place / MANIFEST_NAME).exists()


def _is_h5ad(place: Path, text: str) -> bool:
    if place.is_dir():
        return any(place.glob("*.h5ad"))
    return text.endswith(".h5ad")
