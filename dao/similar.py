"""Similar names: which of many names a mistyped one may stand for, in bounded time."""

from __future__ import annotations

import difflib
import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["similar"]

# difflib takes about 0.2 ms for each pair of names, and longer for long ones.
_COMPARED = 500
_MOST_NAMES = 500_000
_MOST_CHARACTERS = 100
_MOST_PAIRS = 24


def similar(wanted: str, names: Sequence[str], limit: int = 3, cutoff: float = 0.5) -> list[str]:
    """Return the names that are most similar to a text, best first, ignoring case.

    Among many names only those are compared character by character that share most pairs of
    characters with the text, so that 300,000 names take about a second. Only the first 100
    characters of a name count, and only the first 500,000 names.

    Parameters
    ----------
    wanted
        What was asked for.
    names
        What exists.
    limit
        How many to return at the most.
    cutoff
        How similar they are at least, between 0 and 1, as in `difflib.get_close_matches`.
    """
    text = wanted[:_MOST_CHARACTERS].lower()
    lowered = {name[:_MOST_CHARACTERS].lower(): name for name in reversed(names[:_MOST_NAMES])}
    compared: Iterable[str] = lowered
    if len(lowered) > _COMPARED:
        compared = _promising(text, list(lowered))
    found = difflib.get_close_matches(text, list(compared), n=limit, cutoff=cutoff)
    return [lowered[name] for name in found]


def _promising(text: str, names: Sequence[str]) -> list[str]:
    """Return the names that share most pairs of characters with a text."""
    pairs = list(dict.fromkeys(text[i : i + 2] for i in range(max(1, len(text) - 1))))
    step = -(-len(pairs) // _MOST_PAIRS)
    pairs = pairs[::step]
    shared = [0] * len(names)
    for pair in pairs:
        shared = [n + (pair in name) for n, name in zip(shared, names, strict=True)]
    length = len(text)

    def share(place: int) -> float:
        return shared[place] * step / (length + len(names[place]))

    best = heapq.nlargest(_COMPARED, range(len(names)), key=share)
    return [names[i] for i in sorted(best)]
