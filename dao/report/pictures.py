"""Which pictures a report has: each with what is said around it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from dao.report.charts import bars, boxes, heat, histogram, shares, steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dao.report.facts import ColumnFact, Facts, GenesFact, PairFact, SpreadFact, Top

__all__ = ["Picture", "pictures"]

_MOST_DRAWN = 24  # columns
_MOST_SHARED = 10  # datasets of a heat map


@dataclass(frozen=True)
class Picture:
    """An ``<svg>`` with a title, and a sentence below it."""

    title: str
    note: str
    svg: Markup


def pictures(facts: Facts) -> dict[str, list[Picture]]:
    """Return section of the page -> its pictures."""
    organisms = dict.fromkeys(s.organism for s in facts.spreads)
    return {
        "columns": list(islice(_columns(facts.columns), _MOST_DRAWN)),
        "pairs": [_pair(i, p) for i, p in enumerate(facts.pairs)],
        "genes": [p for i, g in enumerate(facts.genes) for p in _genes(f"g{i}", g)],
        "spreads": [
            picture
            for i, name in enumerate(organisms)
            for picture in _spreads(f"s{i}", [s for s in facts.spreads if s.organism == name])
        ],
    }


def _picture(title: str, note: str, svg: str) -> Picture:
    # What users wrote was escaped when the XML was made.
    return Picture(title, note, Markup(svg))  # noqa: S704


def _columns(columns: Iterable[ColumnFact]) -> Iterator[Picture]:
    for number, fact in enumerate(columns):
        name, label = f"c{number}", f"cells by {fact.name}"
        if fact.histogram is not None:
            note = f"{fact.text}{f'; {fact.missing:,} missing' if fact.missing else ''}"
            yield _picture(fact.name, note, histogram(name, label, fact.histogram))
        elif fact.top is not None:
            rest = _rest(fact.top, fact.missing)
            values, cells = zip(
                *zip(fact.top.values, fact.top.cells, strict=True), *rest, strict=True
            )
            drawn = bars(name, label, values, cells, len(rest))
            yield _picture(fact.name, f"{fact.distinct:,} values", drawn)


def _rest(top: Top, missing: int) -> list[tuple[str, int]]:
    """Return what stands below the values: the others and the missing ones, with their cells."""
    others = [(f"{top.n_others:,} other values", top.others)] if top.n_others else []
    return [*others, *([("missing", missing)] if missing else [])]


def _pair(number: int, fact: PairFact) -> Picture:
    title = f"{fact.row} by {fact.column}"
    note = f"{fact.n_obs:,} cells, Cramér's V {fact.association:.2f}"
    return _picture(title, note, heat(f"p{number}", f"cells: {title}", fact))


def _genes(name: str, fact: GenesFact) -> Iterator[Picture]:
    n = len(fact.datasets)
    note = f"of {fact.n_vars:,} features of {fact.organism}"
    note += f"; {fact.n_others:,} smaller studies are left out" if fact.n_others else ""
    measured = bars(f"{name}a", "measured features", fact.datasets, fact.measured)
    yield _picture("Features measured", note, measured)
    if n < 2:
        return
    yield _picture(
        "Features by number of studies",
        f"{fact.by_number[-1]:,} were measured by all {n}, {fact.by_number[1]:,} by one alone",
        steps(f"{name}b", "features by studies", fact.by_number, ("studies", "features")),
    )
    shown = fact.datasets[:_MOST_SHARED]
    share = np.array(fact.shared)[: len(shown), : len(shown)]
    texts = [[f"{100 * v:.0f}" for v in row] for row in share.tolist()]
    yield _picture(
        "Features shared by two studies",
        "in percent of those that either measured",
        shares(f"{name}c", "shared features", share, texts, (shown, shown)),
    )


def _spreads(name: str, facts: list[SpreadFact]) -> Iterator[Picture]:
    organism, values = facts[0].organism, [s.dataset for s in facts]
    what = "Counts" if all(s.whole for s in facts) else "Sum of X"
    for letter, title, numbers in (
        ("a", f"{what} per cell", [s.counts for s in facts]),
        ("b", "Features per cell", [s.genes for s in facts]),
    ):
        svg = boxes(f"{name}{letter}", title, values, numbers)
        yield _picture(title, organism, svg)
