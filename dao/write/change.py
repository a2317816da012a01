"""Changes of a store that write no dataset: a new manifest over files that are there already."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dao.errors import ArgumentError, StoreChangedError, UnknownDatasetError, near_matches
from dao.format.obs_schema import may_be_missing
from dao.provenance import created_by, now, record_of
from dao.write.commit import commit, write_lock

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from dao.format.manifest import Manifest

__all__ = [
    "check_same",
    "check_there",
    "in_order",
    "next_generation",
    "remove_datasets",
    "without",
]


def next_generation(before: Manifest, action: str, ids: Sequence[str], **changes: Any) -> Manifest:
    """Return the manifest of the next generation, with what has changed and a line of history."""
    created, generation = now(), before.generation + 1
    record = record_of(generation, created, action, ids)
    return replace(
        before,
        generation=generation,
        created=created,
        created_by=created_by(),
        history=(*before.history, record),
        **changes,
    )


def remove_datasets(root: Path, opened: Manifest, ids: Sequence[str]) -> None:
    """Take datasets out of a store, as a new generation. Their files stay; older ones need them.

    Parameters
    ----------
    root
        Folder of the store.
    opened
        What the caller has open; the store may have changed since.
    ids
        Of the datasets.

    Raises
    ------
    dao.errors.UnknownDatasetError
        If one is not there.
    dao.errors.ArgumentError
        If none would be left.
    dao.errors.StoreChangedError
        If there is another store at this path by now.
    """
    with write_lock(root, mode="append") as before:
        manifest = check_same(before, opened, root)
        check_there(ids, manifest)
        left = without(manifest, set(ids))
        if not left.datasets:
            msg = f"Nothing would be left of {root}. Delete the folder instead."
            raise ArgumentError(msg)
        changed = {
            name: getattr(left, name)
            for name in ("datasets", "feature_spaces", "obs_columns", "ontologies")
        }
        commit(root, next_generation(manifest, "remove", ids, **changed))


def without(manifest: Manifest, ids: Collection[str]) -> Manifest:
    """Return a manifest without some datasets, and without what only they had.

    Columns stay what they are, whoever made them so: their codes do not change.
    """
    kept = tuple(d for d in manifest.datasets if d.id not in ids)
    organisms = {d.organism for d in kept}
    held = [d.obs.columns for d in kept]
    columns = {
        name: replace(info, nullable=may_be_missing(name, held))
        for name, info in manifest.obs_columns.items()
        if any(name in c for c in held)
    }
    return replace(
        manifest,
        datasets=kept,
        feature_spaces=tuple(s for s in manifest.feature_spaces if s.organism in organisms),
        obs_columns=columns,
        ontologies={c: o for c, o in manifest.ontologies.items() if c in columns},
    )


def in_order(manifest: Manifest, places: Mapping[str, int]) -> Manifest:
    """Return a manifest with its datasets in the order of places, which are given by id."""
    ordered = sorted(manifest.datasets, key=lambda dataset: places[dataset.id])
    return replace(manifest, datasets=tuple(ordered))


def check_same(before: Manifest | None, opened: Manifest, root: Path) -> Manifest:
    """Return what is at a path now, if it is a generation of the store that was opened.

    Raises
    ------
    dao.errors.StoreChangedError
        If it is not.
    """
    if before is None or before.uuid != opened.uuid:
        msg = f"{root} is not the store that was opened: it was replaced. Open it again."
        raise StoreChangedError(msg)
    return before


def check_there(ids: Sequence[str], manifest: Manifest) -> None:
    """Check that a store has some datasets.

    Raises
    ------
    dao.errors.ArgumentError
        If there are none to look for.
    dao.errors.UnknownDatasetError
        With the nearest ids.
    """
    if not ids:
        msg = "Give the id of at least one dataset."
        raise ArgumentError(msg)
    for name in ids:
        if name not in manifest.ordinals:
            msg = f"There is no dataset {name!r}.{near_matches(name, manifest.ordinals)}"
            raise UnknownDatasetError(msg)
