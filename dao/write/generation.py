"""A new generation of a store: its datasets, feature spaces, vocabulary and manifest."""

from __future__ import annotations

import json
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pandas as pd

from dao.directory import StoreDirectory
from dao.errors import ArgumentError
from dao.format.manifest import ColumnInfo, DatasetInfo, FeatureSpaceInfo, FileInfo, Manifest
from dao.format.names import organism_slug
from dao.format.obs_schema import VIRTUAL_COLUMNS, unite_categories, unite_columns
from dao.write.align import build_space
from dao.write.encode import Target, write_group
from dao.write.inspect import Study, read_obs
from dao.write.matrices import Workshop, write_matrix
from dao.write.opened import open_source
from dao.write.source import check_unique
from dao.write.tables import write_table, write_tables, write_text
from dao.write.uns import uns_to_json
from dao.write.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from dao.write.progress import ProgressReport

__all__ = ["Job", "write_generation"]


@dataclass(frozen=True)
class Job:
    """What is the same for all datasets of one call."""

    root: Path
    generation: int
    matrices: tuple[str, ...]
    obs_columns: tuple[str, ...] | None
    shuffle: bool
    cluster_by: tuple[str, ...]
    seed: int
    profile: str
    memory: int


def write_generation(
    job: Job,
    studies: Sequence[Study],
    features: str | Sequence[str],
    base: Manifest | None,
    before: Manifest | None,
    report: ProgressReport,
) -> Manifest:
    """Write the files of a new generation; nothing refers to them before the commit.

    Parameters
    ----------
    studies
        What to write, in order.
    features
        As of `dao.write_store`.
    base
        The generation that is appended to, if any.
    before
        The generation that is there now, if any.

    Returns
    -------
    The manifest that makes them the store.
    """
    old = base.datasets if base else ()
    check_unique([*(d.id for d in old), *(s.id for s in studies)])
    tables = _feature_tables(job, studies, features, base)
    obs_columns, categories = _unite_obs(job, studies, base)
    datasets = list(old)
    with Workers() as workers:
        shop = Workshop.within(job.memory, workers)
        for number, study in enumerate(studies):
            report.begin(f"{study.id} ({number + 1} of {len(studies)})", study.n_elements)
            space = pd.Index(tables[study.organism]["feature_id"], dtype=object)
            datasets.append(_write_dataset(job, shop, study, space, report.advance))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = {
        "generation": job.generation,
        "created": now,
        "action": "append" if base else ("overwrite" if before else "create"),
        "datasets": [s.id for s in studies],
    }
    return Manifest(
        uuid=base.uuid if base else str(uuid.uuid4()),
        generation=job.generation,
        created=now,
        created_by=_created_by(),
        feature_spaces=_write_spaces(job, tables),
        datasets=tuple(datasets),
        obs_columns=obs_columns,
        vocabulary=_write_vocabulary(job, categories),
        profile=job.profile,
        history=(*(base.history if base else ()), record),
        ontologies=base.ontologies if base else {},
    )


def _write_dataset(
    job: Job, shop: Workshop, study: Study, space: pd.Index, advance: Callable[[int], None]
) -> DatasetInfo:
    # A folder of an older generation is never used again: a reader may still be open on it.
    suffix = "" if job.generation == 1 else f".g{job.generation}"
    path = _fresh(job.root, f"datasets/{study.id}{suffix}", job.generation)
    group = write_group(job.root, path, {"dao": {"id": study.id}})
    for container in sorted({n.partition("/")[0] for n in job.matrices}):
        attributes = {"encoding-type": "dict", "encoding-version": "0.1.0"}
        write_group(job.root, f"{path}/{container}", attributes)
    targets = study.features.targets(space)
    matrices = {}
    with ExitStack() as stack:
        opened = open_source(study.source, stack)
        table = read_obs(study.source, opened, job.obs_columns)
        tables = shop.workers.aside(write_tables, job.root, path, study, space, table)
        for name in ("X", *job.matrices):
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
        obs, features, n_measured = tables.result()
    return DatasetInfo(
        id=study.id,
        path=path,
        organism=study.organism,
        n_obs=len(study.rows),
        n_measured=n_measured,
        matrices=matrices,
        obs=obs,
        features=features,
        uns=write_text(job.root, f"{path}/uns.json", json.dumps(uns, ensure_ascii=False)),
        group=group,
        shuffled=job.shuffle,
        seed=job.seed,
        cluster_by=job.cluster_by,
    )


