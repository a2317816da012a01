"""The plan: everything about a new generation that is known before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from dao.cached import cached_property
from dao.directory import StoreDirectory
from dao.errors import ArgumentError, DatasetIdError
from dao.features.reference import references
from dao.format.obs_schema import VIRTUAL_COLUMNS
from dao.warn import warn
from dao.write.align import build_space
from dao.write.measured import warn_of_few, warn_of_gaps
from dao.write.obsm import align_obsm
from dao.write.organisms import organism_problems
from dao.write.source import check_unique
from dao.write.unite import unite_obs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dao.format.manifest import ColumnInfo, DatasetInfo, Manifest
    from dao.write.inspect import Study
    from dao.write.job import Job

__all__ = ["WritePlan", "make_plan"]


@dataclass(frozen=True)
class WritePlan:
    """What will be written.

    Attributes
    ----------
    studies
        Their features matched to the spaces.
    spaces
        Organism -> table of its features, also of organisms that only the store has so far.
    obs_columns, categories
        The obs columns of the whole store, and the categories of the categorical ones.
    base
        The generation that is appended to, if any.
    """

    job: Job
    studies: tuple[Study, ...]
    spaces: Mapping[str, pd.DataFrame]
    obs_columns: Mapping[str, ColumnInfo]
    categories: Mapping[str, Sequence[str]]
    base: Manifest | None

    @cached_property
    def space_ids(self) -> Mapping[str, pd.Index]:
        """Organism -> the ids of its features."""
        return {o: pd.Index(t["feature_id"], dtype=object) for o, t in self.spaces.items()}

    def space(self, study: Study) -> pd.Index:
        """Return the ids of the features that a study is aligned to."""
        return self.space_ids[study.organism]


def make_plan(
    job: Job, studies: Sequence[Study], features: Any, base: Manifest | None
) -> WritePlan:
    """Unite features and obs columns of studies, and of the store that is appended to.

    Parameters
    ----------
    features
        As of `dao.write_store`.

    Raises
    ------
    dao.errors.DaoError
        If they cannot be united.
    """
    old = base.datasets if base else ()
    if job.mode == "append":
        _check_new(studies, old)
    check_unique([*(d.id for d in old), *(s.id for s in studies)])
    studies = align_obsm(studies, base, asked=bool(job.matrices))
    _warn_of_organisms(studies, base)
    spaces, matched = _align(job, studies, features, base)
    obs_columns, categories = unite_obs(matched, job.root, base)
    _check_offered(job, obs_columns)
    return WritePlan(job, tuple(matched), spaces, obs_columns, categories, base)


def _warn_of_organisms(studies: Sequence[Study], base: Manifest | None) -> None:
    ids: dict[str, list[str]] = {}
    for study in studies:
        ids.setdefault(study.organism, []).append(study.id)
    there = [s.organism for s in base.feature_spaces] if base else []
    for problem in organism_problems(ids, there):
        warn(problem)


def _check_new(studies: Sequence[Study], old: Sequence[DatasetInfo]) -> None:
    there = {d.id.lower(): d.id for d in old}
    again = [there[s.id.lower()] for s in studies if s.id.lower() in there]
    if again:
        msg = (
            f"The store has a dataset {again[0]!r} already. Use mode='replace' to put another in "
            "its place, or give another id: write_store(path, {'my_id': source})."
        )
        raise DatasetIdError(msg)


def _align(
    job: Job, studies: Sequence[Study], features: Any, base: Manifest | None
) -> tuple[dict[str, pd.DataFrame], list[Study]]:
    spaces = {}
    if base is not None:
        directory = StoreDirectory(job.root)
        spaces = {s.organism: directory.table(s.file.path).to_pandas() for s in base.feature_spaces}
    found: dict[str, Study] = {}
    wanted = references(features, dict.fromkeys(s.organism for s in studies))
    for organism, reference in wanted.items():
        own = [s for s in studies if s.organism == organism]
        existing = spaces.get(organism)
        table, matched = build_space(organism, [s.features for s in own], reference, existing)
        spaces[organism] = table
        others = [] if existing is None else existing["feature_id"]
        space = pd.Index(table["feature_id"], dtype=object)
        warn_of_gaps(organism, matched, pd.Index(others, dtype=object), space)
        if reference.table is not None:
            warn_of_few(matched, space)
        pairs = zip(own, matched, strict=True)
        found.update({study.id: replace(study, features=f) for study, f in pairs})
    return spaces, [found[s.id] for s in studies]


def _check_offered(job: Job, united: Mapping[str, ColumnInfo]) -> None:
    for name in job.obs_columns or ():
        if name not in united and name not in VIRTUAL_COLUMNS:
            msg = f"obs_columns: no source has a column {name!r}."
            raise ArgumentError(msg)
