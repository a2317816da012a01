"""Runs: rows in files, sorted by their places in the store, read back window by window.

A run holds all its columns, then all its values. A row is in one run, or, where rows arrive in
parts, in several.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import StorageError
from dao.write.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from dao.write.window import Arena
    from dao.write.workers import Workers

__all__ = ["PART_BYTES", "Run", "load_windows", "padded", "write_items"]

# What the tables need for one row, or one part of a row, while they are being sorted.
PART_BYTES = 160


@dataclass(frozen=True, slots=True)
class Run:
    """Sorted rows in a file.

    Attributes
    ----------
    file
        Its descriptor.
    places
        Of its rows, ascending.
    before
        Elements before each row, and at last all of them.
    columns_at, values_at
        Where in the file they begin, in bytes.
    dtype
        Of the values.
    """

    file: int
    places: NDArray[np.int64]
    before: NDArray[np.int64]
    columns_at: int
    values_at: int
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class _Loader:
    """Reads rows of consecutive places from all runs into an arena."""

    runs: Sequence[Run]
    arena: Arena
    workers: Workers
    column_dtype: np.dtype[Any]
    n_vars: int
    in_parts: bool

    def load(self, first: int, stop: int) -> Window:
        tables, jobs, at = [np.empty((0, 5), np.int64)], [], 0
        kinds = tuple(dict.fromkeys(run.dtype for run in self.runs))
        for run in self.runs:
            a, b = np.searchsorted(run.places, (first, stop))
            before = np.asarray(run.before[a : b + 1])
            start, n = int(before[0]), int(before[-1] - before[0])
            if not n:
                continue
            parts = np.empty((b - a, 5), np.int64)
            parts[:, 0], parts[:, 1] = run.places[a:b], np.diff(before)
            parts[:, 4] = kinds.index(run.dtype)
            for slot, dtype, stored in (
                (2, self.column_dtype, run.columns_at),
                (3, run.dtype, run.values_at),
            ):
                parts[:, slot] = before[:-1] - start + at // dtype.itemsize
                jobs.append((run.file, dtype, at, n, stored + start * dtype.itemsize))
                at += padded(n * dtype.itemsize)
            tables.append(parts)
        self.arena.ensure(at)
        self.workers.run(self._read, jobs)
        table = np.concatenate(tables)
        return Window.sorted(
            self.arena, table, self.column_dtype, kinds, self.n_vars, in_parts=self.in_parts
        )

    def _read(self, file: int, dtype: np.dtype[Any], at: int, n: int, stored: int) -> None:
        target = self.arena.view(dtype, at, n).data.cast("B")
        while target:
            got = os.preadv(file, [target], stored)
            if not got:
                msg = "A temporary file of the writer has become shorter while in use."
                raise StorageError(msg)
            target, stored = target[got:], stored + got


def load_windows(
    runs: Sequence[Run],
    arena: Arena,
    workers: Workers,
    firsts: NDArray[np.int64],
    stops: NDArray[np.int64],
    indptr: NDArray[np.int64],
    *,
    column_dtype: np.dtype[Any],
    n_vars: int,
    in_parts: bool,
) -> Iterator[tuple[Window, range]]:
    """Yield windows as large as the arena may be, and which tasks can be done with each.

    Parameters
    ----------
    firsts, stops
        Task k needs the rows ``firsts[k]`` to ``stops[k]``; both ascend.
    indptr
        Elements before each row of the matrix.
    """
    loader = _Loader(runs, arena, workers, column_dtype, n_vars, in_parts)
    width = column_dtype.itemsize + max(r.dtype.itemsize for r in runs)
    # Two ends of every run need padding; each of its rows needs a part.
    row_bytes = PART_BYTES * (len(runs) if in_parts else 1)
    ends = indptr[stops] * width + stops * row_bytes
    k = 0
    while k < len(firsts):
        goal = indptr[firsts[k]] * width + firsts[k] * row_bytes + arena.limit
        end = max(k + 1, int(np.searchsorted(ends, goal, side="right")))
        yield loader.load(int(firsts[k]), int(stops[end - 1])), range(k, end)
        k = end


def write_items(file: int, items: NDArray[Any], at: int) -> None:
    """Write all items at a byte of a file."""
    rest = items.data.cast("B")
    while rest:
        done = os.pwrite(file, rest, at)
        rest, at = rest[done:], at + done


def padded(n_bytes: int) -> int:
    """Return the next multiple of 8."""
    return n_bytes + -n_bytes % 8
