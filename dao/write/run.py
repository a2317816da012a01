"""Run a job: plan it, write it, commit it; or only plan it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dao.directory import StoreDirectory
from dao.errors import ArgumentError, SourceError
from dao.format.manifest import MANIFEST_NAME
from dao.nearby import stores_near
from dao.stamps import unchanged
from dao.warn import once
from dao.write.change import check_there, in_order, without
from dao.write.commit import check_target, commit, garbage, no_store, remove_all, write_lock
from dao.write.generation import write_generation
from dao.write.inspect import inspect_sources
from dao.write.join import StoredCategories
from dao.write.left_out import warn_of_left_out
from dao.write.plan import WritePlan, make_plan
from dao.write.progress import progress_report
from dao.write.source import source_stamps
from dao.write.unite import stored_categories

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dao.format.manifest import Manifest
    from dao.write.job import Job
    from dao.write.source import Source

__all__ = ["plan_sources", "write_sources"]

_CHANGING = {"append", "replace"}  # modes that need a store


@contextmanager
def _storable_text() -> Iterator[None]:
    """Name the text that has no bytes: NumPy and pandas hold it, no file does."""
    try:
        yield
    except UnicodeEncodeError as error:
        msg = (
            f"A name or text of the sources cannot be stored: {error.object[:200]!a} has half of a "
            "surrogate pair, which is no character. Rename it."
        )
        raise SourceError(msg) from error


@_storable_text()
@once()
def write_sources(
    job: Job, sources: Sequence[Source], features: Any, *, progress: bool, client: Any = None
) -> None:
    """Write sources into the job's store, in one commit.

    Parameters
    ----------
    client
        Of the dask cluster whose workers are to write; None for this process.
    """
    if client is not None:
        from dao.write.cluster import check_shared, connected

        with connected(client) as cluster:
            check_target(job.root, job.mode)
            check_shared(cluster, job.root, [s.path for s in sources])
            _write(job, sources, features, cluster, progress=progress)
        return
    _write(job, sources, features, None, progress=progress)


def _write(
    job: Job, sources: Sequence[Source], features: Any, client: Any, *, progress: bool
) -> None:
    # Sources are looked at before the lock: what is wrong with them leaves no trace on disk.
    job = _as_stored(job)
    stamps = source_stamps(sources)
    with unchanged(stamps.values()):
        studies = inspect_sources(sources, job)
    with write_lock(job.root, mode=job.mode) as before:
        if before is not None:
            job = replace(job, generation=before.generation + 1)
        plan = make_plan(job, studies, features, _base(job, before, [s.id for s in studies]))
        with progress_report(show=progress) as report:
            manifest = write_generation(plan, before, report, client, stamps)
        if before is not None and job.mode == "replace":
            manifest = in_order(manifest, before.ordinals)
        commit(job.root, manifest)
        if job.mode == "overwrite":
            remove_all(garbage(job.root, manifest, old_generations=True))


@_storable_text()
def plan_sources(job: Job, sources: Sequence[Source], features: Any) -> WritePlan:
    """Return what `write_sources` would write; the disk stays as it is.

    Raises
    ------
    dao.errors.DaoError
        For everything that would stop the write before X is read.
    """
    check_target(job.root, job.mode)
    job = _as_stored(job)
    studies = inspect_sources(sources, job)
    plan = make_plan(job, studies, features, _base(job, _stored(job), [s.id for s in studies]))
    warn_of_left_out(studies, {})
    return plan


def _base(job: Job, before: Manifest | None, ids: Sequence[str]) -> Manifest | None:
    """Return what the new datasets are added to."""
    if job.mode in _CHANGING and before is None:
        raise no_store(job.root, job.mode)
    if job.mode == "replace" and before is not None:
        check_there(ids, before)
        # Features and codes keep their places, also where nobody is left who has them.
        left = without(before, set(ids))
        return replace(left, feature_spaces=before.feature_spaces, obs_columns=before.obs_columns)
    return before if job.mode == "append" else None


def _stored(job: Job) -> Manifest | None:
    if job.mode not in _CHANGING or not (job.root / MANIFEST_NAME).is_file():
        return None
    return StoreDirectory(job.root).manifest


def _as_stored(job: Job) -> Job:
    """Hold appended studies to the schema of the store, and to its categories."""
    base = _stored(job)
    if base is None:
        if job.mode in _CHANGING:
            check_target(job.root, job.mode)
            raise no_store(job.root, job.mode, stores_near(job.root))
        return job
    if base.obs_schema is not None or job.obs_schema is not None:
        job = _with_stored_schema(job, base)
    found = {
        name: info
        for name, info in base.obs_columns.items()
        if info.kind == "categorical" and not info.is_empty
    }
    orders = {}
    if any(info.ordered for info in found.values()):
        orders = stored_categories(job.root, base)
    categories = {
        name: StoredCategories(info.dtype, orders.get(name, ()) if info.ordered else None)
        for name, info in found.items()
    }
    return replace(job, categories=categories)


def _with_stored_schema(job: Job, base: Manifest) -> Job:
    if base.obs_schema is None:
        msg = (
            f"{job.root} was written without an obs_schema, which its studies need not follow. "
            "Leave it out, or write the store anew."
        )
        raise ArgumentError(msg)
    if job.obs_schema is not None and job.obs_schema != base.obs_schema:
        msg = f"obs_schema= differs from that of {job.root}. Leave it out: the store has its own."
        raise ArgumentError(msg)
    if job.obs_columns is not None:
        msg = f"{job.root} has an obs_schema, which says which columns are kept: no obs_columns=."
        raise ArgumentError(msg)
    return replace(job, obs_schema=base.obs_schema)
