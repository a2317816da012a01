"""First look at every source, before anything is written: genes, obs columns, row order."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from dao.errors import ArgumentError, DaoError, SourceError, UnknownColumnError, near_matches
from dao.format.names import UNKNOWN_ORGANISM, canonical_organism
from dao.obs import frame_columns
from dao.samplers.rng import permutation
from dao.where import check, evaluate, parse
from dao.write.align import SourceFeatures, source_features
from dao.write.conform import conform_obs
from dao.write.matrices import RowOrder
from dao.write.obs import ObsTable, encode_obs
from dao.write.opened import OpenSource, open_source
from dao.write.relabel import prepare_obs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from dao.write.job import Job
    from dao.write.portion import Origin
    from dao.write.source import Source

__all__ = ["Study", "inspect_opened", "inspect_sources", "of_all", "read_obs"]

T = TypeVar("T")


@dataclass(frozen=True)
class Study:
    """What is known of a source before it is written.

    Attributes
    ----------
    rows
        Source rows in the order in which the store will have them.
    obs
        Its columns and categories; the values are dropped.
    n_elements
        Elements to be read, over all its matrices, for the progress bar.
    matrices
        What is written besides X: what was asked for, else all that a store has.
    origin
        What a store says of its cells besides.
    """

    source: Source
    organism: str
    features: SourceFeatures
    rows: NDArray[np.int64]
    n_source_rows: int
    obs: ObsTable
    n_elements: int
    matrices: tuple[str, ...]
    origin: Origin | None = None

    @property
    def id(self) -> str:
        """The dataset id."""
        return str(self.source.id)

    @property
    def order(self) -> RowOrder:
        """Where each source row goes."""
        destinations = np.full(self.n_source_rows, -1, np.int64)
        destinations[self.rows] = np.arange(len(self.rows))
        return RowOrder(destinations, len(self.rows))


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


def inspect_opened(source: Source, opened: OpenSource, job: Job) -> tuple[Study, ObsTable]:
    """Return what is known of an open source, and its obs in source order."""
    obs = read_obs(source, opened, job)
    features = source_features(str(source.id), opened, source.feature_key)
    n_elements = opened.x.n_stored
    matrices = job.matrices or (opened.origin.matrices if opened.origin else ())
    for name in matrices:
        matrix = opened.matrix(name)
        if matrix.shape[0] != len(obs):
            msg = f"{name} of {source.label} has {matrix.shape[0]} rows, obs {len(obs)}."
            raise SourceError(msg)
        n_elements += matrix.n_stored
    table = encode_obs(str(source.id), obs)
    rows = _row_order(source, opened, obs, job)
    organism = _organism(source, opened)
    known = ObsTable(table.names[:0], {}, table.columns, table.categories)
    study = Study(
        source, organism, features, rows, len(obs), known, n_elements, matrices, opened.origin
    )
    return study, table


def read_obs(source: Source, opened: OpenSource, job: Job) -> pd.DataFrame:
    """Return the obs of an open source as it will be stored, in source order."""
    obs = prepare_obs(source, opened.obs, job.obs_columns)
    return conform_obs(obs, job.obs_schema, source.label)


def _row_order(
    source: Source, opened: OpenSource, obs: pd.DataFrame, job: Job
) -> NDArray[np.int64]:
    rows = np.arange(len(obs), dtype=np.int64)
    if opened.origin is not None and opened.origin.order is not None:
        rows = opened.origin.order.astype(np.int64)
    if source.subset is not None:
        if not isinstance(source.subset, str):
            msg = f"subset of {source.label} must be an expression as text."
            raise ArgumentError(msg)
        columns, expression = frame_columns(obs), parse(source.subset)
        known = {name: column.info for name, column in columns.items()}
        check(expression, known, lambda name: columns[name].categories or ())
        rows = rows[evaluate(expression, columns, len(obs))[rows]]
    if job.shuffle:
        rows = rows[permutation(len(rows), job.seed, str(source.id))]
    for column in reversed(job.cluster_by):
        if column not in obs.columns:
            msg = f"cluster_by: obs of {source.label} has no column {column!r}."
            raise UnknownColumnError(msg + near_matches(column, obs.columns))
        codes, _ = pd.factorize(obs[column], sort=True)
        rows = rows[np.argsort(codes[rows], kind="stable")]
    return rows


def _organism(source: Source, opened: OpenSource) -> str:
    if source.organism is not None:
        return canonical_organism(source.organism)
    named: Any = opened.uns().get("organism")
    if named is None and "organism" in opened.obs.columns:
        values = opened.obs["organism"].dropna().unique()
        if len(values) > 1:
            msg = (
                f"{source.label} mixes organisms ({', '.join(map(str, values[:3]))}). Write each "
                "with dao.Source(path, id=..., organism=..., subset=...)."
            )
            raise SourceError(msg)
        named = values[0] if len(values) else None
    return canonical_organism(named) if isinstance(named, str) else UNKNOWN_ORGANISM
