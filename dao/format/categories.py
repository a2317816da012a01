"""Categories of several datasets: their values, their order, and the codes that a store keeps."""

from __future__ import annotations

import itertools
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import CorruptStoreError, ObsTypeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["category_text", "parse_category", "unite_categories"]


def parse_category(text: str, dtype: str) -> object:
    """Return a category, which is stored as text, as the value it was.

    Raises
    ------
    dao.errors.CorruptStoreError
        If it is not a value of that dtype.
    """
    if dtype == "string":
        return text
    if dtype == "bool":
        return text == "True"
    try:
        return np.dtype(dtype).type(text).item()
    except (ValueError, OverflowError) as error:
        msg = f"The category {text!r} is not {dtype}, which the manifest says its column holds."
        raise CorruptStoreError(msg) from error


def category_text(value: Any, dtype: str) -> str:
    """Return the text that `parse_category` reads as the value."""
    return str(float(value)) if dtype.startswith("float") else str(value)


def unite_categories(
    name: str,
    categories: Mapping[str, Sequence[str]],
    dtype: str,
    *,
    ordered: bool,
    known: Sequence[str] = (),
) -> tuple[list[str], bool]:
    """Return the categories of a column over all datasets, as text, and whether they are ordered.

    Unordered ones come in the order of first appearance. Ordered ones are merged so that the
    order of every dataset holds; if that leaves the place of some open, they are unordered.

    Parameters
    ----------
    categories
        Dataset -> its categories, as text.
    dtype
        That of the values in the whole store.
    ordered
        Whether they are ordered in all datasets.
    known
        Those that the store has already; they keep their codes.

    Raises
    ------
    dao.errors.ObsTypeError
        If two datasets order the same categories differently, or if a category has a place
        before or between those that the store has.
    """
    listed = {d: [parse_category(t, dtype) for t in texts] for d, texts in categories.items()}
    before = [parse_category(t, dtype) for t in known]
    everything = list(dict.fromkeys([*before, *itertools.chain(*listed.values())]))
    if ordered:
        orders = {"the store": before, **listed} if before else listed
        merged = _ordered(name, orders, everything, is_number=dtype not in {"string", "bool"})
        if before and (merged is None or merged[: len(before)] != before):
            raise _out_of_order(name, listed, before, merged)
        ordered, everything = merged is not None, merged or everything
    return [category_text(value, dtype) for value in everything], ordered


def _ordered(
    name: str, orders: Mapping[str, Sequence[Any]], values: Sequence[Any], *, is_number: bool
) -> list[Any] | None:
    """Return the values in the one order that agrees with all; None if there are several."""
    if is_number:
        for descending in (False, True):
            if all(list(o) == sorted(o, reverse=descending) for o in orders.values()):
                return sorted(values, reverse=descending)
    graph: TopologicalSorter[Any] = TopologicalSorter(dict.fromkeys(values, ()))
    for order in orders.values():
        for smaller, larger in itertools.pairwise(order):
            graph.add(larger, smaller)
    try:
        graph.prepare()
    except CycleError as error:
        loop = " < ".join(map(repr, reversed(error.args[1])))
        msg = (
            f"The ordered categories of obs column {name!r} contradict each other ({loop}) in "
            f"{', '.join(map(repr, orders))}. Make it unordered in one, or give it another name "
            f"with dao.Source(..., obs={{'new name': {name!r}}})."
        )
        raise ObsTypeError(msg) from error
    merged: list[Any] = []
    while graph.is_active():
        ready = graph.get_ready()
        if len(ready) > 1:
            return None
        merged += ready
        graph.done(*ready)
    return merged


def _out_of_order(
    name: str, listed: Mapping[str, Sequence[Any]], before: Sequence[Any], merged: object
) -> ObsTypeError:
    there = set(before)
    dataset, new = next(
        (d, [v for v in values if v not in there])
        for d, values in listed.items()
        if not there.issuperset(values)
    )
    why = "have no known place among those" if merged is None else "do not all come after those"
    msg = (
        f"obs column {name!r} is ordered, and the categories {_shown(new)} of {dataset!r} {why} of "
        f"the store ({_shown(before)}). Codes of a store never change, and here they are ranks. "
        f"Give the column another name with dao.Source(..., obs={{'new name': {name!r}}}), rename "
        f"its values, or write the store again with all studies or with "
        f"obs_schema={{{name!r}: dao.ObsColumn('category', values=[...], ordered=True)}}."
    )
    return ObsTypeError(msg)


def _shown(values: Sequence[Any]) -> str:
    return ", ".join(map(repr, values[:5])) + (", …" if len(values) > 5 else "")
