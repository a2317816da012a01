"""Split: disjoint parts of a selection, whatever else the store holds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.batches.rows import rows_of
from dao.errors import ArgumentError
from dao.selection import Selection
from dao.split.cells import numbers_of_cells, original_datasets, unrecorded_merges
from dao.split.exact import split_groups, split_rows
from dao.split.fractions import check_method, check_seed, named_fractions
from dao.split.hashed import group_numbers, parts_of
from dao.split.likely import check_likely, check_not_empty, warn_of_strata
from dao.split.values import grouped
from dao.warn import warn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from dao.store import Store

__all__ = ["split"]


def split(
    store: Store,
    fractions: Mapping[str, float] | None,
    *,
    group_by: str | Sequence[str] | None,
    stratify_by: str | Sequence[str] | None,
    seed: int,
    method: str,
) -> dict[str, Store]:
    """Return the parts; see `dao.Store.split` for the arguments."""
    names, numbers = named_fractions(fractions)
    seed = check_seed(seed)
    groups, strata = _columns("group_by", group_by), _columns("stratify_by", stratify_by)
    if not store.n_obs:
        msg = "No cells are selected, so there is nothing to split."
        raise ArgumentError(msg)
    if check_method(method) == "exact":
        part = _exact(store, numbers, groups, strata, seed)
        check_not_empty(part, names, numbers, what=None)
    else:
        part = _hashed(store, names, numbers, groups, strata, seed)
    return {name: store.keep(part == i) for i, name in enumerate(names)}


def _columns(argument: str, given: Any) -> list[str]:
    if given is None:
        return []
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
        msg = f"{argument}={given!r}: pass the name of an obs column, or a list of names."
        raise ArgumentError(msg)
    if not names:
        msg = f"{argument}={given!r} names no column: pass None, or leave it out."
        raise ArgumentError(msg)
    return list(names)


def _exact(
    store: Store,
    fractions: NDArray[np.float64],
    groups: list[str],
    strata: list[str],
    seed: int,
) -> NDArray[np.int64]:
    selection = store.selection
    has_repeats = selection.n_obs > selection.n_chosen
    cells = _once(store) if has_repeats else store
    rows = rows_of(cells, None)
    codes = rows.labels(strata).codes if strata else None
    if groups:
        part = split_groups(rows.labels(groups), fractions, codes, seed)
    else:
        part = split_rows(cells.n_obs, fractions, codes, seed)
    return part[selection.order] if has_repeats else part


def _hashed(
    store: Store,
    names: list[str],
    fractions: NDArray[np.float64],
    groups: list[str],
    strata: list[str],
    seed: int,
) -> NDArray[np.int64]:
    if groups and strata:
        msg = (
            "Groups that stay whole cannot also be stratified by method='hash': which part a group "
            "falls into depends on its value alone. Pass method='exact', whose parts change when "
            "the store does, or leave out stratify_by."
        )
        raise ArgumentError(msg)
    cells = _once(store)
    if not groups or "dataset" in groups:
        _warn_of_merges(cells)
    if groups:
        columns = [
            original_datasets(cells) if name == "dataset" else cells.obs_column(name)
            for name in sorted(set(groups))
        ]
        group_of, values = grouped(columns)
        part_of = parts_of(group_numbers(values, seed), fractions)
        if len(part_of) < len(fractions):
            msg = f"{len(part_of)} groups cannot be divided into {len(fractions)} parts."
            raise ArgumentError(msg)
        check_not_empty(part_of, names, fractions, what="group")
        check_likely(part_of, names, fractions, "groups")
        part = part_of[group_of]
        _warn_of_missing(groups, columns, part, names)
    else:
        labels = rows_of(cells, None).labels(strata) if strata else None
        part = parts_of(numbers_of_cells(cells, seed), fractions)
        check_not_empty(part, names, fractions, what="cell")
        check_likely(part, names, fractions, "cells")
        if labels is not None:
            warn_of_strata(part, labels, names, fractions)
    order = store.selection.order
    return part if order is None else part[order]


def _once(store: Store) -> Store:
    """Return the selected cells, each once, in store order."""
    selection = store.selection
    return replace(store, selection=Selection(selection.sizes, selection.chosen))


def _warn_of_merges(cells: Store) -> None:
    merged = unrecorded_merges(cells)
    if merged:
        listed = ", ".join(map(repr, merged[:3])) + (", ..." if len(merged) > 3 else "")
        warn(
            f"{len(merged)} of the datasets ({listed}) were merged by a version of dao that did "
            "not record where each cell came from: their cells are in other parts than before "
            "they were merged. Hold out by a column of obs (group_by=), or use a selection that "
            "was saved before."
        )


def _warn_of_missing(
    groups: list[str], columns: list[Any], part: NDArray[np.int64], names: list[str]
) -> None:
    missing = np.logical_and.reduce([column.missing for column in columns])
    if missing.any() and not missing.all():
        n, name = int(np.count_nonzero(missing)), names[int(part[np.argmax(missing)])]
        warn(
            f"{n:,} of {len(part):,} cells have no value of {', '.join(groups)}: they are one "
            f"group, which is in {name!r}. Leave them out first if their groups are not known."
        )
