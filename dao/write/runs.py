"""Runs: rows in files, sorted by their places in the store, read back window by window.

A run holds all its columns, then all its values.
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
    from dao.write.workers import Scratch, Workers

__all__ = [
    "PART_BYTES",
    "Run",
    "cut_windows",
    "load_windows",
    "padded",
    "write_items",
    "write_tables",
]

# What the tables need for one row while they are being sorted.
PART_BYTES = 160
_SAMPLE = 1024
_STRETCH = 1 << 18


@dataclass(frozen=True, slots=True)
class Run:
    """Sorted rows in a file; of its tables only a few entries are in memory.

    Attributes
    ----------
    file
        Its descriptor.
    n_rows
        Their places ascend.
    sample
        Every so many'th of the places.
    places_at, before_at
        Where in the file the places begin, and the numbers of elements before each row (one more
        than rows), in bytes.
    columns_at, values_at
        Where the elements begin.
    dtype
        Of the values.
    """

    file: int
    n_rows: int
    sample: NDArray[np.int64]
    places_at: int
    before_at: int
    columns_at: int
    values_at: int
    dtype: np.dtype[Any]

    def rows(self, first: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the places from ``first`` to ``stop`` that it has, and what is before them."""
        low, high = np.searchsorted(self.sample, (first, stop))
        a, b = max(0, int(low) - 1) * _SAMPLE, min(self.n_rows, int(high) * _SAMPLE)
        places = self._read(self.places_at, a, b)
        i, j = np.searchsorted(places, (first, stop))
        return places[i:j], self._read(self.before_at, a + int(i), a + int(j) + 1)

    def lengths(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield places and how many elements they have, a stretch at a time."""
        for a in range(0, self.n_rows, _STRETCH):
            b = min(a + _STRETCH, self.n_rows)
            yield self._read(self.places_at, a, b), np.diff(self._read(self.before_at, a, b + 1))

    def columns(
        self, start: int, stop: int, dtype: np.dtype[Any], scratch: Scratch
    ) -> NDArray[Any]:
        """Return the columns of the elements from ``start`` to ``stop``, in a buffer."""
        out = scratch.take("stored columns", stop - start, dtype)
        read_items(self.file, out, self.columns_at + start * dtype.itemsize)
        return out

    def values(self, start: int, stop: int, scratch: Scratch) -> NDArray[Any]:
        """Return the values of these elements."""
        out = scratch.take("stored values", stop - start, self.dtype)
        read_items(self.file, out, self.values_at + start * self.dtype.itemsize)
        return out

    def _read(self, at: int, a: int, b: int) -> NDArray[np.int64]:
        out = np.empty(b - a, np.int64)
        read_items(self.file, out, at + 8 * a)
        return out


def write_tables(
    file: int, at: int, places: NDArray[np.int64], before: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int]:
    """Write the tables of a run; return the sample of its places, and where ``before`` begins."""
    write_items(file, places, at)
    write_items(file, before, at + places.nbytes)
    return places[::_SAMPLE].copy(), at + places.nbytes


@dataclass(frozen=True, slots=True)
class _Loader:
    """Reads rows of consecutive places from all runs into an arena."""

    runs: Sequence[Run]
    arena: Arena
    workers: Workers
    column_dtype: np.dtype[Any]

    def load(self, first: int, stop: int) -> Window:
        tables, jobs, at = [np.empty((0, 5), np.int64)], [], 0
        kinds = tuple(dict.fromkeys(run.dtype for run in self.runs))
        for run in self.runs:
            places, before = run.rows(first, stop)
            start, n = int(before[0]), int(before[-1] - before[0])
            if not n:
                continue
            parts = np.empty((len(places), 5), np.int64)
            parts[:, 0], parts[:, 1] = places, np.diff(before)
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
        return Window.sorted(self.arena, table, self.column_dtype, kinds)

    def _read(self, file: int, dtype: np.dtype[Any], at: int, n: int, stored: int) -> None:
        read_items(file, self.arena.view(dtype, at, n), stored)


def load_windows(
    runs: Sequence[Run],
    arena: Arena,
    workers: Workers,
    firsts: NDArray[np.int64],
    stops: NDArray[np.int64],
    indptr: NDArray[np.int64],
    column_dtype: np.dtype[Any],
) -> Iterator[tuple[Window, range]]:
    """Yield windows as large as the arena may be, and which tasks can be done with each.

    Parameters
    ----------
    firsts, stops
        Task k needs the rows ``firsts[k]`` to ``stops[k]``; both ascend.
    indptr
        Elements before each row of the matrix.
    """
    loader = _Loader(runs, arena, workers, column_dtype)
    width = column_dtype.itemsize + max(r.dtype.itemsize for r in runs)
    for tasks in cut_windows(firsts, stops, indptr, width, PART_BYTES, arena.limit):
        yield loader.load(int(firsts[tasks.start]), int(stops[tasks.stop - 1])), tasks


def cut_windows(
    firsts: NDArray[np.int64],
    stops: NDArray[np.int64],
    indptr: NDArray[np.int64],
    element_bytes: int,
    row_bytes: int,
    limit: int,
) -> Iterator[range]:
    """Cut tasks into ranges whose rows take no more bytes than ``limit``, one task at the least."""
    k = 0
    while k < len(firsts):
        n_rows, n = stops[k:] - firsts[k], indptr[stops[k:]] - indptr[firsts[k]]
        needed = n * element_bytes + n_rows * row_bytes
        end = k + max(1, int(np.searchsorted(needed, limit, side="right")))
        yield range(k, end)
        k = end


def write_items(file: int, items: NDArray[Any], at: int) -> None:
    """Write all items at a byte of a file."""
    rest = items.data.cast("B")
    while rest:
        done = os.pwrite(file, rest, at)
        rest, at = rest[done:], at + done


def read_items(file: int, out: NDArray[Any], at: int) -> None:
    """Fill an array from a byte of a file on.

    Raises
    ------
    dao.errors.StorageError
        If the file ends before.
    """
    rest = out.data.cast("B")
    while rest:
        got = os.preadv(file, [rest], at)
        if not got:
            msg = "A temporary file of the writer has become shorter while in use."
            raise StorageError(msg)
        rest, at = rest[got:], at + got


def padded(n_bytes: int) -> int:
    """Return the next multiple of 8."""
    return n_bytes + -n_bytes % 8
