"""What a study measured of a feature space, and what of the study has no place in it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dao.features.absent import are_few, why_absent
from dao.format.manifest import MatchingInfo
from dao.warn import warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dao.write.align import SourceFeatures

__all__ = ["count_matching", "dropped_table", "measured_table", "warn_of_few", "warn_of_gaps"]


def measured_table(source: SourceFeatures, space: pd.Index) -> pd.DataFrame:
    """Return what a study measured.

    These are ``position`` in the space, how many of the study's columns were summed there, what
    it called them where that was not the id, and its own columns of var (of the first such
    column).
    """
    targets = source.targets(space)
    kept = np.flatnonzero(targets >= 0)
    order = kept[np.argsort(targets[kept], kind="stable")]
    positions, first, counts = np.unique(targets[order], return_index=True, return_counts=True)
    table = pd.DataFrame({"position": positions.astype(np.int32), "n_summed": counts})
    names = source.names[order[first]]
    if not names.equals(space[positions]):
        table["source_name"] = names.to_numpy(object)
    own = source.var.iloc[order[first]].reset_index(drop=True)
    own.columns = pd.Index([f"var:{c}" for c in own.columns], dtype=object)
    return pd.concat([table, own], axis=1)


def count_matching(source: SourceFeatures, space: pd.Index) -> MatchingInfo:
    """Return how many columns of a study were matched, by what, and how many were not."""
    how = Counter(_reasons(source, space).tolist())
    return MatchingInfo(
        len(source.names), *(how[h] for h in ("id", "symbol", "alias", "unknown", "ambiguous"))
    )


def dropped_table(source: SourceFeatures, space: pd.Index) -> pd.DataFrame:
    """Return the columns of a study that have no place: their names, why, and for what they stand.

    The features that an ambiguous name stands for are joined by ``|``.
    """
    reasons = _reasons(source, space)
    dropped = np.flatnonzero((reasons == "unknown") | (reasons == "ambiguous"))
    names = source.names[dropped]
    candidates = ["|".join(source.matching.candidates.get(n, ())) or None for n in names]
    columns = {"name": names, "reason": reasons[dropped], "candidates": candidates}
    return pd.DataFrame(columns, dtype=object)


def warn_of_gaps(
    organism: str, sources: Sequence[SourceFeatures], others: pd.Index, space: pd.Index
) -> None:
    """Warn of studies that share nothing with all others, and of names that are ambiguous.

    Parameters
    ----------
    others
        Features that studies already in the store measured; empty for a new store.
    """
    alone = _alone(sources, others) if len(sources) > 1 or len(others) else set()
    for source in sources:
        if source.dataset in alone:
            warn(
                f"Dataset {source.dataset!r} has no feature in common with the others (organism: "
                f"{organism}): it has {', '.join(map(repr, source.names[:2]))}. Do they use "
                "different ids? Name the right column of var with feature_key=, or match by "
                "symbol with features=dao.Features(...)."
            )
        if source.matching.candidates:
            several = dropped_table(source, space).query("reason == 'ambiguous'")
            name, candidates = several.iloc[0][["name", "candidates"]]
            warn(
                f"{source.dataset!r} has names that stand for several features, and are left out "
                f"({len(several)}): {name!r} for {candidates.replace('|', ', ')}. Decide with "
                f"dao.Features(..., aliases={{{name!r}: ...}})."
            )


def warn_of_few(sources: Sequence[SourceFeatures], wanted: pd.Index) -> None:
    """Warn of studies that have only a few of the features that were asked for.

    A study may have fewer features than are wanted, or more, and be right: what counts is the
    share of the smaller number.
    """
    for source in sources:
        n_found = int(wanted.isin(source.ids).sum())
        n_possible = min(len(wanted), source.names.nunique())
        if not are_few(n_found, n_possible):
            continue
        absent = wanted[~wanted.isin(source.ids)]
        names = pd.DataFrame(index=source.names.unique())
        warn(
            f"Dataset {source.dataset!r} has {n_found:,} of the {len(wanted):,} features of "
            f"features=; the others, as {absent[0]!r}, are zero for its cells."
            f"{why_absent(absent, names)} Other names are matched by "
            "dao.Features(table, symbol=, aliases=, ignore_case=)."
        )


def _alone(sources: Sequence[SourceFeatures], others: pd.Index) -> set[str]:
    """Return the datasets whose features no other study has, and that are not among ``others``."""
    measured = {source.dataset: source.ids.dropna().unique() for source in sources}
    every = others[:0].append(list(measured.values()))
    shared = every[every.duplicated()].append(others)
    return {name for name, ids in measured.items() if len(ids) and not ids.isin(shared).any()}


def _reasons(
    source: SourceFeatures, space: pd.Index
) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    how = source.matching.how.copy()
    how[(source.targets(space) < 0) & (how != "ambiguous")] = "unknown"
    return how
