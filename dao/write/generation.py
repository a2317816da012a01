"""A new generation of a store: its datasets, feature spaces, vocabulary and manifest."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pandas as pd

from dao.format.manifest import FeatureSpaceInfo, FileInfo, Manifest
from dao.format.names import organism_slug
from dao.provenance import created_by, now, record_of
from dao.stamps import unchanged
from dao.write.dataset import Assignment, Written, write_dataset
from dao.write.left_out import warn_of_left_out
from dao.write.matrices import Workshop
from dao.write.tables import write_table
from dao.write.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dao.stamps import Stamp
    from dao.write.job import Job
    from dao.write.plan import WritePlan
    from dao.write.progress import ProgressReport

__all__ = ["write_generation"]


def write_generation(
    plan: WritePlan,
    before: Manifest | None,
    report: ProgressReport,
    client: Any = None,
    stamps: Mapping[str, Stamp] | None = None,
) -> Manifest:
    """Write the files of a new generation; nothing refers to them before the commit.

    Parameters
    ----------
    before
        The generation that is there now, if any.
    client
        Of the dask cluster whose workers write the datasets; None for this process.
    stamps
        Dataset -> what its file looked like when it was inspected, where it has one.

    Raises
    ------
    dao.errors.SourceError
        If a file was changed before it was read to its end.

    Returns
    -------
    The manifest that makes them the store.
    """
    job, base = plan.job, plan.base
    datasets = list(base.datasets if base else ())
    uns: dict[str, tuple[str, ...]] = {}
    known = stamps or {}
    with unchanged(known.values()):
        for written in _write_datasets(plan, report, client):
            datasets.append(written.info)
            uns[written.info.id] = written.uns_left
            if written.info.id in known:
                known[written.info.id].check_source()
    warn_of_left_out(plan.studies, uns)
    created = now()
    action = job.mode if before else "create"
    record = record_of(job.generation, created, action, (s.id for s in plan.studies))
    organisms = {d.organism for d in datasets}
    spaces = {o: table for o, table in plan.spaces.items() if o in organisms}
    return Manifest(
        uuid=base.uuid if base else str(uuid.uuid4()),
        generation=job.generation,
        created=created,
        created_by=created_by(),
        feature_spaces=_write_spaces(job, spaces),
        datasets=tuple(datasets),
        obs_columns=plan.obs_columns,
        vocabulary=_write_vocabulary(job, plan.categories),
        profile=job.profile,
        history=(*(base.history if base else ()), record),
        obs_schema=job.obs_schema,
        unknown=base.unknown if base else {},
        ontologies=base.ontologies if base else {},
    )


def _write_datasets(plan: WritePlan, report: ProgressReport, client: Any) -> Iterable[Written]:
    if client is None:
        return _write_here(plan, report)
    from dao.write.cluster import write_there

    return write_there(plan, client, report)


def _write_here(plan: WritePlan, report: ProgressReport) -> Iterator[Written]:
    """Write one dataset after another in the threads of this process."""
    with Workers() as workers:
        shop = Workshop.within(plan.job.memory, workers)
        for number, study in enumerate(plan.studies):
            name = f"{study.id} ({number + 1} of {len(plan.studies)})"
            advance = report.begin(name, study.n_elements)
            assignment = Assignment(plan.job, study, plan.space(study))
            yield write_dataset(assignment, plan.job.root, shop, advance)


def _write_spaces(job: Job, tables: Mapping[str, pd.DataFrame]) -> tuple[FeatureSpaceInfo, ...]:
    taken: set[str] = set()
    spaces = []
    for organism, table in tables.items():
        slug = organism_slug(organism)
        while slug in taken:
            slug += "_"
        taken.add(slug)
        path = f"features/{slug}{job.token}-{job.generation}.parquet"
        spaces.append(FeatureSpaceInfo(organism, len(table), write_table(job.root, path, table)))
    return tuple(spaces)


def _write_vocabulary(job: Job, categories: Mapping[str, Sequence[str]]) -> FileInfo:
    table = pd.DataFrame(
        {
            "column": [n for n, values in categories.items() for _ in values],
            "category": [v for values in categories.values() for v in values],
        },
        dtype=object,
    )
    path = f"obs/vocabulary{job.token}-{job.generation}.parquet"
    return write_table(job.root, path, table)
