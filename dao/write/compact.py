"""Compact: datasets of a store written anew, alone or several as one, as a new generation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dao.arguments import mapping, names
from dao.errors import ArgumentError, StoreChangedError
from dao.format.names import check_dataset_id
from dao.warn import once
from dao.write.change import check_same, check_there, in_order, without
from dao.write.commit import commit, write_lock
from dao.write.generation import write_generation
from dao.write.inspect import inspect_sources
from dao.write.job import make_job
from dao.write.merge import check_mergeable
from dao.write.plan import make_plan
from dao.write.portion import known_organism, portion_of
from dao.write.progress import progress_report
from dao.write.source import Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from dao.format.manifest import Manifest
    from dao.store import Store
    from dao.write.job import Job

__all__ = ["compact_datasets"]


@dataclass(frozen=True)
class _New:
    """A dataset to be written, and those that it is made of."""

    id: str
    parts: tuple[str, ...]
    is_merged: bool


@once()
def compact_datasets(
    root: Path,
    store: Store,
    merge: Mapping[str, Sequence[str]] | None,
    ids: Sequence[str] | None,
    *,
    keep_ids: str,
    progress: bool,
    **options: Any,
) -> None:
    """Write datasets of a store anew, in one commit; see `dao.Store.compact`.

    Parameters
    ----------
    root
        Folder of the store.
    store
        Everything in it, as it is now.
    options
        As of `dao.write.job.make_job`; None for what the store has.

    Raises
    ------
    dao.errors.DaoError
        The store is then as it was.
    """
    wanted = _wanted(store.manifest, merge, ids)
    for new in wanted:
        if new.is_merged:
            check_mergeable(store, new.id, new.parts, keep_ids)
    job = _job(root, store.manifest, wanted, options)
    sources = [_source(store, new, keep_ids) for new in wanted]
    studies = inspect_sources(sources, job)
    gone = {part for new in wanted for part in new.parts}
    with write_lock(root, mode="append") as before:
        now = check_same(before, store.manifest, root)
        _check_unchanged(now, store.manifest, gone)
        # Features, categories and ontologies stay what they are.
        base = replace(
            without(now, gone),
            feature_spaces=now.feature_spaces,
            obs_columns=now.obs_columns,
            ontologies=now.ontologies,
        )
        plan = make_plan(replace(job, generation=now.generation + 1), studies, "outer", base)
        with progress_report(show=progress) as report:
            manifest = write_generation(plan, now, report)
        places = {**now.ordinals, **{new.id: _place(new, now) for new in wanted}}
        commit(root, in_order(manifest, places))


_MERGE = "{'new id': ['a', 'b']}"


def _wanted(
    manifest: Manifest, merge: Mapping[str, Sequence[str]] | None, ids: Sequence[str] | None
) -> list[_New]:
    """Return what will be written, each in the place of the first of its parts."""
    if merge is not None and not mapping("merge", merge, _MERGE):
        msg = f"merge={{}}: pass a dict, as in {_MERGE}; or leave it out."
        raise ArgumentError(msg)
    found = []
    for new, parts in (merge or {}).items():
        together = names(f"merge[{new!r}]", parts)
        check_there(together, manifest)
        found.append(_New(new, tuple(together), is_merged=True))
    if ids is None:
        ids = [] if merge else list(manifest.ordinals)
    elif not merge or ids:
        check_there(ids, manifest)
    found += [_New(i, (i,), is_merged=False) for i in ids]
    parts = [part for new in found for part in new.parts]
    twice = next((p for p in parts if parts.count(p) > 1), None)
    if twice is not None:
        msg = f"{twice!r} is named twice: a dataset becomes one dataset, or a part of one."
        raise ArgumentError(msg)
    return sorted(found, key=lambda new: _place(new, manifest))


def _job(root: Path, manifest: Manifest, wanted: Sequence[_New], options: dict[str, Any]) -> Job:
    if options["profile"] is None:
        options["profile"] = manifest.profile
    if options["cluster_by"] is None:
        parts = (manifest.dataset(part) for new in wanted for part in new.parts)
        found = {d.cluster_by for d in parts}
        if len(found) > 1:
            listed = ", ".join(str(list(columns)) for columns in sorted(found))
            msg = f"The datasets are clustered by different columns ({listed}): give cluster_by=."
            raise ArgumentError(msg)
        options["cluster_by"] = next(iter(found))
    job = make_job(root, mode="replace", **options)
    return replace(job, mode="compact", obs_schema=manifest.obs_schema)


def _source(store: Store, new: _New, keep_ids: str) -> Source:
    portion = portion_of(
        store, new.parts, keep_ids if new.is_merged else None, is_again=not new.is_merged
    )
    return Source(portion, check_dataset_id(new.id), known_organism(portion))


def _check_unchanged(now: Manifest, opened: Manifest, ids: set[str]) -> None:
    paths = {d.id: d.path for d in now.datasets}
    for dataset in opened.datasets:
        if dataset.id in ids and paths.get(dataset.id) != dataset.path:
            msg = f"Somebody has changed {dataset.id!r} meanwhile; nothing was done. Try again."
            raise StoreChangedError(msg)


def _place(new: _New, manifest: Manifest) -> int:
    return min(manifest.ordinals[part] for part in new.parts)
