"""Tidy: what lies in a store's folders without being needed, listed and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dao.errors import DaoError
from dao.generations import kept_generations, read_manifest
from dao.write.commit import garbage, named, remove_all, write_lock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dao.format.manifest import Manifest

__all__ = ["tidy"]


def tidy(
    root: Path, manifest: Manifest, *, repair: bool, old_generations: bool
) -> tuple[list[str], list[str], list[str]]:
    """List what is not part of a store, and remove what is to be removed.

    Parameters
    ----------
    repair
        Remove what a killed writer left behind.
    old_generations
        Then also what only earlier generations need that no reader holds.

    Returns
    -------
    garbage, older, removed
        What nobody needs, what only earlier generations need, what was removed: relative paths.
    """

    def listed(*, everything: bool) -> list[str]:
        found = garbage(root, manifest, old_generations=everything)
        return [str(p.relative_to(root)) for p in found]

    left = listed(everything=False)
    older = [p for p in listed(everything=True) if p not in set(left)]
    strays = _strays(root, older)
    older = [p for p in older if p not in set(strays)]
    if not repair:
        return [*left, *strays], older, []
    # The right to write takes away what writers left; what another one is writing is none of it.
    with write_lock(root, mode="append"):
        remove_all([root / p for p in strays])
        # Listed again: from here on nobody takes hold of an earlier generation unseen.
        gone = listed(everything=True) if old_generations else []
        remove_all([root / p for p in gone])
    return [], [p for p in older if p not in set(gone)], [*left, *strays, *gone]


def _strays(root: Path, paths: Sequence[str]) -> list[str]:
    """Return what no generation that is kept knows."""
    known: set[str] = set()
    try:
        for generation in kept_generations(root) if paths else ():
            known |= named(read_manifest(root, generation))
    except DaoError:
        return []  # a damaged copy may have known it
    return [p for p in paths if p not in known]
