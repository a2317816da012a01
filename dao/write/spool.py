"""Shuffle: bring the rows of a matrix into their order in the store, in bounded memory.

Rows arrive in source order (or, from CSC, as parts of rows) and wait in one piece of memory. What
fits there never touches the disk. When it is full, its rows are sorted by their places in the
store and go to a file as one run. In the end the rows of consecutive places are read from all
runs: one window after the other, each as large as the memory allows.
"""

from __future__ import annotations

import os
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dao.errors import StorageError
from dao.format.encodings import ValueRange, index_dtype, narrowest_dtype
from dao.write.window import Arena, Window

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from dao.write.arrange import ArrangedRows
    from dao.write.workers import Workers

__all__ = ["RowSpool"]

# What the tables need for one row, or one part of a row, while they are being sorted.
_PART_BYTES = 160
_SPILL_ELEMENTS = 1 << 20


@dataclass(frozen=True, slots=True)
class _Run:
    """Rows in the file, sorted by place: first all their columns, then all their values."""

    places: NDArray[np.int64]
    before: NDArray[np.int64]
    columns_at: int
    values_at: int
    dtype: np.dtype[Any]


class RowSpool:
    """Collects the rows of a matrix and gives them back in store order.

    Parameters
    ----------
    shape
        Of the matrix in the store.
    dtype
        Of the source's values.
    folder
        Where a file is made if the rows do not fit into the arena.
    in_parts
        Whether rows arrive in parts, whose columns are to be sorted in the end.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        dtype: np.dtype[Any],
        *,
        arena: Arena,
        workers: Workers,
        folder: Path,
        in_parts: bool,
    ) -> None:
        self._n_vars, self._columns = shape[1], index_dtype(shape[1])
        self._dtype, self._in_parts = dtype, in_parts
        self._arena, self._workers, self._folder = arena, workers, folder
        self._lock, self._stack = threading.Lock(), ExitStack()
        self._parts: list[NDArray[np.int64]] = []
        self._kinds: list[np.dtype[Any]] = []
        self._used, self._tables = 0, 0
        self._runs: list[_Run] = []
        self._file, self._written = -1, 0
        self.lengths = np.zeros(shape[0], np.int64)
        self.range = ValueRange()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, places: NDArray[np.int64], rows: ArrangedRows) -> bool:
        """Take in rows with their places in the store, from any thread.

        Returns
        -------
        False if there is no room before the next `spill`.
        """
        chosen = np.flatnonzero(rows.lengths)
        starts = (np.cumsum(rows.lengths) - rows.lengths)[chosen]
        parts = np.empty((len(chosen), 5), np.int64)
        parts[:, 0], parts[:, 1] = places[chosen], rows.lengths[chosen]
        for_columns = _padded(rows.columns.nbytes)
        size = for_columns + _padded(rows.values.nbytes)
        with self._lock:
            if not self._has_room(size, len(parts) * _PART_BYTES):
                return False
            at, self._used = self._used, self._used + size
            self._tables += len(parts) * _PART_BYTES
            parts[:, 2] = starts + at // self._columns.itemsize
            parts[:, 3] = starts + (at + for_columns) // rows.values.dtype.itemsize
            parts[:, 4] = self._kind(rows.values.dtype)
            self._parts.append(parts)
            self.lengths[parts[:, 0]] += parts[:, 1]
            self.range |= rows.range
        self._arena.view(self._columns, at, len(rows.columns))[:] = rows.columns
        values = self._arena.view(rows.values.dtype, at + for_columns, len(rows.values))
        values[:] = rows.values
        return True

    def spill(self) -> None:
        """Write what waits in memory to the file; nothing must be added meanwhile."""
        if self._file < 0:
            file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
            self._file = self._stack.enter_context(file).fileno()
        window = self._waiting()
        places = np.unique(window.places)
        before = np.append(0, np.cumsum(window.parts[:, 1]))
        before = before[np.append(np.searchsorted(window.places, places), len(window.places))]
        dtype = narrowest_dtype(self.range, self._dtype)
        columns_at, n = self._written, int(before[-1])
        values_at = columns_at + _padded(n * self._columns.itemsize)
        run = _Run(places, before, columns_at, values_at, dtype)
        cuts = np.searchsorted(before, np.arange(0, n, _SPILL_ELEMENTS))
        cuts = np.append(np.unique(cuts), len(places))
        self._workers.run(
            self._spill_rows,
            ((window, run, a, b) for a, b in pairwise(cuts)),
        )
        self._written = values_at + _padded(n * dtype.itemsize)
        self._runs.append(run)
        self._forget()

    def windows(
        self, firsts: NDArray[np.int64], stops: NDArray[np.int64]
    ) -> Iterator[tuple[Window, range]]:
        """Yield windows, and which tasks can be done with each.

        Parameters
        ----------
        firsts, stops
            Task k needs the rows ``firsts[k]`` to ``stops[k]``; both ascend.
        """
        if not self._runs:
            yield self._waiting(), range(len(firsts))
            return
        if self._parts:
            self.spill()
        width = self._columns.itemsize + max(r.dtype.itemsize for r in self._runs)
        # Two ends of every run need padding; each of its rows needs a part.
        sizes = self.lengths * width + _PART_BYTES * (len(self._runs) if self._in_parts else 1)
        before = np.append(0, np.cumsum(sizes))
        k = 0
        while k < len(firsts):
            goal = before[firsts[k]] + self._arena.limit
            end = max(k + 1, int(np.searchsorted(before[stops], goal, side="right")))
            yield self._load(int(firsts[k]), int(stops[end - 1])), range(k, end)
            k = end

    def _has_room(self, size: int, tables: int) -> bool:
        if self._parts:
            total = self._used + size + self._tables + tables
            return total <= self._arena.limit and self._used + size <= self._arena.size
        self._arena.ensure(size)  # one piece must fit, whatever the limit
        return True

    def _kind(self, dtype: np.dtype[Any]) -> int:
        if dtype not in self._kinds:
            self._kinds.append(dtype)
        return self._kinds.index(dtype)

    def _waiting(self) -> Window:
        return self._window(np.concatenate([np.empty((0, 5), np.int64), *self._parts]))

    def _window(self, parts: NDArray[np.int64]) -> Window:
        parts = parts[np.argsort(parts[:, 0], kind="stable")]
        return Window(
            self._arena,
            parts[:, 0].copy(),
            parts,
            self._columns,
            tuple(self._kinds),
            self._n_vars,
            self._in_parts,
        )

    def _forget(self) -> None:
        self._parts, self._kinds = [], []
        self._used, self._tables = 0, 0

    def _spill_rows(self, window: Window, run: _Run, a: int, b: int) -> None:
        first, stop = int(run.places[a]), int(run.places[b - 1]) + 1
        columns, values = window.take(first, stop, run.dtype, self._workers.scratch)
        done = int(run.before[a])
        _write(self._file, columns, run.columns_at + done * columns.itemsize)
        _write(self._file, values, run.values_at + done * values.itemsize)

    def _load(self, first: int, stop: int) -> Window:
        self._forget()
        tables, jobs, at = [np.empty((0, 5), np.int64)], [], 0
        for run in self._runs:
            a, b = np.searchsorted(run.places, (first, stop))
            start, n = int(run.before[a]), int(run.before[b] - run.before[a])
            if not n:
                continue
            parts = np.empty((b - a, 5), np.int64)
            parts[:, 0], parts[:, 1] = run.places[a:b], np.diff(run.before[a : b + 1])
            parts[:, 4] = self._kind(run.dtype)
            for slot, dtype, stored in (
                (2, self._columns, run.columns_at),
                (3, run.dtype, run.values_at),
            ):
                parts[:, slot] = run.before[a:b] - start + at // dtype.itemsize
                jobs.append((dtype, at, n, stored + start * dtype.itemsize))
                at += _padded(n * dtype.itemsize)
            tables.append(parts)
        self._arena.ensure(at)
        self._workers.run(self._load_items, jobs)
        return self._window(np.concatenate(tables))

    def _load_items(self, dtype: np.dtype[Any], at: int, n: int, stored: int) -> None:
        target = self._arena.view(dtype, at, n).data.cast("B")
        while target:
            got = os.preadv(self._file, [target], stored)
            if not got:
                msg = f"A temporary file in {self._folder} has become shorter while in use."
                raise StorageError(msg)
            target, stored = target[got:], stored + got


def _write(file: int, items: NDArray[Any], at: int) -> None:
    rest = items.data.cast("B")
    while rest:
        done = os.pwrite(file, rest, at)
        rest, at = rest[done:], at + done


def _padded(n_bytes: int) -> int:
    return n_bytes + -n_bytes % 8
