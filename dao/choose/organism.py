"""The cells of one organism, which share a feature space."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dao.errors import ExpressionError, UnknownDatasetError, near_matches
from dao.format.obs_schema import VIRTUAL_COLUMNS
from dao.format.organisms import canonical_organism
from dao.where import parse

if TYPE_CHECKING:
    from dao.store import Store

__all__ = ["of_organism"]


def _is_expression(text: str) -> bool:
    try:
        parse(text)
    except ExpressionError:
        return False
    return not text.isidentifier()


def of_organism(store: Store, which: str) -> Store:
    """Return the cells of an organism, by any of its names.

    Raises
    ------
    dao.errors.UnknownDatasetError
        If none of its cells is selected.
    """
    selection = store.selection
    name = which if which in store.organisms else canonical_organism(which)
    if store.organisms == (name,):
        return store
    if name not in store.organisms:
        near = near_matches(which, store.organisms)
        msg = f"No cells of an organism {which!r} are selected.{near}"
        if which in store.datasets:
            msg = f"{which!r} is a dataset, not an organism: store.subset(dataset={which!r})."
        elif which in (*store.obs_columns, *VIRTUAL_COLUMNS):
            msg = f"{which!r} is an obs column, not an organism: store.obs[{which!r}]."
        elif _is_expression(which):
            msg = f"{which!r} is an expression, not an organism: store.subset({which!r})."
        raise UnknownDatasetError(msg)
    there = [d.organism == name for d in store.manifest.datasets]
    masks = [np.full(selection.counts[i], there[i]) for i in selection.datasets]
    return replace(store, selection=selection.keep(masks), organisms=(name,))
