"""Align: from each study's genes to the one ordered feature space of its organism."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dao.errors import ArgumentError, NoCommonFeaturesError, UnknownColumnError, near_matches
from dao.format.names import cut_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dao.write.opened import OpenSource

__all__ = ["SourceFeatures", "build_space", "measured_table", "source_features"]


@dataclass(frozen=True)
class SourceFeatures:
    """The features of one study.

    Attributes
    ----------
    dataset
        Id of the study.
    ids
        Feature id of each column of the source's X, versions cut; may repeat.
    var
        The source's var.
    detection
        Share of cells in which each column is not zero (estimated).
    """

    dataset: str
    ids: pd.Index
    var: pd.DataFrame
    detection: NDArray[np.float64]

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
        msg = f"var of {opened.label} has no column {feature_key!r} (feature_key)."
        raise UnknownColumnError(msg + near_matches(feature_key, opened.var.columns))
    if pd.isna(raw).any():
        msg = f"{int(pd.isna(raw).sum())} features of {opened.label} have no id in {feature_key!r}."
        raise ArgumentError(msg)
    ids = pd.Index([cut_version(str(v)) for v in raw], dtype=object)
    return SourceFeatures(dataset, ids, opened.var, opened.x.detection())


def build_space(
    organism: str,
    sources: Sequence[SourceFeatures],
    features: str | Sequence[str],
    existing: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the feature table of an organism: ``feature_id`` and the columns of var that agree.

    Parameters
    ----------
    sources
        The studies to be written.
    features
        ``"outer"``, ``"inner"``, or the wanted ids, whose order is kept.
    existing
        The table of a store that is appended to: its rows stay first and in order.

    Raises
    ------
    dao.errors.NoCommonFeaturesError
        If nothing is left, or a study has none of the features asked for.
    """
    if not isinstance(features, str):
        ids = _wanted(features)
    elif features not in {"outer", "inner"}:
        msg = f"features={features!r}: give 'outer', 'inner', or a list of feature ids."
        raise ArgumentError(msg)
    elif existing is not None and features == "inner":
        ids = pd.Index(existing["feature_id"], dtype=object)
    else:
        ids = _by_detection(sources, outer=features == "outer")
    if existing is not None and not isinstance(features, str):
        msg = "features= cannot be a list when appending: the store has its features already."
        raise ArgumentError(msg)
    if existing is not None and features == "outer":
        old = pd.Index(existing["feature_id"], dtype=object)
        ids = old.append(ids[~ids.isin(old)])
    for source in sources:
        if len(source.ids) and not source.ids.isin(ids).any():
            msg = _nothing_shared(organism, sources, source, features)
            raise NoCommonFeaturesError(msg)
    if not len(ids):
        msg = f"No feature of {organism} is left (features={features!r})."
        raise NoCommonFeaturesError(msg)
    return _with_annotation(ids, sources, existing)


def measured_table(source: SourceFeatures, space: pd.Index) -> pd.DataFrame:
    """Return what a study measured.

    These are ``position`` in the space, how many of the study's columns were summed there, and
    its own columns of var (of the first such column).
    """
    targets = source.targets(space)
    kept = np.flatnonzero(targets >= 0)
    order = kept[np.argsort(targets[kept], kind="stable")]
    positions, first, counts = np.unique(targets[order], return_index=True, return_counts=True)
    table = pd.DataFrame({"position": positions.astype(np.int32), "n_summed": counts})
    own = source.var.iloc[order[first]].reset_index(drop=True)
    own.columns = [f"var:{c}" for c in own.columns]
    return pd.concat([table, _storable(own)], axis=1)


def _wanted(features: Sequence[str]) -> pd.Index:
    ids = pd.Index([cut_version(str(f)) for f in features], dtype=object)
    if not ids.is_unique:
        twice = ids[ids.duplicated()].unique()[:5].tolist()
        msg = f"features= names some ids twice: {', '.join(map(repr, twice))}."
        raise ArgumentError(msg)
    return ids


def _by_detection(sources: Sequence[SourceFeatures], *, outer: bool) -> pd.Index:
    """Order features by how often they are detected: their numbers then compress better."""
    detected: dict[str, float] = {}
    shared: set[str] | None = None
    for source in sources:
        shares = pd.Series(source.detection, index=source.ids).groupby(level=0, sort=False).max()
        for feature, share in zip(shares.index, shares.to_numpy(), strict=True):
            detected[feature] = detected.get(feature, 0.0) + float(share)
        shared = set(source.ids) if shared is None else shared & set(source.ids)
    ids = [f for f in detected if outer or f in (shared or set())]
    return pd.Index(sorted(ids, key=lambda f: -detected[f]), dtype=object)


def _nothing_shared(
    organism: str,
    sources: Sequence[SourceFeatures],
    lone: SourceFeatures,
    features: str | Sequence[str],
) -> str:
    examples = ", ".join(
        f"{s.dataset!r} has {', '.join(map(repr, s.ids[:2]))}" for s in (lone, *sources[:2])
    )
    asked = repr(features) if isinstance(features, str) else f"a list of {len(features)}"
    return (
        f"The datasets of {organism} have no feature in common with features={asked}: {examples}. "
        "Do they use different ids? Name the right column of var with feature_key=."
    )


def _with_annotation(
    ids: pd.Index, sources: Sequence[SourceFeatures], existing: pd.DataFrame | None
) -> pd.DataFrame:
    """Lift text columns of var (symbols, biotypes) into the space; the first study to know wins.

    Numbers and flags of var (means, highly_variable) speak of one study and stay with it.
    """
    table = pd.DataFrame({"feature_id": ids})
    columns: dict[str, dict[Any, Any]] = {}
    if existing is not None:
        for name in existing.columns.drop("feature_id"):
            stored = existing.set_index("feature_id")[name].dropna()
            columns[str(name)] = stored.to_dict()
    for source in sources:
        for name in source.var.columns:
            values = source.var[name]
            if name == "feature_id" or not _is_text(values):
                continue
            pairs = pd.Series(values.to_numpy(object), index=source.ids).dropna()
            pairs = pairs[~pairs.index.duplicated()]
            columns[str(name)] = {**pairs.to_dict(), **columns.get(str(name), {})}
    for name, known in columns.items():
        table[name] = pd.Series([known.get(i) for i in ids], dtype=object)
    return table


def _is_text(values: pd.Series) -> bool:
    kind = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else values
    return pd.api.types.infer_dtype(kind, skipna=True) == "string"


def _storable(table: pd.DataFrame) -> pd.DataFrame:
    """Return var columns as parquet can hold them; what it cannot becomes text."""
    result = {}
    for name in table.columns:
        values = table[name]
        kind = pd.api.types.infer_dtype(values, skipna=True)
        if kind.startswith("mixed") or kind in {"complex", "bytes"}:
            result[name] = values.map(str, na_action="ignore")
        else:
            result[name] = values
    return pd.DataFrame(result, index=table.index)
