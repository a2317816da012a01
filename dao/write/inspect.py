"""First look at every source, before anything is written: genes, obs columns, row order."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd

from dao.errors import DaoError, SourceError
from dao.samplers.rng import permutation
from dao.write.align import SourceFeatures, source_features
from dao.write.conform import conform_obs
from dao.write.join import join_categories
from dao.write.kept import check_kept, not_kept
from dao.write.left_out import left_out
from dao.write.matching_rows import matching_rows
from dao.write.obs import ObsTable, encode_obs
from dao.write.obsm import ObsmColumns
from dao.write.opened import OpenSource, open_source
from dao.write.organisms import organism_of
from dao.write.relabel import prepare_obs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from dao.write.job import Job
    from dao.write.source import Source

__all__ = ["Study", "inspect_opened", "inspect_sources", "of_all", "read_obs", "row_order"]

T = TypeVar("T")


@dataclass(frozen=True)
class Study:
    """What is known of a source before it is written.

    Attributes
    ----------
    n_obs, n_source_rows
        Cells that will be in the store, and rows of the source.
    obs
        Its columns and categories; the values are dropped.
    n_elements
        Elements to be read, over all its matrices, for the progress bar.
    matrices
        What is written besides X: what was asked for, else all that a store has.
    obsm
        Matrix -> its columns, for those of the matrices that are obsm.
    left_out
        Kind -> names of what the source holds and is not written.
    """

    source: Source
    organism: str
    features: SourceFeatures
    n_obs: int
    n_source_rows: int
    obs: ObsTable
    n_elements: int
    matrices: tuple[str, ...]
    obsm: Mapping[str, ObsmColumns] = field(default_factory=dict)
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The dataset id."""
        return str(self.source.id)


def inspect_sources(sources: Sequence[Source], job: Job) -> list[Study]:
    """Open each source, check all that can be checked without reading X, and close it again.

    Raises
    ------
    dao.errors.DaoError
        For anything that would make the write fail later; for all sources at once.
    """
    return of_all(sources, lambda source: _inspect(source, job))


def of_all(sources: Sequence[Source], look: Callable[[Source], T]) -> list[T]:
    """Return ``look(source)`` of each source; what is wrong with several is one error.

    Raises
    ------
    dao.errors.DaoError
        The only one, or a `dao.errors.SourceError` that lists all.
    """
    found, errors = [], []
    for source in sources:
        try:
            found.append(look(source))
        except DaoError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        listed = "\n".join(f"- {e}" for e in errors)
        msg = f"{len(errors)} of {len(sources)} sources cannot be used:\n{listed}"
        raise SourceError(msg) from ExceptionGroup("sources", errors)
    return found


def _inspect(source: Source, job: Job) -> Study:
    with ExitStack() as stack:
        return inspect_opened(source, open_source(source, stack), job)[0]


def inspect_opened(
    source: Source, opened: OpenSource, job: Job
) -> tuple[Study, ObsTable, NDArray[np.int64]]:
    """Return what is known of an open source, its obs in source order, and `row_order`."""
    original = opened.obs()
    obs = read_obs(source, original, job)
    features = source_features(str(source.id), opened, source.feature_key)
    n_elements = opened.x.n_stored
    matrices = job.matrices or (opened.origin.matrices if opened.origin else ())
    obsm = {}
    for name in matrices:
        matrix = opened.matrix(name)
        if name.startswith("obsm/"):
            obsm[name] = ObsmColumns.of(matrix.shape[1], matrix.columns)
        if matrix.shape[0] != len(obs):
            msg = f"{name} of {source.label} has {matrix.shape[0]} rows, obs {len(obs)}."
            raise SourceError(msg)
        n_elements += matrix.n_stored
    table = encode_obs(str(source.id), obs)
    rows = row_order(source, opened, obs, job)
    organism = organism_of(source, opened, original)
    known = replace(table, names=table.names[:0], arrays={})
    study = Study(
        source,
        organism,
        features,
        len(rows),
        len(obs),
        known,
        n_elements,
        matrices,
        obsm,
        left_out(opened, matrices, n_obs=len(rows), n_source_rows=len(obs)),
    )
    return study, table, rows


def read_obs(source: Source, obs: pd.DataFrame, job: Job) -> pd.DataFrame:
    """Return the obs of a source as it will be stored, in source order."""
    check_kept(source, job)
    obs = prepare_obs(source, obs, job.obs_columns, job.obs_schema)
    text = {name for name, stored in job.categories.items() if stored.dtype == "string"}
    obs = conform_obs(obs, job.obs_schema, source.label, text)
    return join_categories(obs, job.categories, source.label)


def row_order(source: Source, opened: OpenSource, obs: pd.DataFrame, job: Job) -> NDArray[np.int64]:
    """Return the source rows that are wanted, in the order in which the store will have them.

    Parameters
    ----------
    obs
        As `read_obs` returns it.
    """
    rows = np.arange(len(obs), dtype=np.int64)
    if opened.origin is not None and opened.origin.order is not None:
        rows = opened.origin.order.astype(np.int64)
    if source.subset is not None:
        rows = rows[matching_rows(source, opened, obs)[rows]]
    if job.shuffle:
        rows = rows[permutation(len(rows), job.seed, str(source.id))]
    for column in reversed(job.cluster_by):
        if column not in obs.columns:
            raise not_kept(column, source, job, list(obs.columns))
        codes, _ = pd.factorize(obs[column], sort=True)
        rows = rows[np.argsort(codes[rows], kind="stable")]
    return rows
