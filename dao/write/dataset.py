"""One study becomes one dataset: its tables, its matrices, and what the manifest says of it."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from dao.errors import ArgumentError, SourceError
from dao.format.manifest import DatasetInfo
from dao.generations import dataset_folder
from dao.write.buckets import Buckets
from dao.write.files import file_info
from dao.write.inspect import read_obs, row_order
from dao.write.layout import write_group
from dao.write.matrices import MatrixJob, write_matrix
from dao.write.opened import open_source
from dao.write.tables import write_tables, write_text
from dao.write.uns import convert_uns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from dao.format.manifest import FileInfo, MatrixInfo, OriginInfo
    from dao.write.inspect import Study
    from dao.write.job import Job
    from dao.write.matrices import Workshop
    from dao.write.matrix import SourceMatrix
    from dao.write.opened import OpenSource
    from dao.write.tables import WrittenTables

__all__ = ["Assignment", "Beside", "Written", "source_matrix", "write_dataset"]


@dataclass(frozen=True)
class Assignment:
    """A study that is to become a dataset.

    Attributes
    ----------
    space
        Ids of the features that it is aligned to.
    """

    job: Job
    study: Study
    space: pd.Index

    @property
    def path(self) -> str:
        """Folder of the dataset, relative to the store."""
        return f"datasets/{dataset_folder(self.study.id + self.job.token, self.job.generation)}"

    @property
    def matrices(self) -> tuple[str, ...]:
        """What is written, for example ``("X", "layers/counts")``."""
        return ("X", *self.study.matrices)


@dataclass(frozen=True)
class Beside:
    """What lies beside the matrices of a dataset.

    Attributes
    ----------
    group
        Metadata of its Zarr group.
    shuffled
        Whether its rows are in a random order.
    uns_left
        Paths of the keys of uns that are left out.
    origins
        Which datasets its cells were in at first; none if always in this one.
    """

    group: FileInfo
    tables: WrittenTables
    uns: FileInfo
    shuffled: bool
    uns_left: tuple[str, ...]
    origins: tuple[OriginInfo, ...] = ()


@dataclass(frozen=True)
class Written:
    """A dataset on disk, and the paths of the keys of its uns that are left out."""

    info: DatasetInfo
    uns_left: tuple[str, ...]


def write_dataset(
    assignment: Assignment, root: Path, shop: Workshop, advance: Callable[[int], None]
) -> Written:
    """Write a dataset into the folder of a store.

    Parameters
    ----------
    advance
        Called with the number of source elements read since the last call.
    """
    with ExitStack() as stack:
        opened = open_source(assignment.study.source, stack)
        obs, rows = ordered_obs(assignment, opened)
        places = destinations(assignment, rows)
        beside = shop.workers.aside(write_beside, assignment, root, opened, obs, rows)
        del obs, rows
        matrices = {}
        for name in assignment.matrices:
            matrix = source_matrix(opened, name)
            job = matrix_job(assignment, name, matrix)
            matrices[name] = write_matrix(job, matrix, places, root, shop, advance)
        return describe(assignment, root, beside.result(), matrices)


def ordered_obs(
    assignment: Assignment, opened: OpenSource
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Return the obs of a source, and which rows of it are wanted in which order.

    Raises
    ------
    dao.errors.SourceError
        If there are not as many as at first sight.
    """
    study = assignment.study
    obs = read_obs(study.source, opened.obs(), assignment.job)
    rows = row_order(study.source, opened, obs, assignment.job)
    if (len(rows), len(obs)) != (study.n_obs, study.n_source_rows):
        msg = f"{study.source.label} has changed while it was written: it has {len(obs)} rows now."
        raise SourceError(msg)
    return obs, rows


