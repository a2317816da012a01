"""Which obs columns a write keeps, and what is refused because a column is not among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dao.errors import ArgumentError, UnknownColumnError, near_matches
from dao.warn import warn

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from dao.write.job import Job
    from dao.write.source import Source

__all__ = ["check_kept", "not_kept"]


def check_kept(source: Source, job: Job) -> None:
    """Refuse constants, and warn of renamed columns, that would not become part of the store.

    Raises
    ------
    dao.errors.ArgumentError
        If ``obs_columns`` or ``obs_schema`` lacks a constant of the source.
    """
    argument, kept = _kept(job)
    if kept is None:
        return
    used = str(source.subset)  # a condition may be about columns that are not stored
    lost = [name for name in source.constants if name not in kept and name not in used]
    if lost:
        msg = (
            f"{source.label}: the constant {lost[0]!r} would be lost, because {argument} does not "
            f"name it.{near_matches(lost[0], kept)} Add it to {argument}, or leave it out."
        )
        raise ArgumentError(msg)
    # A column may have got another name only to make room for one that takes its own.
    asked = {new: what[0] if isinstance(what, tuple) else what for new, what in source.obs.items()}
    moved = {new for new, old in asked.items() if old in asked}
    lost = [name for name in asked if name not in {*kept, *moved} and name not in used]
    if lost:
        warn(
            f"{source.label}: obs= names the column {lost[0]!r}, which is not stored, because "
            f"{argument} does not name it.{near_matches(lost[0], kept)} Add it to {argument} to "
            "keep it."
        )


def not_kept(column: str, source: Source, job: Job, there: Sequence[str]) -> UnknownColumnError:
    """Return the error for a column of ``cluster_by`` that a study, or the store, lacks."""
    argument, kept = _kept(job)
    if kept is not None and column not in kept:
        msg = (
            f"cluster_by={column!r} is not stored, because {argument} does not name it. Add it to "
            f"{argument}: the store must keep what its rows are ordered by."
        )
        return UnknownColumnError(msg)
    msg = f"cluster_by: obs of {source.label} has no column {column!r}."
    return UnknownColumnError(msg + near_matches(column, there))


def _kept(job: Job) -> tuple[str, Collection[str] | None]:
    if job.obs_schema is not None:
        return "obs_schema", job.obs_schema
    return "obs_columns", job.obs_columns
