"""Which cell a row is: the dataset that it was in at first, and its row in the source of that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.column import Column
from dao.format.manifest import ColumnInfo
from dao.format.obs_schema import SOURCE_ROW_COLUMN
from dao.format.origins import origins_in
from dao.split.hashed import cell_numbers
from dao.threads import in_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.view import View

__all__ = ["numbers_of_cells", "original_datasets", "unrecorded_merges"]


@dataclass(frozen=True)
class _Piece:
    """Selected cells of one dataset: where each came from.

    Attributes
    ----------
    ids
        The datasets that they were in at first.
    origin
        Which of these each cell was in.
    rows
        The row of each in the source of that dataset.
    """

    ids: list[str]
    origin: NDArray[np.int64]
    rows: NDArray[np.int64]


def numbers_of_cells(view: View, seed: int) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each selected cell, each once and in store order."""

    def numbers(ordinal: int, rows: NDArray[np.uint32] | None) -> NDArray[np.float64]:
        piece = _piece(view, ordinal, rows)
        found = np.empty(len(piece.rows))
        for i, dataset in enumerate(piece.ids):
            own = piece.origin == i if len(piece.ids) > 1 else slice(None)
            found[own] = cell_numbers(dataset, piece.rows[own], seed)
        return found

    parts = in_threads([partial(numbers, *part) for part in view.selection.parts()])
    return np.concatenate([np.empty(0), *parts])


def original_datasets(view: View) -> Column:
    """Return which dataset each selected cell was in at first, as a column in store order."""
    datasets, names, codes = view.manifest.datasets, dict[str, int](), [np.empty(0, np.int32)]
    for ordinal, rows in view.selection.parts():
        n = view.selection.counts[ordinal]
        if datasets[ordinal].origins:
            piece = _piece(view, ordinal, rows)
        else:
            piece = _Piece([datasets[ordinal].id], np.zeros(n, np.int64), np.zeros(0, np.int64))
        known = np.array([names.setdefault(i, len(names)) for i in piece.ids], np.int32)
        codes.append(known[piece.origin])
    values = np.concatenate(codes)
    info = ColumnInfo("categorical", "string")
    return Column(info, values, np.zeros(len(values), np.bool_), list(names))


def unrecorded_merges(view: View) -> list[str]:
    """Return the selected datasets that a version of dao merged that did not record of what.

    They are recognised by the history of the store. A store that was written from such a store
    has no such history.
    """
    manifest, document = view.manifest, view.reader.document
    made, rewritten, present = set[str](), set[str](), set[str]()
    for record in manifest.history:
        ids = {str(i) for i in record.get("datasets", ())}
        if record.get("action") == "compact":
            made |= ids - present
            rewritten |= ids
            present |= ids
            continue
        present = present - ids if record.get("action") == "remove" else present | ids
        made, rewritten = made - ids, rewritten - ids
    there = {d.id for d in manifest.datasets}
    recorded = {o.id for d in manifest.datasets for o in d.origins}
    gone = present - there - recorded - made

    def is_merged(dataset: Any) -> bool:
        if dataset.origins or dataset.id not in rewritten:
            return False
        if dataset.id in made:
            return True
        # One of its parts may have given it its id; its uns then has an entry for each of them.
        parts = set(document(dataset.uns.path)) if gone else set()
        return len(parts) > 1 and parts <= {*gone, dataset.id}

    return [d.id for d in view.selected_datasets if is_merged(d)]


def _piece(view: View, ordinal: int, rows: NDArray[np.uint32] | None) -> _Piece:
    dataset = view.manifest.datasets[ordinal]
    table = view.reader.table(dataset.obs.file.path, [SOURCE_ROW_COLUMN])
    held = table[SOURCE_ROW_COLUMN].to_numpy()
    source_rows = held if rows is None else held[rows]
    origin = origins_in(dataset, source_rows)
    if not dataset.origins:
        return _Piece([dataset.id], origin, source_rows)
    first = np.array([o.first for o in dataset.origins], np.int64)
    return _Piece([o.id for o in dataset.origins], origin, source_rows - first[origin])
