"""Names of features that are not there: how many, and under which other name they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pandas as pd

from dao.errors import near_matches

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["are_few", "other_spelling", "why_absent"]

_FEW = 3  # fewer than one in so many
_NEAR_AMONG = 20_000
_ENSEMBL = re.compile(r"ENS[A-Z]{0,6}G\d{11}(\.\d+)?")
_VERSION = r"\.\d+$"


def are_few(n_found: int, n_wanted: int) -> bool:
    """Return whether so few of the wanted features were found that they may be others."""
    return n_found * _FEW < n_wanted


def other_spelling(absent: pd.Index, known: pd.DataFrame) -> tuple[int, str]:
    """Return how many absent names are known in another spelling, and a sentence about it.

    Parameters
    ----------
    absent
        Names that are not in the index of ``known``.
    known
        The features that are there, by id; text columns may hold other names of them.
    """
    for column in known.columns:
        if not pd.api.types.is_string_dtype(known[column].dropna()):
            continue
        found = absent.isin(known[column].dropna())
        if found.any():
            return int(found.sum()), (
                f" {int(found.sum()):,} of them are in the column {column!r} of var, as "
                f"{absent[found][0]!r}: choose by it, with select_features(names, by={column!r})."
            )
    names = pd.Series(known.index.astype(str))
    for rule, said in ((_folded, "in case"), (_unversioned, "by a version")):
        place = pd.Series(names.to_numpy(), index=rule(names).to_numpy())
        wanted = rule(pd.Series(absent.astype(str)))
        found = wanted.isin(place.index).to_numpy()
        if found.any():
            mine, theirs = absent[found][0], place[wanted[found].iloc[0]]
            theirs = theirs if isinstance(theirs, str) else theirs.iloc[0]
            return int(found.sum()), (
                f" {int(found.sum()):,} of them differ only {said}: {mine!r} is {theirs!r}."
            )
    return 0, ""


def why_absent(absent: pd.Index, known: pd.DataFrame) -> str:
    """Return a sentence that says what the names may be instead; begins with a space."""
    sentence = other_spelling(absent, known)[1]
    if sentence:
        return sentence
    wanted, there = _kind(list(absent)), _kind(list(known.index))
    if wanted != there:
        return f" They are {wanted}, as {absent[0]!r}; here are {there}, as {known.index[0]!r}."
    return near_matches(absent[0], known.index[:_NEAR_AMONG])


def _folded(names: pd.Series) -> pd.Series:
    return names.str.upper()


def _unversioned(names: pd.Series) -> pd.Series:
    return names.str.replace(_VERSION, "", regex=True)


def _kind(names: Sequence[str]) -> str:
    some = [str(name) for name in names[:100]]
    ensembl = [name for name in some if _ENSEMBL.fullmatch(name)]
    if len(ensembl) * 2 <= len(some):
        return "names that are not Ensembl ids"
    species = re.match(r"ENS[A-Z]*G", ensembl[0])
    return f"Ensembl ids ({species[0] if species else 'ENS'}...)"
