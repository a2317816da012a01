"""Generations: the manifests of earlier commits, and which of them open readers hold.

Every commit leaves its manifest at ``generations/<n>.json``. A reader keeps a shared lock of the
operating system on that of its own generation, so that nobody takes its files away; the lock
goes with the process that holds it.
"""

from __future__ import annotations

import fcntl
import os
import re
import weakref
from typing import TYPE_CHECKING, Any

from dao.errors import StoreNotFoundError
from dao.format.manifest import Manifest
from dao.inside import check_inside

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = [
    "GENERATIONS",
    "Hold",
    "dataset_folder",
    "generation_path",
    "is_held",
    "kept_generations",
    "read_manifest",
    "written_by",
]

GENERATIONS = "generations"
_SUFFIX = re.compile(r"\.g(\d+)$")
_NUMBERED = re.compile(r"(?:.*-)?(\d+)\.(?:parquet|json)")


def generation_path(root: Path, generation: int) -> Path:
    """Return where the manifest of a generation is kept."""
    return root / GENERATIONS / f"{generation}.json"


def kept_generations(root: Path) -> list[int]:
    """Return the generations whose manifests are there, ascending."""
    names = (p.stem for p in (root / GENERATIONS).glob("*.json"))
    return sorted(int(n) for n in names if n.isdecimal())


def read_manifest(root: Path, generation: int) -> Manifest:
    """Return the manifest of an earlier generation.

    Raises
    ------
    dao.errors.StoreNotFoundError
        If it is not kept; says which ones are.
    """
    path = generation_path(root, generation)
    check_inside(str(root), str(path.relative_to(root)))
    try:
        return Manifest.from_json(path.read_bytes(), str(path))
    except FileNotFoundError as error:
        kept = ", ".join(map(str, kept_generations(root))) or "none"
        name = f"{GENERATIONS}/{generation}.json"
        msg = f"{root} has no generation {generation} (any more): no {name}. It has: {kept}."
        raise StoreNotFoundError(msg) from error


def dataset_folder(dataset: str, generation: int) -> str:
    """Return the name of a dataset's folder: no generation ever uses that of another.

    A reader may still be open on the earlier one.
    """
    plain = generation == 1 and not _SUFFIX.search(dataset)
    return dataset if plain else f"{dataset}.g{generation}"


def written_by(path: Path) -> int:
    """Return the generation whose commit wrote a file or folder of a store, by its name."""
    number = _NUMBERED.fullmatch(path.name) or _SUFFIX.search(path.name)
    return int(number[1]) if number else 1


class Hold:
    """A reader's claim to the files of a generation, for as long as this object lives.

    Where a file system knows no locks, or the store none of its generations, it claims nothing.

    Parameters
    ----------
    root
        Folder of the store.
    generation
        The one that is read.

    Attributes
    ----------
    release
        Gives the claim back; may be called twice.
    """

    def __init__(self, root: Path, generation: int) -> None:
        self._arguments = root, generation
        self.release: Callable[[], object] = _nothing
        try:
            handle = os.open(generation_path(root, generation), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        self.release = weakref.finalize(self, os.close, handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return

    def __reduce__(self) -> tuple[Any, ...]:
        # In another process the claim has to be made again.
        return type(self), self._arguments


def _nothing() -> None:
    """Release nothing."""


def is_held(root: Path, generation: int) -> bool:
    """Return whether a reader claims the files of a generation."""
    try:
        handle = os.open(generation_path(root, generation), os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
