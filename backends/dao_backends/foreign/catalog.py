"""From open studies to what a store's manifest, tables and documents would say of them."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dao import provenance
from dao.features.own import own_names
from dao.format.manifest import DatasetInfo, FeatureSpaceInfo, FileInfo, Manifest, ObsInfo
from dao.format.names import organism_slug
from dao.format.obs_schema import INDEX_COLUMN, SOURCE_ROW_COLUMN
from dao.write.measured import count_matching, dropped_table, measured_table
from dao.write.uns import uns_to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from dao.format.manifest import MatrixInfo
    from dao.write.plan import WritePlan
    from dao_backends.foreign.study import OpenStudy

__all__ = ["Catalog", "make_catalog"]

_CREATED = "1970-01-01T00:00:00+00:00"  # nothing was created, and equal files are an equal store
_VOCABULARY = "obs/vocabulary.parquet"
_SPACE = uuid.UUID("4a1cf2fe-5b4e-4f0e-9f6c-0b7a6d1f8a35")


@dataclass(frozen=True)
class Catalog:
    """All of a store but its matrices, in memory.

    Attributes
    ----------
    tables
        Path -> table, as in a store.
    documents
        Path -> uns.
    """

    manifest: Manifest
    tables: Mapping[str, pa.Table]
    documents: Mapping[str, Any]


def make_catalog(
    plan: WritePlan,
    studies: Sequence[OpenStudy],
    matrices: Mapping[str, Mapping[str, MatrixInfo]],
    stamps: Mapping[str, str],
    created_by: str,
) -> Catalog:
    """Describe open studies as the store that `dao.write_store` would make of them.

    Parameters
    ----------
    plan
        Of writing them.
    matrices
        Dataset -> name -> what the matrix is.
    stamps
        Dataset -> what changes whenever its file changes.
    """
    spaces, tables = _spaces(plan)
    tables[_VOCABULARY] = _vocabulary(plan.categories)
    datasets, documents = [], {}
    for one in studies:
        study = one.study
        own = _study_tables(one, plan.space(study))
        tables.update({f"datasets/{study.id}/{name}": table for name, table in own.items()})
        uns = uns_to_json(one.opened.uns(), study.source.label)
        documents[f"datasets/{study.id}/uns.json"] = uns
        datasets.append(_dataset(one, own, plan.space(study), matrices[study.id], stamps[study.id]))
    known = [*(f"{k}={v}" for k, v in stamps.items()), *(s.file.sha256 for s in spaces)]
    manifest = Manifest(
        uuid=str(uuid.uuid5(_SPACE, "\n".join(known))),
        generation=1,
        created=_CREATED,
        created_by=f"{provenance.created_by()} ({created_by})",
        feature_spaces=spaces,
        datasets=tuple(datasets),
        obs_columns=plan.obs_columns,
        vocabulary=FileInfo(_VOCABULARY, 0, ""),
        obs_schema=plan.job.obs_schema,
    )
    return Catalog(manifest, tables, documents)


def _spaces(plan: WritePlan) -> tuple[tuple[FeatureSpaceInfo, ...], dict[str, pa.Table]]:
    spaces, tables = [], {}
    for number, (organism, space) in enumerate(plan.spaces.items()):
        path = f"features/{organism_slug(organism)}-{number}.parquet"
        tables[path] = _table(space)
        digest = hashlib.sha256("\n".join(space["feature_id"]).encode()).hexdigest()
        spaces.append(FeatureSpaceInfo(organism, len(space), FileInfo(path, 0, digest)))
    return tuple(spaces), tables


def _vocabulary(categories: Mapping[str, Sequence[str]]) -> pa.Table:
    pairs = [(name, value) for name, values in categories.items() for value in values]
    columns = {"column": [p[0] for p in pairs], "category": [p[1] for p in pairs]}
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def _study_tables(one: OpenStudy, space: pd.Index) -> dict[str, pa.Table]:
    features, rows = one.study.features, pa.array(one.rows)
    obs = {
        INDEX_COLUMN: one.obs.names.take(rows),
        SOURCE_ROW_COLUMN: rows.cast(pa.int64()),
        **{name: array.take(rows) for name, array in one.obs.arrays.items()},
    }
    tables = {
        "obs.parquet": pa.table(obs),
        "features.parquet": _table(measured_table(features, space)),
    }
    dropped = dropped_table(features, space)
    return {**tables, "dropped.parquet": _table(dropped)} if len(dropped) else tables


def _dataset(
    one: OpenStudy,
    tables: Mapping[str, pa.Table],
    space: pd.Index,
    matrices: Mapping[str, MatrixInfo],
    stamp: str,
) -> DatasetInfo:
    study, path = one.study, f"datasets/{one.study.id}"

    def file(name: str) -> FileInfo:
        return FileInfo(f"{path}/{name}", 0, stamp)

    return DatasetInfo(
        id=study.id,
        path=path,
        organism=study.organism,
        n_obs=len(one.rows),
        n_measured=tables["features.parquet"].num_rows,
        matrices=matrices,
        obs=ObsInfo(file("obs.parquet"), "", dict(one.obs.columns), one.obs.index_name),
        features=file("features.parquet"),
        uns=file("uns.json"),
        group=file("zarr.json"),
        shuffled=False,
        seed=0,
        matching=count_matching(study.features, space),
        dropped=file("dropped.parquet") if "dropped.parquet" in tables else None,
        var_columns=own_names(tables["features.parquet"].to_pandas()),
    )


def _table(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False)
