"""What holds several studies: patterns, folders of files, open stores, other libraries' folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dao.errors import ArgumentError, SourceError, near_matches
from dao.format.manifest import MANIFEST_NAME
from dao.nearby import names_in
from dao.paths import matches
from dao.store import Store
from dao.warn import warn
from dao.write import collection, sfaira
from dao.write.portion import each_dataset
from dao.write.unreadable import is_zarr

if TYPE_CHECKING:
    from dao.write.source import Source

__all__ = ["each_study"]

# What else may be a study in a folder of .h5ad files.
_OTHERS = (".zarr", ".h5", ".hdf5", ".h5mu", ".loom")


def each_study(source: Source) -> list[Source]:
    """Return a source for each study of a store, pattern or folder; any other source by itself.

    Raises
    ------
    dao.errors.ArgumentError
        If one id was given to several.
    dao.errors.SourceError
        If what names them cannot be read, or a store has no cells to write.
    """
    if isinstance(source.path, Store):
        return each_dataset(source, source.path)
    if not isinstance(source.path, Path):
        return [source]
    found = matches(source.path)
    if found is not None:
        return _each_match(source, source.path, found)
    return _each_in(source, source.path) if source.path.is_dir() else [source]


def _each_match(source: Source, pattern: Path, found: list[Path]) -> list[Source]:
    if not found:
        folder = next(p for p in pattern.parents if p.is_dir())
        what = pattern.relative_to(folder)
        msg = f"No file matches {str(what)!r} in {folder}.{near_matches(what, names_in(folder))}"
        raise SourceError(msg)
    if source.id is not None and len(found) > 1:
        msg = (
            f"{pattern} matches {len(found)} files, which cannot all have the id {source.id!r}. "
            "Leave out the id, or pass one file."
        )
        raise ArgumentError(msg)
    return [one for path in found for one in each_study(replace(source, path=path))]


def _each_in(source: Source, path: Path) -> list[Source]:
    if collection.is_collection(path):
        found = collection.datasets_of(path)
    elif sfaira.is_dataset(path):
        found = [(source.id or sfaira.dataset_id(path), path)]
    else:
        found = [(sfaira.dataset_id(p), p) for p in sfaira.datasets_of(path)] or _files_of(path)
    if not found:
        return [source]
    if source.id is not None and len(found) > 1:
        msg = (
            f"{path} holds {len(found)} datasets with ids of their own: leave out {source.id!r}, "
            "or give the folder of one dataset."
        )
        raise ArgumentError(msg)
    if len(found) == 1:
        return [replace(source, path=found[0][1], id=source.id or found[0][0])]
    return [replace(source, path=folder, id=name) for name, folder in found]


def _files_of(folder: Path) -> list[tuple[str, Path]]:
    """Return id and path of the .h5ad files in a folder that is not itself a study."""
    if is_zarr(folder) or (folder / MANIFEST_NAME).exists():
        return []
    names = [name for name in names_in(folder) if not name.startswith(".")]
    files = [name for name in names if name.endswith(".h5ad")]
    others = [name for name in names if name.lower().endswith(_OTHERS)]
    if files and others:
        msg = (
            f"Only the .h5ad files of {folder} are read; left out: {', '.join(others[:5])}"
            f"{', …' if len(others) > 5 else ''}. Pass a list of paths to read them too."
        )
        warn(msg)
    return [(name.removesuffix(".h5ad"), folder / name) for name in files]
