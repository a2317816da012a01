"""Shuffle: bring the rows of a matrix into their order in the store, in bounded memory.

Rows arrive in source order and wait in one piece of memory. What fits there never touches the
disk. When it is full, its rows are sorted by their places in the store and go to a file as one
run. In the end the rows of consecutive places are read from all runs: one window after the other,
each as large as the memory allows.
"""

from __future__ import annotations

import tempfile
import threading
from contextlib import ExitStack
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dao.format.encodings import ValueRange, narrowest_dtype
from dao.write.runs import PART_BYTES, Run, load_windows, padded, write_items, write_tables
from dao.write.window import Arena, Window

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from dao.write.arrange import ArrangedRows
    from dao.write.workers import Workers

__all__ = ["RowSpool"]

_SPILL_ELEMENTS = 1 << 20


class RowSpool:
    """Collects the rows of a matrix and gives them back in store order.

    Parameters
    ----------
    n_rows
        Rows in the store.
    columns, dtype
        The dtypes of column numbers and of the source's values.
    folder
        Where a file is made if the rows do not fit into the arena.
    file
        That file, if it is to stay; else it has no name, and goes with the process.
    """

    def __init__(
        self,
        n_rows: int,
        columns: np.dtype[Any],
        dtype: np.dtype[Any],
        *,
        arena: Arena,
        workers: Workers,
        folder: Path,
        file: Path | None = None,
    ) -> None:
        self._columns, self._dtype = columns, dtype
        self.arena, self.workers = arena, workers
        self._folder, self._path = folder, file
        self._lock, self._stack = threading.Lock(), ExitStack()
        self._parts: list[NDArray[np.int64]] = []
        self._kinds: list[np.dtype[Any]] = []
        self._used, self._tables = 0, 0
        self.runs: list[Run] = []
        self._file, self._written = -1, 0
        self._lengths = np.zeros(n_rows + 1, np.int64)
        self.value_range = ValueRange()

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
        for_columns = padded(rows.columns.nbytes)
        size = for_columns + padded(rows.values.nbytes)
        with self._lock:
            if not self._has_room(size, len(parts) * PART_BYTES):
                return False
            at, self._used = self._used, self._used + size
            self._tables += len(parts) * PART_BYTES
            parts[:, 2] = starts + at // self._columns.itemsize
            parts[:, 3] = starts + (at + for_columns) // rows.values.dtype.itemsize
            parts[:, 4] = self._kind(rows.values.dtype)
            self._parts.append(parts)
            self._lengths[parts[:, 0] + 1] += parts[:, 1]
            self.value_range |= rows.range
        self.arena.view(self._columns, at, len(rows.columns))[:] = rows.columns
        values = self.arena.view(rows.values.dtype, at + for_columns, len(rows.values))
        values[:] = rows.values
        return True

    def spill(self) -> None:
        """Write what waits in memory to the file; nothing must be added meanwhile."""
        if self._file < 0:
            self._file = self._stack.enter_context(self._open()).fileno()
        window = self._waiting()
        firsts = np.flatnonzero(np.diff(window.places, prepend=-1))
        places = window.places[firsts]
        before = np.append(0, np.cumsum(window.parts[:, 1]))
        before = before[np.append(firsts, len(window.places))]
        dtype = self.dtype
        columns_at, n = self._written, int(before[-1])
        values_at = columns_at + padded(n * self._columns.itemsize)
        tables_at = values_at + padded(n * dtype.itemsize)
        sample, before_at = write_tables(self._file, tables_at, places, before)
        run = Run(
            self._file, len(places), sample, tables_at, before_at, columns_at, values_at, dtype
        )
        cuts = np.searchsorted(before, np.arange(0, n, _SPILL_ELEMENTS))
        cuts = np.append(np.unique(cuts), len(places))
        self.workers.run(
            self._spill_rows,
            (
                (window, run, int(places[a]), int(places[b - 1]) + 1, int(before[a]))
                for a, b in pairwise(cuts)
            ),
        )
        self._written = before_at + before.nbytes
        self.runs.append(run)
        self._forget()

    @property
    def dtype(self) -> np.dtype[Any]:
        """The narrowest dtype that holds all values that were added."""
        return narrowest_dtype(self.value_range, self._dtype)

    def indptr(self) -> NDArray[np.int64]:
        """Return the elements before each row, when all rows are there; can be called once."""
        return np.cumsum(self._lengths, out=self._lengths)

    def windows(
        self, firsts: NDArray[np.int64], stops: NDArray[np.int64], indptr: NDArray[np.int64]
    ) -> Iterator[tuple[Window, range]]:
        """Yield windows, and which tasks can be done with each; see `load_windows`."""
        whole = self.settle()
        if whole is not None:
            yield whole, range(len(firsts))
            return
        yield from load_windows(
            self.runs, self.arena, self.workers, firsts, stops, indptr, self._columns
        )

    def settle(self) -> Window | None:
        """Return all rows, if they are still in memory; else all of them are in runs now."""
        if not self.runs:
            return self._waiting()
        if self._parts:
            self.spill()
        return None

    def _open(self) -> Any:
        if self._path is not None:
            return self._path.open("w+b")
        return tempfile.TemporaryFile(dir=self._folder)

    def _has_room(self, size: int, tables: int) -> bool:
        if self._parts:
            total = self._used + size + self._tables + tables
            return total <= self.arena.limit and self._used + size <= self.arena.size
        self.arena.ensure(size)  # one piece must fit, whatever the limit
        return True

    def _kind(self, dtype: np.dtype[Any]) -> int:
        if dtype not in self._kinds:
            self._kinds.append(dtype)
        return self._kinds.index(dtype)

    def _waiting(self) -> Window:
        parts = np.concatenate([np.empty((0, 5), np.int64), *self._parts])
        return Window.sorted(self.arena, parts, self._columns, tuple(self._kinds))

    def _forget(self) -> None:
        self._parts, self._kinds = [], []
        self._used, self._tables = 0, 0

    def _spill_rows(self, window: Window, run: Run, first: int, stop: int, done: int) -> None:
        columns, values = window.take(first, stop, run.dtype, self.workers.scratch)
        write_items(self._file, columns, run.columns_at + done * columns.itemsize)
        write_items(self._file, values, run.values_at + done * values.itemsize)
