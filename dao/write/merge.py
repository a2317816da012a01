"""Merge: which datasets of a store are so alike that they can be one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dao.errors import ArgumentError, near_matches
from dao.features.measured import measured_positions
from dao.format.obs_schema import RESERVED_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dao.format.manifest import DatasetInfo
    from dao.store import Store

__all__ = ["check_mergeable"]


def check_mergeable(store: Store, new: str, parts: Sequence[str], keep_ids: str) -> None:
    """Refuse to make one dataset of what is not alike.

    Parameters
    ----------
    new
        Id of the dataset to be made.
    parts
        Ids of those that it is made of.
    keep_ids
        The obs column that will say which of these each cell was in.

    Raises
    ------
    dao.errors.ArgumentError
        Saying what differs, and in which dataset; or that there cannot be such a column.
    """
    first, *others = (store.manifest.dataset(part) for part in parts)
    for other in others:
        problem = _unlike(store, first, other)
        if problem:
            msg = f"{first.id!r} and {other.id!r} cannot be merged into {new!r}: {problem}."
            raise ArgumentError(msg)
    taken = {*RESERVED_COLUMNS, *first.obs.columns, *(c for d in others for c in d.obs.columns)}
    if keep_ids in taken:
        msg = (
            f"keep_ids={keep_ids!r} is an obs column already: give another name for the column "
            "that will say of each cell which dataset it was in."
        )
        raise ArgumentError(msg)
    schema = store.manifest.obs_schema
    if schema is not None and keep_ids not in schema:
        near = near_matches(keep_ids, schema)
        msg = f"keep_ids={keep_ids!r}: the obs_schema of the store has no such column.{near}"
        raise ArgumentError(msg)


def _unlike(store: Store, first: DatasetInfo, other: DatasetInfo) -> str | None:
    if first.organism != other.organism:
        return f"one is of {first.organism}, the other of {other.organism}"
    if set(first.matrices) != set(other.matrices):
        return f"only one of them has {min(set(first.matrices) ^ set(other.matrices))}"
    a, b = (set(measured_positions(store.reader, d).tolist()) for d in (first, other))
    if a != b:
        return (
            f"they measured different features ({len(a - b):,} only the first, {len(b - a):,} only "
            "the second), and in one dataset those would look as if they were zero"
        )
    return None
