"""Backend ``sfaira``: stores that sfaira wrote, as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dao.errors import StoreNotFoundError
from dao.paths import local_path
from dao.write.sfaira import datasets_of, is_dataset
from dao_backends.foreign import ForeignFiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["SfairaBackend"]


class SfairaBackend:
    """Read the datasets of sfaira's stores; ``dao write old_store new.dao`` makes a faster one."""

    def open(self, path: str, *, memory: int, options: Mapping[str, Any]) -> ForeignFiles:
        """Open a store, or one dataset of it.

        Raises
        ------
        dao.errors.StoreNotFoundError
            If sfaira wrote nothing there.
        """
        place = local_path(path)
        if not place.is_dir() or not (is_dataset(place) or datasets_of(place)):
            what = "holds no dataset with zarr/X and parquet/" if place.is_dir() else "is no folder"
            msg = f"{path} is not a store that sfaira wrote: it {what}."
            raise StoreNotFoundError(msg)
        return self.open_sources([path], memory=memory, options=options)

    def open_sources(
        self, sources: Sequence[Any] | Mapping[str, Any], *, memory: int, options: Mapping[str, Any]
    ) -> ForeignFiles:
        """Open several stores or datasets as one."""
        return ForeignFiles(sources, "datasets of sfaira", memory=memory, options=options)
