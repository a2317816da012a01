"""A new generation of a store: its datasets, feature spaces, vocabulary and manifest."""

from __future__ import annotations

import json
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pandas as pd

from dao.errors import ArgumentError
from dao.format.manifest import DatasetInfo, FeatureSpaceInfo, FileInfo, Manifest
from dao.format.names import organism_slug
from dao.generations import dataset_folder
from dao.provenance import created_by, now, record_of
from dao.write.encode import Target, file_info, write_group
from dao.write.inspect import Study, read_obs
from dao.write.matrices import Workshop, write_matrix
from dao.write.opened import open_source
from dao.write.tables import write_table, write_tables, write_text
from dao.write.uns import uns_to_json
from dao.write.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from dao.format.manifest import MatrixInfo
    from dao.write.job import Job
    from dao.write.plan import WritePlan
    from dao.write.progress import ProgressReport

__all__ = ["write_generation"]


def write_generation(plan: WritePlan, before: Manifest | None, report: ProgressReport) -> Manifest:
    """Write the files of a new generation; nothing refers to them before the commit.

    Parameters
    ----------
    before
        The generation that is there now, if any.

    Returns
    -------
    The manifest that makes them the store.
    """
    job, base = plan.job, plan.base
    datasets = list(base.datasets if base else ())
    with Workers() as workers:
        shop = Workshop.within(job.memory, workers)
        for number, study in enumerate(plan.studies):
            report.begin(f"{study.id} ({number + 1} of {len(plan.studies)})", study.n_elements)
            datasets.append(_write_dataset(job, shop, study, plan.space(study), report.advance))
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


def _write_dataset(
    job: Job, shop: Workshop, study: Study, space: pd.Index, advance: Callable[[int], None]
) -> DatasetInfo:
    path = f"datasets/{dataset_folder(study.id + job.token, job.generation)}"
    group = write_group(job.root, path, {"dao": {"id": study.id}})
    for container in sorted({n.partition("/")[0] for n in study.matrices}):
        attributes = {"encoding-type": "dict", "encoding-version": "0.1.0"}
        write_group(job.root, f"{path}/{container}", attributes)
    targets = study.features.targets(space)
    matrices = {}
    with ExitStack() as stack:
        opened = open_source(study.source, stack)
        table = read_obs(study.source, opened, job)
        tables = shop.workers.aside(write_tables, job.root, path, study, space, table)
        for name in ("X", *study.matrices):
            is_obsm = name.startswith("obsm/")
            matrix = opened.x if name == "X" else opened.matrix(name)
            aligned = None if is_obsm else targets
            if aligned is not None and len(aligned) != matrix.shape[1]:
                msg = (
                    f"{name} of {study.source.label} has {matrix.shape[1]} columns and X "
                    f"({study.source.layer or 'X'}) has {len(aligned)}: they cannot share genes."
                )
                raise ArgumentError(msg)
            matrices[name] = write_matrix(
                matrix,
                Target(job.root, f"{path}/{name}", job.profile),
                study.order,
                shop,
                columns=aligned,
                n_vars=matrix.shape[1] if is_obsm else len(space),
                force_dense=is_obsm,
                progress=advance,
            )
        uns = uns_to_json(opened.uns(), study.source.label)
        written = tables.result()
    return DatasetInfo(
        id=study.id,
        path=path,
        organism=study.organism,
        n_obs=len(study.rows),
        n_measured=written.n_measured,
        matrices=matrices,
        obs=written.obs,
        features=written.features,
        groups=_groups(job.root, path, group, matrices),
        uns=write_text(job.root, f"{path}/uns.json", json.dumps(uns, ensure_ascii=False)),
        group=group,
        shuffled=job.shuffle or (study.origin is not None and study.origin.shuffled),
        seed=job.seed,
        cluster_by=job.cluster_by,
        matching=written.matching,
        dropped=written.dropped,
    )


def _groups(
    root: Path, path: str, group: FileInfo, matrices: Mapping[str, MatrixInfo]
) -> tuple[FileInfo, ...]:
    """Return the metadata of Zarr groups inside of a dataset."""
    known = {group.path, *(a.metadata.path for m in matrices.values() for a in m.arrays.values())}
    found = (str(p.relative_to(root)) for p in sorted((root / path).rglob("zarr.json")))
    return tuple(file_info(root, name) for name in found if name not in known)


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
