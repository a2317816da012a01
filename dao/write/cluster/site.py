"""Site: the folder in a store through which workers, and who gives them work, meet."""

from __future__ import annotations

import pickle
import secrets
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Reference", "Site", "building_site"]

T = TypeVar("T")


@dataclass(frozen=True)
class Reference(Generic[T]):
    """A value that lies in a file: it may be large, and many tasks need it."""

    path: Path

    @classmethod
    def to(cls, value: T, folder: Path) -> Reference[T]:
        """Put a value into a new file of a folder."""
        path = folder / f"{secrets.token_hex(8)}.pickle"
        path.write_bytes(pickle.dumps(value))
        return cls(path)

    def get(self) -> T:
        """Return the value; not to be changed."""
        value: T = _load(self.path)
        return value


@lru_cache(maxsize=8)
def _load(path: Path) -> Any:
    # Written by the process whose functions dask runs here anyway.
    return pickle.loads(path.read_bytes())  # noqa: S301


@dataclass(frozen=True)
class Site:
    """Where a generation is being built.

    Attributes
    ----------
    folder
        Holds a folder for each attempt at a task.
    memory
        Bytes that each process may hold.
    """

    folder: Path
    memory: int

    @property
    def _open(self) -> Path:
        return self.folder / "open"

    def begin(self) -> None:
        """Make the folder."""
        self.folder.mkdir(parents=True)
        self._open.touch()

    def end(self) -> None:
        """Tell everybody who still works here that nobody waits for it any more."""
        self._open.unlink(missing_ok=True)

    @property
    def is_open(self) -> bool:
        """Whether somebody waits for what is written here."""
        return self._open.exists()


@contextmanager
def building_site(root: Path, generation: int, memory: int) -> Iterator[Site]:
    """Yield a site in a store that is locked; it is gone afterwards.

    Its name is that of a dataset of this generation, so that it is tidied up like one.
    """
    name = f".writing-{secrets.token_hex(4)}.g{generation}"
    site = Site(root.absolute() / "datasets" / name, memory)
    site.begin()
    try:
        yield site
    finally:
        site.end()
        shutil.rmtree(site.folder, ignore_errors=True)
