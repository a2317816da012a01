"""Blocks: the rows of a selection cut into parts that can travel, along the chunks on disk."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.backend import FusedReader
from dao.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dao.format.manifest import Manifest
    from dao.store import Store

    Rows = range | NDArray[np.uint32]

__all__ = ["Block", "blocks", "bounds"]


@dataclass(frozen=True)
class Block:
    """Some rows of a store: small enough to be sent to where they are read.

    Attributes
    ----------
    start, stop
        Which rows of the selection they are.
    pieces
        Place of a dataset -> its rows, ascending.
    order
        Which of them each row of the block is, where that is not as they are stored.
    """

    start: int
    stop: int
    pieces: tuple[tuple[int, Rows], ...]
    order: NDArray[np.uint32] | None = None

    def __len__(self) -> int:
        return self.stop - self.start

    def selection(self, manifest: Manifest) -> Selection:
        """Return the rows as a selection of their own."""
        chosen: list[NDArray[np.uint32] | None] = [_NO_ROWS] * len(manifest.datasets)
        for dataset, rows in self.pieces:
            chosen[dataset] = np.asarray(rows, np.uint32)
        return Selection(tuple(d.n_obs for d in manifest.datasets), tuple(chosen), self.order)


_NO_ROWS = np.empty(0, np.uint32)


def blocks(selection: Selection, cuts: NDArray[np.int64]) -> list[Block]:
    """Return the rows of a selection between cuts, which go from 0 to their number."""
    make = _stored if selection.order is None else _ordered
    return [make(selection, a, b) for a, b in pairwise(cuts.tolist())]


def bounds(store: Store, matrix: str, at_most: int) -> NDArray[np.int64]:
    """Return where to cut a selection into blocks of up to ``at_most`` rows.

    Where rows come as they are stored, a block begins with a chunk of the matrix, so that few
    chunks are decoded for two blocks.
    """
    n = store.n_obs
    if store.selection.order is not None:
        return np.append(np.arange(0, max(n, 1), at_most), n)
    begins = np.append(_chunk_begins(store, matrix), n)
    cuts = [0]
    while cuts[-1] < n:
        limit = cuts[-1] + at_most
        best = int(begins[np.searchsorted(begins, limit, side="right") - 1])
        # A chunk may hold more rows than a block; and a block of a few rows serves nobody.
        cuts.append(best if best > cuts[-1] + at_most // 2 else min(limit, n))
    return np.array(cuts if n else [0, 0], np.int64)


def _chunk_begins(store: Store, matrix: str) -> NDArray[np.int64]:
    """Return the rows of the selection that are the first in their dataset or chunk."""
    found = [np.empty(0, np.int64)]
    for i, chosen in store.selection.parts():
        first = store.selection.offsets[i]
        chunk = _chunk_of_rows(store, i, matrix)
        if chunk is None:
            found.append(np.array([first]))
            continue
        own = chunk if chosen is None else chunk[chosen]
        found.append(first + np.flatnonzero(np.diff(own, prepend=-1)))
    return np.concatenate(found)


def _chunk_of_rows(store: Store, ordinal: int, matrix: str) -> NDArray[np.int64] | None:
    """Return in which chunk each row of a dataset begins; None if that is not known."""
    dataset = store.manifest.datasets[ordinal]
    info = dataset.matrices[matrix]
    rows = np.arange(dataset.n_obs)
    if info.encoding == "dense":
        return rows // info.values.chunk
    lengths = None
    if isinstance(store.reader, FusedReader):
        lengths = store.reader.row_lengths(matrix, [(dataset.id, rows)])
    return None if lengths is None else (np.cumsum(lengths[0]) - lengths[0]) // info.values.chunk


def _stored(selection: Selection, start: int, stop: int) -> Block:
    return Block(start, stop, tuple(_pieces(selection, start, stop)))


def _pieces(selection: Selection, start: int, stop: int) -> Iterator[tuple[int, Rows]]:
    for i, chosen in selection.parts():
        first = int(selection.offsets[i])
        a, b = max(start - first, 0), min(stop - first, int(selection.counts[i]))
        if a < b:
            yield i, range(a, b) if chosen is None else _short(chosen[a:b])


def _ordered(selection: Selection, start: int, stop: int) -> Block:
    order: Any = selection.order
    places, ranks = np.unique(order[start:stop], return_inverse=True)
    stored = Selection(selection.sizes, selection.chosen)
    datasets, rows = stored.locate(places.astype(np.int64))
    pieces = tuple((int(i), _short(rows[datasets == i])) for i in np.unique(datasets))
    return Block(start, stop, pieces, ranks.astype(np.uint32))


def _short(rows: NDArray[Any]) -> Rows:
    """Return consecutive rows as a range, which is small to send."""
    first, last = int(rows[0]), int(rows[-1])
    if last - first + 1 == len(rows):
        return range(first, last + 1)
    return rows.astype(np.uint32)
