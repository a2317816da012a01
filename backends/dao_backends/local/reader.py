"""The reader: rows of any datasets to pieces of chunks, decoded together by several threads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.backend import DenseRows, SparseRows
from dao.buffers import empty
from dao.threads import in_threads, split
from dao_backends.chunked import ChunkedReader
from dao_backends.local.kernel import BLOSC_OVERHEAD, CRC_BYTES, read_pieces
from dao_backends.local.layout import ChunkTable, is_readable
from dao_backends.local.native import native_functions
from dao_backends.local.pieces import Pieces, distinct, plan_pieces, runs
from dao_backends.shards import altered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from dao.format.manifest import ArrayInfo

# Below this many decoded bytes per task, handing it to a thread costs more than it saves.
_TASK_BYTES = 1 << 19


class LocalBackend:
    """Decode in compiled loops; the default for local folders."""

    def open(self, path: str, *, memory: int, options: Mapping[str, Any]) -> LocalReader:
        """Open the store at a local path."""
        return LocalReader(path, memory, options)


class LocalReader(ChunkedReader):
    """Reads, checks and decodes chunks in threads of its own, and keeps only wanted rows.

    Arrays that were not written the way dao does are left to zarrs.
    """

    def _prepare(self) -> None:
        super()._prepare()
        self._tables: dict[str, ChunkTable | None] = {}
        self._others: ChunkedReader | None = None

    def close(self) -> None:
        """Forget what was cached."""
        if self._others is not None:
            self._others.close()
        super().close()

    def rows(self, dataset: str, matrix: str, rows: NDArray[np.int64]) -> SparseRows | DenseRows:
        """Return rows of a matrix; each touched chunk is decoded once."""
        return self.window(matrix, [(dataset, rows)])[0]

    def window(
        self, matrix: str, requests: Sequence[tuple[str, NDArray[np.int64]]]
    ) -> list[SparseRows | DenseRows]:
        """Return rows of a matrix of several datasets; those of one dtype share a buffer."""
        plans = [self._plan(dataset, matrix, rows) for dataset, rows in requests]
        # What is decoded into one buffer: requests that have all dtypes in common.
        groups: dict[tuple[str, ...], list[_Plan]] = {}
        for plan in plans:
            if plan is not None:
                groups.setdefault(plan.kind, []).append(plan)
        buffers = self._read(list(groups.values()))
        given = {
            id(p): p.rows(b) for ps, b in zip(groups.values(), buffers, strict=True) for p in ps
        }
        return [
            super(LocalReader, self).rows(dataset, matrix, rows)
            if plan is None
            else given[id(plan)]
            for (dataset, rows), plan in zip(requests, plans, strict=True)
        ]

    def _plan(self, dataset: str, matrix: str, rows: NDArray[np.int64]) -> _Plan | None:
        """Return how to read the rows; None if this reader cannot decode the matrix."""
        path, info, rows = self._request(dataset, matrix, rows)
        names = ("",) if info.encoding == "dense" else ("data", "indices")
        tables = []
        for name in names:
            table = self._table(f"{path}/{name}" if name else path, info.arrays[name])
            if table is None:
                return None
            tables.append(table)
        unique, slots = distinct(rows)
        starts, stops = runs(unique)
        lengths = None
        if info.encoding != "dense":
            row_starts = self._starts(dataset, matrix, path, info)
            lengths = row_starts[unique + 1] - row_starts[unique]
            starts, stops = row_starts[starts], row_starts[stops]
        pieces = plan_pieces(starts, stops, info.values.chunk)
        return _Plan(tables, pieces, slots, lengths, info.shape[1])

    def decode(self, path: str, array: ArrayInfo, chunks: NDArray[np.int64]) -> NDArray[Any]:
        """Return the chunks side by side; see `ChunkedReader.decode`."""
        table = self._table(path, array)
        if table is None:
            return self._other().decode(path, array, chunks)
        starts = chunks * array.chunk
        pieces = plan_pieces(starts, starts + array.chunk, array.chunk)
        ((values,),) = self._read([[_Plan([table], pieces, chunks, None, 0)]])
        return values

    def _read(self, groups: Sequence[Sequence[_Plan]]) -> list[list[NDArray[Any]]]:
        """Return for each group the items of its plans side by side, one array per table."""
        opened: list[int] = []
        jobs: list[partial[tuple[ChunkTable, int]]] = []
        buffers = []
        try:
            for plans in groups:
                before = 0
                n_items = sum(plan.pieces.n_items for plan in plans)
                firsts = plans[0].tables
                outs = [empty((n_items, *t.array.shape[1:]), t.array.dtype) for t in firsts]
                for plan in plans:
                    plan.before = before
                    for table, out in zip(plan.tables, outs, strict=True):
                        part = out[before : before + plan.pieces.n_items]
                        jobs += _jobs(table, plan.pieces, part, opened)
                    before += plan.pieces.n_items
                buffers.append(outs)
            results = in_threads(jobs)
        finally:
            for file in opened:
                os.close(file)
        for table, chunk in results:
            if chunk >= 0:
                raise altered(self._files.root, table.path, table.array, chunk)
        return buffers

    def _table(self, path: str, array: ArrayInfo) -> ChunkTable | None:
        """Return where the chunks of an array lie; None if this reader cannot decode it."""
        if path not in self._tables:
            readable = len(native_functions()) > 0
            readable = readable and is_readable(self._files.read(array.metadata), array)
            table = ChunkTable(self._files.root, path, array) if readable else None
            self._tables.setdefault(path, table)
        return self._tables[path]

    def _other(self) -> ChunkedReader:
        if self._others is None:
            from dao_backends.zarrs import ZarrsReader

            self._others = ZarrsReader(self._path, self._memory, {})
        return self._others


@dataclass(eq=False)
class _Plan:
    """One request on its way.

    Attributes
    ----------
    tables
        The arrays to read: values, and indices where the matrix is sparse; chunked alike.
    pieces
        What to read of each of them.
    slots
        Which of the distinct rows, in the order in which they are stored, each row asked for is.
    lengths
        Of the distinct rows of a sparse matrix, in items.
    before
        How many items of other requests come first in the buffer.
    """

    tables: Sequence[ChunkTable]
    pieces: Pieces
    slots: NDArray[np.int64]
    lengths: NDArray[np.int64] | None
    n_vars: int
    before: int = 0

    @property
    def kind(self) -> tuple[str, ...]:
        return tuple(f"{t.array.dtype}{t.array.shape[1:]}" for t in self.tables)

    def rows(self, buffers: Sequence[NDArray[Any]]) -> SparseRows | DenseRows:
        """Return what was asked for, now that it lies in the buffers."""
        n_chunks = int(np.count_nonzero(np.diff(self.pieces.chunks, prepend=-1)))
        n_bytes = sum(n_chunks * t.array.chunk * t.item_bytes for t in self.tables)
        cost = n_chunks * len(self.tables), n_bytes
        if self.lengths is None:
            return DenseRows(buffers[0], self.slots + self.before, *cost)
        starts = self.before + np.cumsum(self.lengths) - self.lengths
        values, indices = buffers
        rows = starts[self.slots], self.lengths[self.slots]
        return SparseRows(values, indices, *rows, self.n_vars, *cost)


def _jobs(
    table: ChunkTable, pieces: Pieces, out: NDArray[Any], opened: list[int]
) -> list[partial[tuple[ChunkTable, int]]]:
    """Open the shards of the pieces and return what is to be done, cut for several threads."""
    if not pieces.n_items:
        return []
    shards, which = distinct(pieces.chunks // table.per_shard)
    files = np.full(len(shards), -1, np.int64)
    for i, shard in enumerate(shards.tolist()):
        files[i] = table.open(shard)
        if files[i] >= 0:
            opened.append(int(files[i]))
    parts = split(len(pieces.chunks), pieces.n_items * table.item_bytes // _TASK_BYTES)
    flat = out.reshape(-1).view(np.uint8)
    return [partial(_read_part, files[which], table, pieces, flat, part) for part in parts]


def _read_part(
    files: NDArray[np.int64],
    table: ChunkTable,
    pieces: Pieces,
    out: NDArray[np.uint8],
    part: slice,
) -> tuple[ChunkTable, int]:
    """Read some of the pieces in this thread; return the first bad chunk, or -1."""
    functions = native_functions()
    chunks, size = pieces.chunks[part], table.item_bytes
    chunk_bytes = table.array.chunk * size
    bad = read_pieces(
        functions,
        files[part],
        table.offsets[chunks],
        table.sizes[chunks],
        pieces.begins[part] * size,
        pieces.counts[part] * size,
        pieces.places[part] * size,
        chunk_bytes,
        out,
        np.empty(chunk_bytes + BLOSC_OVERHEAD + CRC_BYTES, np.uint8),
        np.empty(chunk_bytes, np.uint8),
    )
    return table, int(chunks[bad]) if bad >= 0 else -1
