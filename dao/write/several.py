"""What holds several studies: open stores, folders of sfaira's, collections of annbatch."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dao.errors import ArgumentError
from dao.store import Store
from dao.write import collection, sfaira
from dao.write.portion import each_dataset

if TYPE_CHECKING:
    from dao.write.source import Source

__all__ = ["each_study"]


def each_study(source: Source) -> list[Source]:
    """Return a source for each study of a store or such a folder; any other source by itself.

    Raises
    ------
    dao.errors.ArgumentError
        If one id was given to several.
    dao.errors.SourceError
        If what names them cannot be read, or a store has no cells to write.
    """
    if isinstance(source.path, Store):
        return each_dataset(source, source.path)
    if not isinstance(source.path, str | os.PathLike) or not Path(source.path).is_dir():
        return [source]
    path = Path(source.path)
    if collection.is_collection(path):
        found = collection.datasets_of(path)
    elif sfaira.is_dataset(path):
        found = [(source.id or sfaira.dataset_id(path), path)]
    else:
        found = [(sfaira.dataset_id(p), p) for p in sfaira.datasets_of(path)]
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
