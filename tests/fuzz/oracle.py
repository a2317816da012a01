"""What a store must hold, written out in plain Python: the oracle.

A `Member` is a dataset: its cells as lists. `Rows` are cells of several members in some order, with
what must come out for them. Nothing here knows how dao does anything; where a rule of the
documentation decides (how columns are united, what a filter means), the rule stands here again.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fuzz.columns import Column
    from fuzz.studies import Study

Number = Any
_VERSION = re.compile(r"^(ENS[A-Z]{0,6}[GTPE]\d{11})\.\d+$")


@dataclass(frozen=True)
class Member:
    """A dataset of a store.

    Attributes
    ----------
    rows
        Of each cell, the row in its source.
    cells
        Column -> one cell for each row (`fuzz.columns.cell`).
    genes
        Which ones were measured.
    matrices
        ``X``, ``layers/...``, ``obsm/...`` -> for each row: gene or column -> number; zeros are left
        out.
    dtypes
        Matrix -> the dtype of the source.
    columns
        Column -> what the studies had.
    """

    id: str
    rows: list[int]
    names: list[str]
    cells: dict[str, list[Any]]
    genes: set[str]
    matrices: dict[str, list[dict[Any, Number]]]
    dtypes: dict[str, set[str]]
    columns: dict[str, list[Column]]
    obsm: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)


def member(name: str, study: Study, layers: Iterable[str], obsm: Iterable[str]) -> Member:
    """Return a study as the dataset that it becomes."""
    genes = [_cut(g) for g in study.genes]
    matrices = {"X": _named(study.x.exact(), genes)}
    dtypes = {"X": {study.x.dtype}}
    widths: dict[str, list[tuple[Any, ...]]] = {}
    for layer in layers:
        matrices[f"layers/{layer}"] = _named(study.layers[layer].exact(), genes)
        dtypes[f"layers/{layer}"] = {study.layers[layer].dtype}
    for key in obsm:
        table = study.obsm[key]
        columns = table.names or tuple(range(table.matrix.shape[1]))
        matrices[f"obsm/{key}"] = _named(table.matrix.exact(), list(columns))
        dtypes[f"obsm/{key}"] = {table.matrix.dtype}
        widths[f"obsm/{key}"] = [columns]
    return Member(
        name,
        list(range(study.n_obs)),
        list(study.names),
        {c: column.cells() for c, column in study.obs.items()},
        set(genes),
        matrices,
        dtypes,
        {c: [column] for c, column in study.obs.items()},
        widths,
    )


def sums_too_large(one: Member) -> bool:
    """Return whether columns of one gene add up to more than their integers can hold."""
    return any(
        dtype in {"int64", "uint64"} and not exact_in(value, dtype)
        for name, rows in one.matrices.items()
        for dtype in one.dtypes[name]
        for row in rows
        for value in row.values()
    )


def within(one: Member, genes: set[str]) -> Member:
    """Return a dataset with the genes that the store has, when it is written."""
    matrices = {
        name: rows
        if name.startswith("obsm/")
        else [{g: v for g, v in row.items() if g in genes} for row in rows]
        for name, rows in one.matrices.items()
    }
    return replace(one, genes=one.genes & genes, matrices=matrices)


def merged(name: str, parts: Sequence[Member], keep_ids: str, sizes: Mapping[str, int]) -> Member:
    """Return the dataset that compacting makes of several."""
    rows, cells, first = [], {keep_ids: []}, 0
    names = {c: None for p in parts for c in p.cells}
    cells |= {c: [] for c in names}
    for part in parts:
        rows += [first + r for r in part.rows]
        first += sizes[part.id]
        for c in names:
            cells[c] += part.cells.get(c, [None] * len(part))
        cells[keep_ids] += [("text", part.id)] * len(part)
    return Member(
        name,
        rows,
        [n for p in parts for n in p.names],
        cells,
        set.union(*(p.genes for p in parts)),
        {m: [row for p in parts for row in p.matrices[m]] for m in parts[0].matrices},
        {m: set.union(*(p.dtypes[m] for p in parts)) for m in parts[0].matrices},
        {c: [x for p in parts for x in p.columns.get(c, [])] for c in names},
        {m: [x for p in parts for x in p.obsm[m]] for m in parts[0].obsm},
    )


def _cut(gene: str) -> str:
    found = _VERSION.match(gene)
    return found[1] if found else gene


def _named(rows: list[list[Number]], names: Sequence[Any]) -> list[dict[Any, Number]]:
    result = []
    for row in rows:
        named: dict[Any, Number] = {}
        for name, value in zip(names, row, strict=True):
            if value != 0:
                named[name] = named.get(name, 0) + value
        result.append(named)
    return result


# --- columns of several studies -------------------------------------------------------------------


def may_refuse(columns: Sequence[Column]) -> str | None:
    """Return why a column of several studies may be refused; None if it must be accepted."""
    held = [c for c in columns if not _agrees(c)]
    families = {c.family for c in held}
    if len(families) > 1:
        return f"families {sorted(families)}"
    reasons = {
        "several time zones": families == {"zoned"} and len({c.kind for c in held}) > 1,
        "an order": any(c.ordered for c in held),
    }
    if families == {"number"}:
        reasons |= _lossy(held)
    return next((why for why, so in reasons.items() if so), None)


def _lossy(held: Sequence[Column]) -> dict[str, bool]:
    numbers = [v for c in held for v in c.values if v is not None]
    kinds = {c.kind.lower() for c in held}
    return {
        "large integers beside fractions": any("float" in k for k in kinds)
        and any(isinstance(v, int) and abs(v) > 2**53 for v in numbers),
        "int64 beside uint64": "uint64" in kinds
        and any(k.startswith(("int", "object")) for k in kinds),
    }


def _agrees(column: Column) -> bool:
    """Return whether a column is nothing but missing values, and its dtype is that of nothing."""
    if column.kind.startswith("category"):
        return not column.categories
    return (
        column.empty
        and bool(column.values)
        and column.kind.startswith(("object", "text object", "float"))
    )


def ordered_rightly(categories: Sequence[Any], stated: Sequence[Sequence[Any]]) -> bool:
    """Return whether each step in an order of categories is one that some study states."""
    steps = {pair for order in stated for pair in pairwise(order)}
    ranks = list(pairwise(categories))
    if all(isinstance(c, int | float) for c in categories):
        return list(categories) == sorted(categories) or all(r in steps for r in ranks)
    return all(r in steps for r in ranks)


def keeps_orders(categories: Sequence[Any], stated: Sequence[Sequence[Any]]) -> bool:
    """Return whether an order of categories keeps those of all studies."""
    place = {c: i for i, c in enumerate(categories)}
    # What only datasets stated that are gone may be gone as well.
    ranks = [[place[c] for c in s if c in place] for s in stated]
    return all(r == sorted(r) for r in ranks)


# --- cells in an order ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """Cells of the members of a store, in an order.

    Attributes
    ----------
    keys
        (dataset, place in the member) of each.
    info
        Column -> what the store says of it: ``"ordered"``, ``"categories"``, ``"float32"``.
    """

    members: Mapping[str, Member]
    keys: tuple[tuple[str, int], ...]
    columns: tuple[str, ...]
    info: Mapping[str, Mapping[str, Any]]

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, positions: Iterable[int]) -> Rows:
        """Return cells by their positions."""
        return replace(self, keys=tuple(self.keys[int(p)] for p in positions))

    def cells(self, column: str) -> list[Any]:
        """Return a column of obs."""
        if column == "dataset":
            return [("text", d) for d, _ in self.keys]
        if column == "organism":
            return [("text", "Homo sapiens")] * len(self)
        if column == "_source_row":
            return [("number", self.members[d].rows[i]) for d, i in self.keys]
        got = []
        for d, i in self.keys:
            own = self.members[d].cells.get(column)
            got.append(None if own is None else own[i])
        if self.info.get(column, {}).get("float32"):
            got = [None if c is None else (c[0], float(np.float32(c[1]))) for c in got]
        return got

    def names(self) -> list[str]:
        """Return the names of the cells."""
        return [self.members[d].names[i] for d, i in self.keys]

    def selected(self) -> list[Member]:
        """Return the members that have cells here, in store order."""
        held = {d for d, _ in self.keys}
        return [m for m in self.members.values() if m.id in held]

    def matrices(self) -> set[str]:
        """Return the matrices that all members with cells here have."""
        sets = [set(m.matrices) for m in self.selected()]
        return set.intersection(*sets) if sets else set()

    def matrix(self, name: str, columns: Sequence[Any]) -> list[list[Number]]:
        """Return rows of a matrix, with these genes or columns."""
        rows = [self.members[d].matrices[name][i] for d, i in self.keys]
        return [[row.get(c, 0) for c in columns] for row in rows]

    def values(self, name: str) -> list[Number]:
        """Return what the members with cells here hold in a matrix, all their cells included."""
        return [v for m in self.selected() for row in m.matrices[name] for v in row.values()]

    def dtypes(self, name: str) -> set[str]:
        """Return the dtypes that the sources had."""
        return {d for m in self.selected() for d in m.dtypes[name]}


# --- numbers in dtypes ----------------------------------------------------------------------------


def exact_in(value: Number, dtype: Any) -> bool:
    """Return whether a dtype holds a number as it is."""
    kind = np.dtype(dtype)
    if isinstance(value, float) and not math.isfinite(value):
        return kind.kind == "f"
    if kind.kind == "f":
        with np.errstate(over="ignore"):
            return bool(kind.type(value) == value) and float(kind.type(value)) == value
    if kind.kind == "b":
        return value in (0, 1)
    info = np.iinfo(kind)
    return value == int(value) and info.min <= value <= info.max


def may_refuse_cast(values: Sequence[Number], dtypes: set[str], wanted: Any) -> bool:
    """Return whether a stream in a dtype may be refused: it would change a number."""
    kind = np.dtype(wanted)
    whole = all(isinstance(v, int) for v in values)
    if kind.kind != "f":
        return not all(exact_in(v, kind) for v in values) or any(d[:5] == "float" for d in dtypes)
    top = float(np.finfo(kind).max)
    if any(math.isfinite(v) and abs(v) > top for v in values):
        return True
    if whole:
        return any(abs(v) > 2 ** (np.finfo(kind).nmant + 1) for v in values)
    return any(isinstance(v, int) and not exact_in(v, kind) for v in values)


def rightly_given(value: Number, got: Any, *, fractions: bool) -> bool:
    """Return whether a number came out right: as it is, or a fraction as the nearest float."""
    if isinstance(value, float) and math.isnan(value):
        return bool(np.isnan(got))
    plain = got.item() if isinstance(got, np.generic) else got
    if plain == value:
        return True
    dtype = np.asarray(got).dtype
    return bool(
        dtype.kind == "f" and fractions and math.isfinite(plain) and dtype.type(value) == got
    )
