"""Backend ``h5ad``: cells in .h5ad files as they are, before anything was converted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dao.errors import DatasetIdError, StoreNotFoundError, near_matches
from dao.format.manifest import MANIFEST_NAME
from dao.nearby import names_in
from dao.paths import local_path, matches
from dao.warn import warn
from dao_backends.foreign import ForeignFiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

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


def _files_at(given: str) -> list[Path]:
    """Return the files that a path stands for, sorted by name.

    Raises
    ------
    dao.errors.StoreNotFoundError
        If there are none.
    """
    path = local_path(given)
    if path.is_dir():
        return _files_in(path)
    if path.exists():
        return [path]
    files = matches(path)
    if files:
        return files
    if files is not None:
        msg = f"No file matches {path}."
        raise StoreNotFoundError(msg)
    msg = f"There is nothing at {path}.{near_matches(path.name, names_in(path.parent))}"
    raise StoreNotFoundError(msg)


def _files_in(folder: Path) -> list[Path]:
    names = [name for name in names_in(folder) if not name.startswith(".")]
    files = [folder / name for name in names if name.endswith(".h5ad")]
    if files:
        _warn_of_stores(folder, names)
        return files
    if (folder / MANIFEST_NAME).exists():
        msg = f"{folder} is a dao store: open it without backend='h5ad'."
        raise StoreNotFoundError(msg)
    below = "**/*.h5ad"
    hint = (
        f" There are some further below: pass {folder}/{below}." if any(folder.glob(below)) else ""
    )
    msg = f"{folder} holds no .h5ad file.{hint}"
    raise StoreNotFoundError(msg)


def _warn_of_stores(folder: Path, names: Sequence[str]) -> None:
    stores = [name for name in names if (folder / name / MANIFEST_NAME).is_file()]
    if stores:
        msg = (
            f"The .h5ad files of {folder} are opened, not the store {stores[0]!r} that lies there "
            f"too: dao.load_store({str(folder / stores[0])!r}) opens it."
        )
        warn(msg)