def _feature_tables(
    job: Job, studies: Sequence[Study], features: str | Sequence[str], base: Manifest | None
) -> dict[str, pd.DataFrame]:
    existing = {}
    if base is not None:
        directory = StoreDirectory(job.root)
        existing = {
            s.organism: directory.table(s.file.path).to_pandas() for s in base.feature_spaces
        }
    tables = dict(existing)
    for organism in dict.fromkeys(s.organism for s in studies):
        own = [s.features for s in studies if s.organism == organism]
        tables[organism] = build_space(organism, own, features, existing.get(organism))
    return tables


def _write_spaces(job: Job, tables: Mapping[str, pd.DataFrame]) -> tuple[FeatureSpaceInfo, ...]:
    taken: set[str] = set()
    spaces = []
    for organism, table in tables.items():
        slug = organism_slug(organism)
        while slug in taken:
            slug += "_"
        taken.add(slug)
        path = _fresh(job.root, f"features/{slug}-{job.generation}.parquet", job.generation)
        spaces.append(FeatureSpaceInfo(organism, len(table), write_table(job.root, path, table)))
    return tuple(spaces)


def _unite_obs(
    job: Job, studies: Sequence[Study], base: Manifest | None
) -> tuple[dict[str, ColumnInfo], dict[str, list[str]]]:
    columns: dict[str, dict[str, ColumnInfo]] = {}
    for dataset in base.datasets if base else ():
        for name, info in dataset.obs.columns.items():
            columns.setdefault(name, {})[dataset.id] = info
    categories: dict[str, dict[str, Sequence[str]]] = {}
    if base is not None:
        directory = StoreDirectory(job.root)
        known = directory.table(base.vocabulary.path).to_pandas()
        for name, values in known.groupby("column", sort=False)["category"]:
            categories[str(name)] = {"the store": list(values)}
    for study in studies:
        for name, info in study.obs.columns.items():
            columns.setdefault(name, {})[study.id] = info
            if name in study.obs.categories:
                categories.setdefault(name, {})[study.id] = study.obs.categories[name]
    n_datasets = len(studies) + (len(base.datasets) if base else 0)
    united = {n: unite_columns(n, infos, n_datasets) for n, infos in columns.items()}
    merged = {
        n: unite_categories(n, categories.get(n, {}), ordered=info.ordered)
        for n, info in united.items()
        if info.kind == "categorical"
    }
    if job.obs_columns is not None:
        missing = [c for c in job.obs_columns if c not in united and c not in VIRTUAL_COLUMNS]
        if missing:
            msg = f"obs_columns: no source has a column {missing[0]!r}."
            raise ArgumentError(msg)
    return united, merged


def _write_vocabulary(job: Job, categories: Mapping[str, Sequence[str]]) -> FileInfo:
    table = pd.DataFrame(
        {
            "column": [n for n, values in categories.items() for _ in values],
            "category": [v for values in categories.values() for v in values],
        },
        dtype=object,
    )
    path = _fresh(job.root, f"obs/vocabulary-{job.generation}.parquet", job.generation)
    return write_table(job.root, path, table)


def _fresh(root: Path, path: str, generation: int) -> str:
    """Return a path that no older generation uses."""
    stem, dot, suffix = path.rpartition(".parquet")
    candidate, n = path, generation
    while (root / candidate).exists():
        candidate = f"{stem}.g{n}{dot}{suffix}" if dot else f"{path}.g{n}"
        n += 1
    return candidate


def _created_by() -> str:
    from dao import __version__

    return f"dao-store {__version__}"
