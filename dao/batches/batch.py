"""Batch: consecutive slices of the row stream, across windows, in their final form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dao.batches.gather import Run, gather_csr, gather_dense

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from dao.batches.columns import ColumnMap
    from dao.batches.fetch import Fetched
    from dao.obs import Column

__all__ = ["ArrayBatch", "BatchSpec", "MatrixSpec", "batches", "to_numpy"]


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


@dataclass(frozen=True, slots=True)
class ArrayBatch:
    """A batch in NumPy and scipy terms, before a framework's types."""

    matrices: Mapping[str, sp.csr_matrix | NDArray[Any]]
    obs: Mapping[str, Column]
    index: NDArray[np.int64]

    def group(self, kind: str) -> dict[str, Any]:
        """Return the layers (``"layers"``) or obsm (``"obsm"``) by their own names."""
        prefix = f"{kind}/"
        return {k.removeprefix(prefix): v for k, v in self.matrices.items() if k.startswith(prefix)}


def batches(windows: Iterable[Fetched], spec: BatchSpec) -> Iterator[ArrayBatch]:
    """Cut a stream of fetched windows into batches; the last one may be smaller."""
    waiting: list[tuple[Fetched, int, int]] = []
    n_waiting = 0
    for window in windows:
        start, size = 0, len(window.positions)
        while start < size:
            n = min(size - start, spec.batch_size - n_waiting)
            waiting.append((window, start, start + n))
            n_waiting += n
            start += n
            if n_waiting == spec.batch_size:
                yield _assemble(waiting, spec)
                waiting, n_waiting = [], 0
    if waiting:
        yield _assemble(waiting, spec)


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
    places = list(_places(pieces))
    matrices: dict[str, Any] = {}
    for name, how in spec.matrices.items():
        runs = [Run(w.parts[part][name], slots, rows) for w, part, slots, rows in places]
        gather = gather_dense if how.dense else gather_csr
        matrices[name] = gather(runs, len(index), how.columns, how.dtype)
    obs = {name: column.take(positions) for name, column in spec.obs.items()}
    return ArrayBatch(matrices, obs, index)


def _places(
    pieces: Sequence[tuple[Fetched, int, int]],
) -> Iterator[tuple[Fetched, int, NDArray[np.int64], NDArray[np.int64]]]:
    """Yield (window, part, slots, rows of the batch) for every part that has rows here."""
    out = 0
    for window, start, stop in pieces:
        part, slot = window.part[start:stop], window.slot[start:stop]
        rows = np.arange(out, out + stop - start)
        out += stop - start
        for number in np.unique(part).tolist():
            here = part == number
            yield window, number, slot[here], rows[here]