def destinations(assignment: Assignment, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place in the store of each source row, -1 for those that are left out."""
    places = np.full(assignment.study.n_source_rows, -1, np.int64)
    places[rows] = np.arange(len(rows))
    return places


def write_beside(
    assignment: Assignment,
    root: Path,
    opened: OpenSource,
    obs: pd.DataFrame,
    rows: NDArray[np.int64],
) -> Beside:
    """Write all of a dataset but its matrices."""
    study, path, origin = assignment.study, assignment.path, opened.origin
    group = write_group(root, path, {"dao": {"id": study.id}})
    for container in sorted({n.partition("/")[0] for n in study.matrices}):
        attributes = {"encoding-type": "dict", "encoding-version": "0.1.0"}
        write_group(root, f"{path}/{container}", attributes)
    tables = write_tables(root, path, study, assignment.space, obs, rows, origin)
    uns, uns_left = convert_uns(opened.uns())
    return Beside(
        group=group,
        tables=tables,
        uns=write_text(root, f"{path}/uns.json", json.dumps(uns, ensure_ascii=False)),
        shuffled=assignment.job.shuffle or (origin is not None and origin.shuffled),
        uns_left=uns_left,
        origins=() if origin is None else origin.origins(study.id),
    )


def source_matrix(opened: OpenSource, name: str) -> SourceMatrix:
    """Return X or another matrix of a source."""
    return opened.x if name == "X" else opened.matrix(name)


def matrix_job(assignment: Assignment, name: str, matrix: SourceMatrix) -> MatrixJob:
    """Return what is to be done with a matrix.

    Raises
    ------
    dao.errors.ArgumentError
        If a layer has other columns than X.
    dao.errors.SourceError
        If there are not as many rows as at first sight.
    """
    study, is_obsm = assignment.study, name.startswith("obsm/")
    if matrix.shape[0] != study.n_source_rows:
        msg = f"{study.source.label} has changed while it was written: {name} has other rows now."
        raise SourceError(msg)
    columns = study.obsm[name] if is_obsm else None
    if columns is not None:
        targets = np.array(columns.places, np.int64)
    else:
        targets = study.features.targets(assignment.space)
        if len(targets) != matrix.shape[1]:
            msg = (
                f"{name} of {study.source.label} has {matrix.shape[1]} columns and X "
                f"({study.source.layer or 'X'}) has {len(targets)}: they cannot share genes."
            )
            raise ArgumentError(msg)
    shape = (study.n_obs, matrix.shape[1] if is_obsm else len(assignment.space))
    return MatrixJob(
        f"{assignment.path}/{name}",
        assignment.job.profile,
        shape,
        targets.astype(np.int32),
        matrix.dtype,
        matrix.encoding,
        None if columns is None else columns.names,
        force_dense=is_obsm,
        buckets=Buckets.within(shape, matrix.n_stored) if matrix.encoding == "csc" else None,
    )


def describe(
    assignment: Assignment, root: Path, beside: Beside, matrices: Mapping[str, MatrixInfo]
) -> Written:
    """Return what the manifest says of a dataset whose files are all there."""
    job, study, path, tables = assignment.job, assignment.study, assignment.path, beside.tables
    known = {f"{path}/zarr.json"}
    known |= {a.metadata.path for m in matrices.values() for a in m.arrays.values()}
    groups = (str(p.relative_to(root)) for p in sorted((root / path).rglob("zarr.json")))
    info = partial(file_info, root)
    return Written(
        DatasetInfo(
            id=study.id,
            path=path,
            organism=study.organism,
            n_obs=study.n_obs,
            n_measured=tables.n_measured,
            matrices=matrices,
            obs=tables.obs,
            features=tables.features,
            groups=tuple(info(name) for name in groups if name not in known),
            uns=beside.uns,
            group=beside.group,
            shuffled=beside.shuffled,
            seed=job.seed,
            cluster_by=job.cluster_by,
            matching=tables.matching,
            dropped=tables.dropped,
            var_columns=tables.var_columns,
            origins=beside.origins,
        ),
        beside.uns_left,
    )
