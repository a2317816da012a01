"""Choose: from what the user asks of `Store.select_features` to features in an order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dao.arguments import choice, text
from dao.asked import as_array
from dao.errors import ArgumentError, UnknownColumnError, UnknownFeatureError, near_matches
from dao.features.absent import are_few, other_spelling, why_absent
from dao.features.filter import rows_where
from dao.features.tables import wanted_ids
from dao.warn import warn
from dao.where import And, Expression, parse, values_test

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Choice", "choose_features"]

_NEAR_AMONG = 20_000


@dataclass(frozen=True)
class Choice:
    """Features in the order that was asked for.

    Attributes
    ----------
    ids
        Their ids.
    zeros
        Those among them that are columns of zeros.
    """

    ids: pd.Index
    zeros: frozenset[str]


def choose_features(
    var: pd.DataFrame,
    ids: Any,
    *,
    missing: str = "error",
    by: str | None = None,
    where: str | None = None,
    columns: Mapping[str, Any] | None = None,
    zeros: frozenset[str] = frozenset(),
) -> Choice:
    """Choose from the features of a store; see `dao.Store.select_features`.

    Parameters
    ----------
    var
        The features to choose from, by id.
    zeros
        Those among them that are columns of zeros already.
    """
    choice("missing", missing, ("error", "zero"))
    if by is not None:
        text("by", by, "symbol")
    if ids is None and by is not None:
        msg = f"by={by!r} says what the names are, and none are given."
        raise ArgumentError(msg)
    conditions: list[Expression] = [values_test(c, v) for c, v in (columns or {}).items()]
    if where is not None:
        conditions.append(parse(text("where", where, "biotype == 'protein_coding'")))
    if ids is None and not conditions:
        msg = "Say which features: ids, a mask, where=, or a column and its values."
        raise ArgumentError(msg)
    meets = rows_where(var, And(tuple(conditions)))
    mask = _as_mask(ids, var.index)
    if ids is None or mask is not None:
        chosen = var.index[meets if mask is None else meets & mask]
    else:
        named = wanted_ids(ids) if by is None else _by_column(var, ids, by)
        chosen = _present(named, var, missing)
        dropped = var.index[~meets]
        chosen = chosen[~chosen.isin(dropped)]
    if not len(chosen):
        msg = "No feature is left of those that the selection has."
        raise UnknownFeatureError(msg)
    blank = zeros.intersection(chosen) | set(chosen.difference(var.index))
    return Choice(chosen, frozenset(blank))


def _as_mask(ids: Any, index: pd.Index) -> Any:
    """Return ids as a boolean mask over the features if they are one, else None."""
    listed = isinstance(ids, list) and bool(ids) and all(isinstance(i, bool | None) for i in ids)
    kind = str(getattr(ids, "dtype", getattr(ids, "type", ""))).lower()
    if not (listed or kind in {"bool", "boolean", "torch.bool"}):
        return None
    mask = as_array(ids, "Features")
    if mask.shape != (len(index),):
        msg = f"The mask has shape {mask.shape}, and the selection has {len(index)} features."
        raise ArgumentError(msg)
    if isinstance(ids, pd.Series) and not ids.index.equals(index):
        places = ids.index.get_indexer(index) if ids.index.is_unique else np.array([-1])
        if (places < 0).any():
            msg = "The mask is of other features than the selection has; index it by var_names."
            raise ArgumentError(msg)
        mask = mask[places]
    return mask


def _by_column(var: pd.DataFrame, names: Any, by: str) -> pd.Index:
    if by not in var.columns:
        msg = f"Features have no column {by!r} (var).{near_matches(by, var.columns)}"
        raise UnknownColumnError(msg)
    wanted = [names] if isinstance(names, str) else list(names)
    held = var[by].dropna()
    found = held.index.to_series().groupby(held.to_numpy(object)).agg(list)
    several = [n for n in wanted if len(found.get(n, ())) > 1]
    if several:
        msg = (
            f"{len(several)} of the names stand for several features, as {several[0]!r} for "
            f"{', '.join(map(repr, found[several[0]]))}. Name these by id, or take all that have "
            f"it: select_features({by}={several[0]!r})."
        )
        raise UnknownFeatureError(msg)
    unknown = [n for n in wanted if n not in found.index]
    if unknown:
        near = near_matches(unknown[0], held.astype(str).head(_NEAR_AMONG))
        msg = f"{len(unknown)} of {len(wanted)} names are not in {by!r}, first {unknown[0]!r}."
        raise UnknownFeatureError(msg + near)
    return wanted_ids(found[n][0] for n in wanted)


def _present(wanted: pd.Index, var: pd.DataFrame, missing: str) -> pd.Index:
    absent = wanted[~wanted.isin(var.index)]
    if not len(absent):
        return wanted
    n_found = len(wanted) - len(absent)
    msg = f"{len(absent):,} of {len(wanted):,} features are not in the store, first {absent[0]!r}."
    if missing == "error":
        msg += f"{why_absent(absent, var)} Fill them with zeros by missing='zero'."
        raise UnknownFeatureError(msg)
    if not n_found:
        msg = f"None of the {len(wanted):,} features is in the store, first {absent[0]!r}, so all "
        msg += f"columns would be zero.{why_absent(absent, var)}"
        raise UnknownFeatureError(msg)
    if are_few(n_found, len(wanted)) or other_spelling(absent, var)[0]:
        warn(f"{msg} Their columns are zero, for all cells.{why_absent(absent, var)}")
    return wanted
