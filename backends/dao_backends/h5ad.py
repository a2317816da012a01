"""Backend ``h5ad``: cells in .h5ad files as they are, before anything was converted."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao.errors import DatasetIdError, StoreNotFoundError, near_matches
from dao.format.manifest import MANIFEST_NAME
from dao_backends.foreign import ForeignFiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["H5adBackend"]


class H5adBackend:
    """Read files, aligned on the fly; `dao.write_store` makes a faster store of them."""

    def open(self, path: str, *, memory: int, options: Mapping[str, Any]) -> ForeignFiles:
        """Open the files of a folder, those that a pattern matches, or a single one."""
        return self.open_sources(_files_at(path), memory=memory, options=options)

    def open_sources(
        self, sources: Sequence[Any] | Mapping[str, Any], *, memory: int, options: Mapping[str, Any]
    ) -> ForeignFiles:
        """Open files that are named one by one."""
        try:
            return ForeignFiles(sources, "h5ad files", memory=memory, options=options)
        except DatasetIdError as error:
            hint = "Name them: load_store({'first': 'a/x.h5ad', 'second': 'b/x.h5ad'}, ...)."
            msg = f"{str(error).partition(' Give each its own')[0]} {hint}"
            raise DatasetIdError(msg) from error


def _files_at(path: str) -> list[str]:
    """Return the files that a path stands for, sorted by name.

    Raises
    ------
    dao.errors.StoreNotFoundError
        If there are none.
    """
    place = Path(path)
    if place.is_dir():
        files = sorted(str(p) for p in place.glob("*.h5ad") if not p.name.startswith("."))
        if not files and (place / MANIFEST_NAME).exists():
            msg = f"{path} is a dao store: open it without backend='h5ad'."
            raise StoreNotFoundError(msg)
        if not files:
            below = "**/*.h5ad"
            hint = (
                f" There are some further below: give {path}/{below}."
                if any(place.glob(below))
                else ""
            )
            msg = f"{path} holds no .h5ad file.{hint}"
            raise StoreNotFoundError(msg)
        return files
    if place.exists():
        return [path]
    if glob.has_magic(path):
        files = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - patterns may be absolute
        if not files:
            msg = f"No file matches {path}."
            raise StoreNotFoundError(msg)
        return files
    beside = [p.name for p in place.parent.iterdir()] if place.parent.is_dir() else []
    msg = f"There is nothing at {path}.{near_matches(place.name, beside)}"
    raise StoreNotFoundError(msg)
