"""Batch: consecutive slices of the row stream, across windows, in their final form."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dao.batches.gather import Run, csr, gather_csr, gather_dense

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from dao.batches.columns import ColumnMap
    from dao.batches.fetch import Fetched, Stored
    from dao.obs import Column

__all__ = ["ArrayBatch", "BatchSpec", "MatrixSpec", "batches", "stored_runs", "to_numpy"]


# Rows gathered at once: the fixed cost of that is more than a batch of 128 rows may take.
_MOST_GATHERED = 1024


@dataclass(frozen=True, slots=True)
class MatrixSpec:
    """How one matrix appears in a batch."""

    columns: ColumnMap
    dtype: np.dtype[Any]
    dense: bool


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """What a batch holds.

    Attributes
    ----------
    matrices
        ``"X"``, ``"layers/<name>"``, ``"obsm/<name>"`` -> how it appears.
    obs
        The obs columns of the whole selection.
    """

    batch_size: int
    matrices: Mapping[str, MatrixSpec]
    obs: Mapping[str, Column]

    @property
    def most_gathered(self) -> int:
        """Rows that are gathered at once, at most: a multiple of the batch size."""
        return max(1, _MOST_GATHERED // self.batch_size) * self.batch_size


@dataclass(frozen=True, slots=True)
class ArrayBatch:
    """A batch in NumPy and scipy terms, before a framework's types."""

    matrices: Mapping[str, sp.csr_matrix | NDArray[Any]]
    obs: Mapping[str, Column]
    index: NDArray[np.int64]

    def cut(self, n: int) -> list[ArrayBatch]:
        """Return batches of ``n`` rows, the last may have fewer, that are views of this one."""
        n_obs = len(self.index)
        if n_obs <= n:
            return [self]
        bounds = [(a, min(a + n, n_obs)) for a in range(0, n_obs, n)]
        matrices = {name: _cut(matrix, bounds) for name, matrix in self.matrices.items()}
        return [
            ArrayBatch(
                {name: pieces[i] for name, pieces in matrices.items()},
                {name: column.take(slice(a, b)) for name, column in self.obs.items()},
                self.index[a:b],
            )
            for i, (a, b) in enumerate(bounds)
        ]

    def group(self, kind: str) -> dict[str, Any]:
        """Return the layers (``"layers"``) or obsm (``"obsm"``) by their own names."""
        prefix = f"{kind}/"
        return {k.removeprefix(prefix): v for k, v in self.matrices.items() if k.startswith(prefix)}


def batches(windows: Iterable[Fetched], spec: BatchSpec) -> Iterator[list[ArrayBatch]]:
    """Cut a stream of fetched windows into batches; the last one may be smaller.

    They come several at a time, because small batches are made as views of a larger one.
    """
    waiting: list[tuple[Fetched, int, int]] = []
    n_waiting = 0  # less than a batch
    for window in windows:
        start, size = 0, len(window.positions)
        while (n := n_waiting + size - start) >= spec.batch_size:
            n = min(n // spec.batch_size * spec.batch_size, spec.most_gathered)
            stop = start + n - n_waiting
            pieces = [*waiting, (window, start, stop)]
            waiting, n_waiting, start = [], 0, stop
            yield _assemble(pieces, spec).cut(spec.batch_size)
            del pieces
        if start < size:
            # The whole window need not be held for the few rows that are left.
            rest = window.rest(start) if start else window
            waiting.append((rest, 0, size - start))
            n_waiting += size - start
        del window  # or it would be held while the next one is decoded
    if waiting:
        yield _assemble(waiting, spec).cut(spec.batch_size)


def to_numpy(batch: ArrayBatch) -> dict[str, Any]:
    """Return the batch as `dao.Store.generator` yields it; obs is indexed by ``index``."""
    obs = {name: column.to_pandas() for name, column in batch.obs.items()}
    return {
        "X": batch.matrices["X"],
        "obs": pd.DataFrame(obs, index=batch.index, copy=False),
        "layers": batch.group("layers"),
        "obsm": batch.group("obsm"),
        "index": batch.index,
    }


def _assemble(pieces: Sequence[tuple[Fetched, int, int]], spec: BatchSpec) -> ArrayBatch:
    positions = np.concatenate([w.positions[a:b] for w, a, b in pieces])
    index = np.concatenate([w.index[a:b] for w, a, b in pieces])
    matrices: dict[str, Any] = {}
    for name, how in spec.matrices.items():
        runs = list(stored_runs((w.matrices[name], a, b) for w, a, b in pieces))
        gather = gather_dense if how.dense else gather_csr
        matrices[name] = gather(runs, len(index), how.columns, how.dtype)
    obs = {name: column.take(positions) for name, column in spec.obs.items()}
    return ArrayBatch(matrices, obs, index)


def stored_runs(pieces: Iterable[tuple[Stored, int, int]]) -> Iterator[Run[Any]]:
    """Yield the rows of every part of every window that are wanted here."""
    out = 0
    for stored, start, stop in pieces:
        slot = stored.slot[start:stop]
        rows = np.arange(out, out + stop - start)
        out += stop - start
        if len(stored.parts) == 1:
            yield Run(stored.parts[0], slot, rows)
            continue
        part = stored.part[start:stop]
        for number, decoded in enumerate(stored.parts):
            here = np.flatnonzero(part == number)
            if len(here):
                yield Run(decoded, slot[here], rows[here])


def _cut(matrix: Any, bounds: Sequence[tuple[int, int]]) -> list[Any]:
    """Return ranges of rows of a matrix as views."""
    if isinstance(matrix, np.ndarray):
        return [matrix[a:b] for a, b in bounds]
    pieces: list[Any] = []
    for a, b in bounds:
        low, high = int(matrix.indptr[a]), int(matrix.indptr[b])
        indptr = matrix.indptr[a : b + 1] - low
        if pieces and b - a == pieces[0].shape[0]:
            # Ten times faster than scipy's constructor.
            piece = copy(pieces[0])
            piece.data, piece.indices = matrix.data[low:high], matrix.indices[low:high]
            piece.indptr = indptr
        else:
            arrays = matrix.data[low:high], matrix.indices[low:high], indptr
            piece = csr(*arrays, matrix.shape[1], is_sorted=matrix.has_sorted_indices)
        pieces.append(piece)
    return pieces
