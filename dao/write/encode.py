"""Encode: rows in store order -> sharded Zarr arrays that anndata reads as they are.

All shards of a matrix or some of them: what is in a file depends on nothing but the rows.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numcodecs import blosc

from dao.write.shards import ShardWriter, with_checksum

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from dao.write.layout import ArrayLayout, MatrixLayout
    from dao.write.window import Window
    from dao.write.workers import Scratch, Workers

__all__ = ["SortedRows", "encode_pointers", "encode_rows"]


class SortedRows(Protocol):
    """Rows that can be had in store order."""

    def windows(
        self, firsts: NDArray[np.int64], stops: NDArray[np.int64], indptr: NDArray[np.int64]
    ) -> Iterator[tuple[Window, range]]:
        """Yield windows; see `dao.write.runs.load_windows`."""


def encode_rows(
    root: Path,
    layout: MatrixLayout,
    rows: SortedRows,
    indptr: NDArray[np.int64],
    workers: Workers,
    shards: range | None = None,
) -> dict[str, list[int]]:
    """Write shards of a matrix (all if None); return the sizes of the files of each array."""
    shards = range(layout.rows.n_shards) if shards is None else shards
    encode = _encode_csr if layout.encoding == "csr" else _encode_dense
    return encode(root, layout, rows, indptr, workers, shards)


def encode_pointers(
    root: Path, layout: MatrixLayout, indptr: NDArray[np.int64], workers: Workers
) -> dict[str, list[int]]:
    """Write where the rows of a sparse matrix begin; nothing for a dense one."""
    if "indptr" not in layout.arrays:
        return {}
    with ExitStack() as stack:
        pointers = _ArrayWriter(root, layout.arrays["indptr"], stack)
        step = pointers.layout.chunk
        parts = ((indptr[a : a + step], workers.scratch) for a in range(0, len(indptr), step))
        for chunk in workers.map(pointers.encode, parts):
            pointers.shards.append(chunk)
        return {"indptr": pointers.close()}


def _encode_csr(
    root: Path,
    layout: MatrixLayout,
    rows: SortedRows,
    indptr: NDArray[np.int64],
    workers: Workers,
    shards: range,
) -> dict[str, list[int]]:
    """Encode chunk after chunk, both arrays at a time: their elements come from the same rows."""
    starts, stops = layout.rows.bounds_of(shards)
    first_rows = np.searchsorted(indptr, starts, side="right") - 1
    stop_rows = np.searchsorted(indptr, stops)
    with ExitStack() as stack:
        data = _ArrayWriter(root, layout.arrays["data"], stack, shards.start)
        indices = _ArrayWriter(root, layout.arrays["indices"], stack, shards.start)

        def encode(window: Window, task: int) -> tuple[bytes, bytes]:
            first, scratch = first_rows[task], workers.scratch
            columns, values = window.take(first, stop_rows[task], layout.rows.dtype, scratch)
            part = slice(starts[task] - indptr[first], stops[task] - indptr[first])
            return indices.encode(columns[part], scratch), data.encode(values[part], scratch)

        for window, tasks in rows.windows(first_rows, stop_rows, indptr):
            for one, other in workers.map(partial(encode, window), ((t,) for t in tasks)):
                indices.shards.append(one)
                data.shards.append(other)
        return {"data": data.close(), "indices": indices.close()}


def _encode_dense(
    root: Path,
    layout: MatrixLayout,
    rows: SortedRows,
    indptr: NDArray[np.int64],
    workers: Workers,
    shards: range,
) -> dict[str, list[int]]:
    array, n_vars = layout.rows, layout.shape[1]
    starts, stops = array.bounds_of(shards)
    with ExitStack() as stack:
        writer = _ArrayWriter(root, array, stack, shards.start)

        def encode(window: Window, task: int) -> bytes:
            part = workers.scratch.take("dense", array.chunk * n_vars, array.dtype)
            part[:] = 0
            window.scatter(starts[task], stops[task], part.reshape(array.chunk, n_vars))
            return writer.encode(part, workers.scratch)

        for window, tasks in rows.windows(starts, stops, indptr):
            for chunk in workers.map(partial(encode, window), ((t,) for t in tasks)):
                writer.shards.append(chunk)
        return {"": writer.close()}


class _ArrayWriter:
    """Shards of an array that are being written, from one of them on."""

    def __init__(
        self, root: Path, layout: ArrayLayout, stack: ExitStack, first_shard: int = 0
    ) -> None:
        self.layout = layout
        self._compress = partial(
            blosc.compress, cname=layout.profile.cname.encode(), clevel=layout.profile.clevel
        )
        self.shards = ShardWriter(
            root / layout.path,
            layout.shard // layout.chunk,
            "/0" * (len(layout.shape) - 1),
            first_shard,
        )
        stack.callback(self.shards.release)

    def encode(self, items: NDArray[Any], scratch: Scratch) -> bytes:
        """Return a chunk as it is stored; the last one of an array is filled up with zeros."""
        n = self.layout.chunk * self.layout.width
        if len(items) < n:
            filled = scratch.take("filled", n, self.layout.dtype)
            filled[: len(items)] = items
            filled[len(items) :] = 0
            items = filled
        return with_checksum(self._compress(items, shuffle=blosc.SHUFFLE))

    def close(self) -> list[int]:
        """Finish the last shard; return the sizes of all."""
        self.shards.close()
        return self.shards.sizes
