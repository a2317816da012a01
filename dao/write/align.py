"""Align: from each study's genes to the one ordered feature space of its organism."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dao.errors import ArgumentError, NoCommonFeaturesError, UnknownColumnError, near_matches
from dao.features.match import Matching, rename
from dao.features.own import is_text
from dao.features.read import symbol_column
from dao.write.var import storable_var

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dao.features.reference import Reference
    from dao.write.opened import OpenSource

__all__ = ["SourceFeatures", "build_space", "source_features"]


@dataclass(frozen=True)
class SourceFeatures:
    """The features of one study.

    Attributes
    ----------
    dataset
        Id of the study.
    names
        What the study calls each column of its X; may repeat.
    matching
        The feature that each name stands for.
    var
        The source's var.
    detection
        Share of cells in which each column is not zero (estimated).
    annotation
        What a store that it comes from says of the columns besides.
    """

    dataset: str
    names: pd.Index
    matching: Matching
    var: pd.DataFrame
    detection: NDArray[np.float64]
    annotation: pd.DataFrame | None = None

    @property
    def ids(self) -> pd.Index:
        """The feature of each column; None where it has none; may repeat."""
        return self.matching.ids

    def matched(self, reference: Reference) -> SourceFeatures:
        """Return the same study with its names matched to other features."""
        if reference.is_trivial:  # as they were matched when the study was opened
            return self
        return replace(self, matching=reference.match(self.names))

    def targets(self, space: pd.Index) -> NDArray[np.int64]:
        """Return for each source column its place in the space, or -1 where it has none."""
        return space.get_indexer(self.ids).astype(np.int64)


def source_features(dataset: str, opened: OpenSource, feature_key: str | None) -> SourceFeatures:
    """Return the features of an open source, ids from var_names or a column of var.

    Raises
    ------
    dao.errors.UnknownColumnError
        If var has no column ``feature_key``.
    dao.errors.ArgumentError
        If ids are missing.
    """
    if feature_key is None:
        raw: Any = opened.var.index
    elif feature_key in opened.var.columns:
        raw = opened.var[feature_key]
    else:
        msg = f"var of {opened.label} has no column {feature_key!r} (feature_key=)."
        raise UnknownColumnError(msg + near_matches(feature_key, opened.var.columns))
    if not opened.var.columns.is_unique:
        twice = opened.var.columns[opened.var.columns.duplicated()][0]
        msg = f"var of {opened.label} has the column {twice!r} twice: rename one of them."
        raise ArgumentError(msg)
    if pd.isna(raw).any():
        where = "var_names" if feature_key is None else f"the column {feature_key!r} of var"
        msg = (
            f"{int(pd.isna(raw).sum())} features of {opened.label} have no id in {where}. "
            "Leave them out, or pass feature_key= with a column of var that has an id for each."
        )
        raise ArgumentError(msg)
    names = pd.Index([str(v) for v in raw], dtype=object)
    var = storable_var(opened.var if feature_key is None else _with_symbols(opened.var))
    known = None if opened.origin is None else opened.origin.annotation
    return SourceFeatures(dataset, names, rename(names, {}), var, opened.x.detection(), known)


def build_space(
    organism: str,
    sources: Sequence[SourceFeatures],
    reference: Reference,
    existing: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, list[SourceFeatures]]:
    """Return the feature table of an organism, and its studies matched to it.

    Parameters
    ----------
    sources
        The studies to be written.
    reference
        Which features are wanted, and what names stand for them.
    existing
        The table of a store that is appended to: its rows stay first and in order.

    Raises
    ------
    dao.errors.NoCommonFeaturesError
        If nothing is left, or a study has none of the features asked for.
    """
    if existing is not None and reference.join is None:
        msg = "features= must be 'outer' or 'inner' when appending: the store has its features."
        raise ArgumentError(msg)
    asked = f"{reference.join!r}" if reference.join else "a list"
    if existing is not None and reference.join == "inner":
        reference = reference.fixed(existing)
    matched = [s.matched(reference) for s in sources]
    if reference.table is not None:
        ids = pd.Index(reference.table["feature_id"], dtype=object)
    else:
        ids = _by_detection(matched, outer=reference.join == "outer")
        if existing is not None:
            old = pd.Index(existing["feature_id"], dtype=object)
            ids = old.append(ids[~ids.isin(old)])
    for source in matched:
        if len(source.ids) and not source.ids.isin(ids).any():
            msg = _nothing_shared(organism, matched, source, asked)
            raise NoCommonFeaturesError(msg)
    if not len(ids):
        msg = f"No feature of {organism} is left (features={asked})."
        raise NoCommonFeaturesError(msg)
    known = existing if reference.table is None else reference.table
    return _with_annotation(ids, matched, known), matched


def _by_detection(sources: Sequence[SourceFeatures], *, outer: bool) -> pd.Index:
    """Order features by how often they are detected: their numbers then compress better."""
    shares = []
    for source in sources:
        detection = pd.Series(source.detection, index=source.ids)
        shares.append(detection[source.ids.notna()].groupby(level=0, sort=False).max())
    if not shares:
        return pd.Index([], dtype=object)
    every = np.concatenate([share.index.to_numpy(object) for share in shares])
    numbers, ids = pd.factorize(every)
    weights = np.concatenate([share.to_numpy(np.float64) for share in shares])
    detected = np.bincount(numbers, weights, len(ids))
    order = np.argsort(-detected, kind="stable")
    if not outer:
        order = order[np.bincount(numbers, minlength=len(ids))[order] == len(shares)]
    united: pd.Index[Any] = pd.Index(ids[order], dtype=object)
    return united


def _nothing_shared(
    organism: str,
    sources: Sequence[SourceFeatures],
    lone: SourceFeatures,
    asked: str,
) -> str:
    shown = [lone, *(s for s in sources if s is not lone)][:3]
    examples = ", ".join(f"{s.dataset!r} has {', '.join(map(repr, s.names[:2]))}" for s in shown)
    return (
        f"The datasets of {organism} have no feature in common with features={asked}: {examples}. "
        "Do they use different ids? Name the right column of var with feature_key=."
    )


def _with_annotation(
    ids: pd.Index, sources: Sequence[SourceFeatures], existing: pd.DataFrame | None
) -> pd.DataFrame:
    """Lift text columns of var (symbols, biotypes) into the space; the first study to know wins.

    Numbers and flags of var (means, highly_variable) speak of one study and stay with it; see
    `dao.features.own`.
    """
    table = pd.DataFrame({"feature_id": ids})
    columns: dict[str, dict[Any, Any]] = {}
    if existing is not None:
        for name in existing.columns.drop("feature_id"):
            if not is_text(existing[name]):
                continue
            stored = existing.set_index("feature_id")[name].dropna()
            columns[str(name)] = stored.to_dict()
    for source in sources:
        said = [source.var] if source.annotation is None else [source.var, source.annotation]
        for column, values in (item for table in said for item in table.items()):
            if column == "feature_id" or not is_text(values):
                continue
            pairs = pd.Series(values.to_numpy(object), index=source.ids).dropna()
            pairs = pairs[pairs.index.notna() & ~pairs.index.duplicated()]
            columns[str(column)] = {**pairs.to_dict(), **columns.get(str(column), {})}
    for name, known in columns.items():
        table[name] = pd.Series([known.get(i) for i in ids], dtype=object)
    return table


def _with_symbols(var: pd.DataFrame) -> pd.DataFrame:
    """Keep var_names as symbols where they are not the ids and nothing else says the symbols."""
    names = pd.Index([str(n) for n in var.index], dtype=object)
    if symbol_column(var) is not None or names.str.isdigit().all():
        return var
    return var.assign(symbol=names.to_numpy(object))
