"""The organism of a source, and a warning where a store gets one that was hardly meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dao.errors import SourceError
from dao.format.names import UNKNOWN_ORGANISM
from dao.format.organisms import canonical_organism, is_known_organism, near_organisms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from dao.write.opened import OpenSource
    from dao.write.source import Source

__all__ = ["organism_of", "organism_problems"]


def organism_of(source: Source, opened: OpenSource, obs: pd.DataFrame) -> str:
    """Return the organism that a source is given, or else names itself, in uns or obs.

    Raises
    ------
    dao.errors.SourceError
        If its obs names several.
    """
    if source.organism is not None:
        return canonical_organism(source.organism)
    named: Any = opened.uns().get("organism")
    if named is None and "organism" in obs.columns:
        values = obs["organism"].dropna().unique()
        if len(values) > 1:
            msg = (
                f"{source.label} mixes organisms ({', '.join(map(str, values[:3]))}). Write each "
                "with dao.Source(path, id=..., organism=..., subset=...); there its column is "
                "called organism_original."
            )
            raise SourceError(msg)
        named = values[0] if len(values) else None
    is_name = isinstance(named, str) and bool(named.strip())
    return canonical_organism(named) if is_name else UNKNOWN_ORGANISM


def organism_problems(new: Mapping[str, Sequence[str]], there: Sequence[str]) -> list[str]:
    """Return what may not have been meant: organisms that hardly exist, second feature spaces.

    Parameters
    ----------
    new
        Organism -> ids of the datasets that are written.
    there
        Organisms that the store has already.
    """
    problems = []
    for organism, ids in new.items():
        if organism in there:
            continue
        others = [o for o in (*there, *new) if o not in {organism, UNKNOWN_ORGANISM}]
        problem = _problem(organism, ids, there, others)
        if problem:
            problems.append(problem)
    return problems


def _problem(
    organism: str, ids: Sequence[str], there: Sequence[str], others: Sequence[str]
) -> str | None:
    listed = ", ".join(map(repr, ids[:3])) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
    datasets = f"dataset {listed}" if len(ids) == 1 else f"datasets {listed}"
    own = "which gets a feature space of its own: its cells share no features with the others"
    if organism == UNKNOWN_ORGANISM:
        if not others:
            return None
        return (
            f"No organism is given for {datasets}, and the store has {', '.join(others)}: it is "
            f"stored as {organism!r}, {own}. Pass organism={others[0]!r} if it is that one."
        )
    near = "" if is_known_organism(organism) else near_organisms(organism, others)
    if near:
        return (
            f"organism={organism!r} of {datasets} is not a well-known organism and gets a feature "
            f"space of its own.{near}"
        )
    if there:
        return f"The store has cells of {', '.join(there)}; {datasets} is of {organism!r}, {own}."
    return None
