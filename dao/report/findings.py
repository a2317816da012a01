"""What to know before training: damage that can be seen quickly, and what is odd of the cells."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from dao.backend import ForeignReader
from dao.directory import StoreDirectory
from dao.printable import shortened
from dao.remote.url import is_url
from dao.report.facts import Finding
from dao.report.quick import quick_problems
from dao.sizes import bytes_on_disk, format_bytes
from dao.write.tidy import tidy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dao.format.manifest import Manifest
    from dao.report.facts import ColumnFact, GenesFact, PairFact, SpreadFact
    from dao.store import Store

__all__ = ["cell_findings", "store_findings"]

_MOST_NAMED = 5
_CONFOUNDED = 0.99


def store_findings(store: Store) -> list[Finding]:
    """Return what a quick look at the files finds: nothing of stores that are not local folders."""
    if is_url(store.path) or isinstance(store.reader, ForeignReader):
        return []
    root, manifest = Path(store.path), store.manifest
    if not (root / "dao.json").is_file():
        return []
    found = [Finding("damage", text) for text in quick_problems(root, manifest)]
    if StoreDirectory(root).manifest.generation == manifest.generation:
        found += _of_space(root, manifest)  # else later generations would look like leftovers
    return found


def _of_space(root: Path, manifest: Manifest) -> Iterator[Finding]:
    left, older, _ = tidy(root, manifest, repair=False, old_generations=False)
    if left:
        text = f"Left by a writer, or being written: {_named(left)}."
        yield Finding("note", text, f"dao validate {quote(str(root))} --repair")
    if older:
        sizes = sum(bytes_on_disk(root / path) for path in older)
        text = f"Only earlier generations need {format_bytes(sizes)} of the folder."
        command = f"dao validate {quote(str(root))} --repair --old-generations"
        yield Finding("note", text, command)


def cell_findings(
    columns: tuple[ColumnFact, ...],
    pairs: tuple[PairFact, ...],
    genes: tuple[GenesFact, ...],
    spreads: tuple[SpreadFact, ...],
) -> list[Finding]:
    """Return what is odd of the selected cells."""
    return [*_of_values(spreads), *_of_genes(genes), *_of_columns(columns), *_of_pairs(pairs)]


def _of_values(spreads: tuple[SpreadFact, ...]) -> Iterator[Finding]:
    whole = [s.dataset for s in spreads if s.whole and s.n_looked_at > s.n_empty]
    other = [s.dataset for s in spreads if not s.whole]
    if whole and other:
        text = (
            f"X is whole numbers in {_named(whole)}, and not in {_named(other)}: counts beside "
            "values that were normalised."
        )
        yield Finding("look", text, 'dao.Source(path, layer="counts")  # another layer, or raw')
    empty = [f"{s.dataset} ({s.n_empty:,} of {s.n_looked_at:,})" for s in spreads if s.n_empty]
    if empty:
        text = f"Cells without any value of the selected features: {_named(empty)}."
        yield Finding("look", text, 'store.subset("n_counts > 0")  # with a column of yours')


def _of_genes(genes: tuple[GenesFact, ...]) -> Iterator[Finding]:
    for fact in genes:
        share = fact.by_number[-1] / max(1, fact.n_vars)
        if len(fact.datasets) > 1 and share < 0.5:
            text = (
                f"{fact.organism}: {fact.by_number[-1]:,} of {fact.n_vars:,} features were "
                f"measured by all {len(fact.datasets)} studies; other zeros may say nothing."
            )
            hint = 'dao.write_store(..., features="inner")  # or generator(measured=True)'
            yield Finding("look", text, hint)


def _of_columns(columns: tuple[ColumnFact, ...]) -> Iterator[Finding]:
    gaps = [f"{c.name} ({c.missing:,})" for c in columns if c.missing]
    if gaps:
        text = f"Columns without a value in some cells: {_named(gaps)}."
        yield Finding(
            "note", text, "store.subset(exclude={column: None})  # leaves these cells out"
        )
    rare = [f"{c.name} ({c.n_rare:,} of {c.distinct:,})" for c in columns if c.n_rare]
    if rare:
        yield Finding("note", f"Values that few cells have, fewer than 10: {_named(rare)}.")
    for column in columns:
        if column.alike:
            text = f"Values of {column.name} that may be the same: {_named(column.alike)}."
            hint = "dao.Source(path, obs={name: (column, {old: new})})  # unites them"
            yield Finding("look", text, hint)


def _of_pairs(pairs: tuple[PairFact, ...]) -> Iterator[Finding]:
    same = [f"{p.row} and {p.column}" for p in pairs if p.association >= _CONFOUNDED]
    if same:
        text = f"One says what the other is, so no model can tell them apart: {_named(same)}."
        yield Finding("note", text)


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(shortened(name, 60) for name in names[:_MOST_NAMED])
    rest = len(names) - _MOST_NAMED
    return f"{shown} and {rest:,} more" if rest > 0 else shown
