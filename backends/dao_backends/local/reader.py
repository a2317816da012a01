"""The reader: rows of any datasets to pieces of chunks, decoded together by several threads."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.buffers import empty
from dao.threads import in_threads
from dao_backends.chunked import ChunkedReader
from dao_backends.local.chosen import Chosen, choose_share
from dao_backends.local.layout import ChunkTable, is_readable
from dao_backends.local.native import native_functions
from dao_backends.local.pieces import distinct, plan_pieces, runs
from dao_backends.local.sparse import (
    SparseWork,
    Writing,
    cast_share,
    plan_sparse,
    scatter_share,
)
from dao_backends.local.stored import StoredPlan, read_jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from dao.backend import DenseRows, RowTargets, SparseRows
    from dao.format.manifest import ArrayInfo, MatrixInfo
    from dao_backends.local.sparse import Done, Problem

    Requests = Sequence[tuple[str, NDArray[np.int64]]]
    Place = Callable[[int], NDArray[np.unsignedinteger[Any]]]
    Job = Callable[[], Done]


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
        return self._ending(partial(self._window, matrix, requests))

    def _window(self, matrix: str, requests: Requests) -> list[SparseRows | DenseRows]:
        plans = [self._plan(dataset, matrix, rows) for dataset, rows in requests]
        # What is decoded into one buffer: requests that have all dtypes in common.
        groups: dict[tuple[str, ...], list[StoredPlan]] = {}
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

    def row_lengths(self, matrix: str, requests: Requests) -> list[NDArray[np.int64]] | None:
        """Return how many values each row has; None for what is not read by this reader."""
        return self._ending(partial(self._row_lengths, matrix, requests))

    def _row_lengths(self, matrix: str, requests: Requests) -> list[NDArray[np.int64]] | None:
        lengths = []
        for dataset, wanted in requests:
            path, info, rows = self._request(dataset, matrix, wanted)
            if info.encoding == "dense" or self._tables_of(path, info) is None:
                return None
            row_starts = self._starts(dataset, matrix, path, info)
            lengths.append(row_starts[rows + 1] - row_starts[rows])
        return lengths

    def write_csr(
        self, matrix: str, requests: Requests, values: RowTargets, indices: RowTargets
    ) -> Callable[[], tuple[int, int]]:
        """Begin to decode rows straight to where they belong, cast."""
        wanted = (values, values.addresses()), (indices, indices.addresses())

        def jobs(_: int, work: SparseWork) -> Iterator[Job]:
            for number, (rows, addresses) in enumerate(wanted):
                shared = work, number, addresses[work.order], np.zeros(1, np.int64), rows.outs[0]
                yield from [partial(cast_share, *shared)] * work.n_shares

        return self._begin(matrix, requests, jobs)

    def write_dense(
        self, matrix: str, requests: Requests, rows: RowTargets, place: Place
    ) -> Callable[[], tuple[int, int]]:
        """Begin to decode rows straight into dense ones."""
        addresses, like = rows.addresses(), rows.outs[0]

        def jobs(_: int, work: SparseWork) -> Iterator[Job]:
            shared = work, addresses[work.order], np.zeros(1, np.int64), place(work.n_vars), like
            yield from [partial(scatter_share, *shared)] * work.n_shares

        return self._begin(matrix, requests, jobs)

    def choose(
        self, matrix: str, requests: Requests, place: Place, n_vars: int, *, ascending: bool
    ) -> Callable[[], list[SparseRows]] | None:
        """Begin to decode chosen columns of rows."""
        lengths = self.row_lengths(matrix, requests)
        if lengths is None:
            return None
        infos = [self._request(name, matrix, rows)[1] for name, rows in requests]
        chosen = Chosen.room(
            [info.values.dtype for info in infos], lengths, n_vars, ascending=ascending
        )

        def jobs(number: int, work: SparseWork) -> Iterator[Job]:
            shared = work, number, chosen, np.zeros(1, np.int64), place(work.n_vars)
            yield from [partial(choose_share, *shared)] * work.n_shares

        decoding = self._begin(matrix, requests, jobs)
        return lambda: chosen.rows(*decoding())

    def _begin(
        self, matrix: str, requests: Requests, jobs: Callable[[int, SparseWork], Iterator[Job]]
    ) -> Callable[[], tuple[int, int]]:
        begun = self._ending(partial(self._write, matrix, requests, jobs))
        return partial(self._ending, begun)

    def _write(
        self, matrix: str, requests: Requests, jobs: Callable[[int, SparseWork], Iterator[Job]]
    ) -> Writing:
        writing = Writing(self._files.root)
        before = 0
        try:
            for number, (dataset, wanted) in enumerate(requests):
                path, info, rows = self._request(dataset, matrix, wanted)
                tables = self._tables_of(path, info) or ()
                row_starts = self._starts(dataset, matrix, path, info)
                work = plan_sparse(tables, row_starts, rows, before, info.shape[1], writing.opened)
                # Decoding begins while the rows of the next dataset are planned.
                writing.running.add(list(jobs(number, work)))
                before += len(rows)
        except BaseException:
            writing.end()
            raise
        return writing

    def _tables_of(self, path: str, info: MatrixInfo) -> tuple[ChunkTable, ...] | None:
        found = [self._table(f"{path}/{name}", info.arrays[name]) for name in ("data", "indices")]
        tables = tuple(table for table in found if table is not None)
        return tables if len(tables) == len(found) else None

    def _plan(self, dataset: str, matrix: str, rows: NDArray[np.int64]) -> StoredPlan | None:
        """Return how to read the rows; None if this reader cannot decode the matrix."""
        path, info, rows = self._request(dataset, matrix, rows)
        if info.encoding == "dense":
            table = self._table(path, info.values)
            tables: tuple[ChunkTable, ...] = () if table is None else (table,)
        else:
            tables = self._tables_of(path, info) or ()
        if not tables:
            return None
        unique, slots = distinct(rows)
        starts, stops = runs(unique)
        lengths = None
        if info.encoding != "dense":
            row_starts = self._starts(dataset, matrix, path, info)
            lengths = row_starts[unique + 1] - row_starts[unique]
            starts, stops = row_starts[starts], row_starts[stops]
        pieces = plan_pieces(starts, stops, info.values.chunk)
        return StoredPlan(tables, pieces, slots, lengths, info.shape[1])

    def decode(self, path: str, array: ArrayInfo, chunks: NDArray[np.int64]) -> NDArray[Any]:
        """Return the chunks side by side; see `ChunkedReader.decode`."""
        table = self._table(path, array)
        if table is None:
            return self._other().decode(path, array, chunks)
        starts = chunks * array.chunk
        pieces = plan_pieces(starts, starts + array.chunk, array.chunk)
        ((values,),) = self._read([[StoredPlan([table], pieces, chunks, None, 0)]])
        return values

    def _read(self, groups: Sequence[Sequence[StoredPlan]]) -> list[list[NDArray[Any]]]:
        """Return for each group the items of its plans side by side, one array per table."""
        opened: list[int] = []
        jobs: list[Callable[[], Problem | None]] = []
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
                        jobs += read_jobs(table, plan.pieces, part, opened)
                    before += plan.pieces.n_items
                buffers.append(outs)
            self._complain(in_threads(jobs))
        finally:
            for file in opened:
                os.close(file)
        return buffers

    def _complain(self, problems: Sequence[Problem | None]) -> None:
        for problem in problems:
            if problem is not None:
                raise problem.error(self._files.root)

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
