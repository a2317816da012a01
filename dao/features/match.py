"""Match: which feature each name of a study stands for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dao.format.names import cut_version

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Matcher", "Matching", "rename"]

Names = Mapping[str, tuple[str, ...]]

# "TMBIM4_ENSG00000155957": how some pipelines keep two genes of one symbol apart.
_ATTACHED_ID = re.compile(r".+[_|](ENS[A-Z]{0,6}G\d{11})(?:\.\d+)?")


@dataclass(frozen=True)
class Matching:
    """What the names of a study stand for.

    Attributes
    ----------
    ids
        For each name the id of its feature; None where it has none.
    how
        For each name ``"id"``, ``"symbol"`` or ``"alias"``: by what it was found; ``"ambiguous"``
        where it stands for several features, ``"unknown"`` for none.
    candidates
        Ambiguous name -> the features that it stands for.
    """

    ids: pd.Index
    how: NDArray[np.object_]
    candidates: Names


class Matcher:
    """Finds features by id, then by symbol, then by the aliases that the user gives.

    An id that is attached to a symbol (``TMBIM4_ENSG00000155957``) counts as an id. A symbol that
    several features share is decided by an alias, or stays ambiguous.

    Parameters
    ----------
    ids
        All features.
    symbols
        Symbol -> the features that have it.
    aliases
        Other name -> ids or symbols that it stands for.
    ignore_case
        Whether names that are not found as they are may be found in another case.
    """

    def __init__(
        self, ids: Iterable[str], symbols: Names, aliases: Names, *, ignore_case: bool = False
    ) -> None:
        own = {i: (i,) for i in ids}
        resolved = {a: _features_of(targets, own, symbols) for a, targets in aliases.items()}
        self._tables: list[tuple[str, Names]] = [
            ("id", own),
            ("symbol", symbols),
            ("alias", {a: found for a, found in resolved.items() if found}),
        ]
        self._folded = [(how, _folded(t)) for how, t in self._tables] if ignore_case else []

    def __call__(self, names: Iterable[str]) -> Matching:
        """Match the names of a study."""
        found = {name: self._match(name) for name in dict.fromkeys(names)}
        pairs = [found[name] for name in names]
        single = [f[0] if len(f) == 1 else None for _, f in pairs]
        hows = [how if len(f) == 1 else "ambiguous" if f else "unknown" for how, f in pairs]
        return Matching(
            pd.Index(single, dtype=object),
            np.array(hows, object),
            {name: f for name, (_, f) in found.items() if len(f) > 1},
        )

    def _match(self, name: str) -> tuple[str, tuple[str, ...]]:
        attached = _ATTACHED_ID.fullmatch(name)
        own = self._tables[0][1]
        for exact in (cut_version(name), attached[1] if attached else name):
            if exact in own:
                return "id", (exact,)
        lowered = name.lower()
        hits = [
            *((how, t[name]) for how, t in self._tables if name in t),
            *((how, t[lowered]) for how, t in self._folded if lowered in t),
        ]
        decided = next((h for h in hits if len(h[1]) == 1), None)
        return decided or (hits[0] if hits else ("unknown", ()))


def rename(names: Iterable[str], aliases: Names) -> Matching:
    """Match names where no table decides: each is an id, or an alias of one."""
    names = list(names)
    # Peaks come in millions, and hardly any name has a version or an alias.
    ids: list[str | None] = [cut_version(n) if "." in n else n for n in names]
    hows, several = np.full(len(names), "id", object), {}
    for i, name in enumerate(names if aliases else ()):
        if name not in aliases:
            continue
        targets = tuple(map(cut_version, aliases[name]))
        if len(targets) == 1:
            ids[i], hows[i] = targets[0], "alias"
        else:
            ids[i], hows[i], several[name] = None, "ambiguous", targets
    return Matching(pd.Index(ids, dtype=object), hows, several)


def _features_of(targets: tuple[str, ...], own: Names, symbols: Names) -> tuple[str, ...]:
    found = [i for t in targets for i in own.get(cut_version(t), symbols.get(t, ()))]
    return tuple(dict.fromkeys(found))


def _folded(names: Names) -> Names:
    folded: dict[str, tuple[str, ...]] = {}
    for name, ids in names.items():
        folded[name.lower()] = tuple(dict.fromkeys((*folded.get(name.lower(), ()), *ids)))
    return folded
