"""Batch: consecutive slices of the row stream, across windows, in their final form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dao.batches.fetch import fetch
from dao.batches.gather import csr
from dao.batches.locate import locate
from dao.batches.segment import Segment, join, segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from dao.batches.fetch import Fetched
    from dao.batches.spec import BatchSpec
    from dao.batches.stream import Stream
    from dao.obs import Column
    from dao.store import Store


__all__ = ["ArrayBatch", "batches", "taken", "to_numpy"]


@dataclass(frozen=True, slots=True)
class ArrayBatch:
    """A batch in NumPy and scipy terms, before a framework's types."""

    matrices: Mapping[str, sp.csr_matrix | NDArray[Any]]
    obs: Mapping[str, Column]
    index: NDArray[np.int64]
    extras: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    _frame: Callable[[], pd.DataFrame] | None = None

    def frame(self) -> pd.DataFrame:
        """Return obs as a DataFrame, indexed by ``index``."""
        if self._frame is not None:
            return self._frame()
        columns = {name: column.to_pandas() for name, column in self.obs.items()}
        return pd.DataFrame(columns, index=self.index, copy=False)

    def cut(self, ends: Sequence[int]) -> list[ArrayBatch]:
        """Return the batches that end at these rows, as views of this one."""
        if len(ends) == 1:
            return [self]
        bounds = list(pairwise([0, *ends]))
        matrices = {name: _cut(matrix, bounds) for name, matrix in self.matrices.items()}
        # Only where it is asked for, and then once: pandas takes long to make one.
        whole = cache(self.frame)
        return [
            ArrayBatch(
                {name: pieces[i] for name, pieces in matrices.items()},
                _Columns(self.obs, slice(a, b)),
                self.index[a:b],
                _frame=lambda a=a, b=b: _rows(whole(), a, b),  # type: ignore[misc]
            )
            for i, (a, b) in enumerate(bounds)
        ]

    def group(self, kind: str) -> dict[str, Any]:
        """Return the layers (``"layers"``) or obsm (``"obsm"``) by their own names."""
        prefix = f"{kind}/"
        return {k.removeprefix(prefix): v for k, v in self.matrices.items() if k.startswith(prefix)}


def batches(
    windows: Iterable[Fetched], spec: BatchSpec, stream: Stream
) -> Iterator[list[ArrayBatch]]:
    """Cut the fetched windows of a stream into batches.

    They come several at a time, because small batches are made as views of a larger one.
    """
    waiting: list[Segment] = []
    given = read = 0
    for window in windows:
        for number in range(len(window.cuts) - 1):
            waiting.append(segment(window, number, spec.matrices))
            read += len(waiting[-1])
            ends = stream.ends(given, read)
            if len(ends) and ends[-1] == read:
                joined, waiting = join(waiting), []
                pieces = _with_obs(joined, spec).cut((ends - given).tolist())
                starts, given = [given, *ends[:-1].tolist()], read
                yield [
                    _with_extras(piece, spec, stream, start)
                    for piece, start in zip(pieces, starts, strict=True)
                ]
                del joined, pieces
        del window  # or it would be held while the next one is decoded


def taken(store: Store, spec: BatchSpec, positions: NDArray[np.int64]) -> ArrayBatch:
    """Return any rows of a selection as one batch."""
    cuts = [0, len(positions)]
    rows = locate(store.manifest, store.selection, positions, cuts)
    window = fetch(store.reader, spec.matrices, rows)
    return _with_extras(_with_obs(segment(window, 0, spec.matrices), spec), spec)


def to_numpy(batch: ArrayBatch) -> dict[str, Any]:
    """Return the batch as `dao.Store.generator` yields it; obs is indexed by ``index``."""
    return {
        "X": batch.matrices["X"],
        "obs": batch.frame(),
        "layers": batch.group("layers"),
        "obsm": batch.group("obsm"),
        "index": batch.index,
        **batch.extras,
    }


def _with_extras(
    batch: ArrayBatch, spec: BatchSpec, stream: Stream | None = None, start: int = 0
) -> ArrayBatch:
    extras = {} if stream is None else dict(stream.extras(start, len(batch.index)))
    if spec.measured is not None:
        extras["measured"] = spec.measured.rows(batch.index)
    return replace(batch, extras=extras) if extras else batch


def _with_obs(rows: Segment, spec: BatchSpec) -> ArrayBatch:
    for step, column in spec.steps:
        step.apply(rows.matrices["X"], column, rows.positions)
    obs = {name: column.take(rows.positions) for name, column in spec.obs.items()}
    return ArrayBatch(rows.matrices, obs, rows.index)


class _Columns(Mapping[str, "Column"]):
    """Some rows of obs columns, taken when they are asked for."""

    __slots__ = ("columns", "rows")

    def __init__(self, columns: Mapping[str, Column], rows: slice) -> None:
        self.columns, self.rows = columns, rows

    def __getitem__(self, name: str) -> Column:
        return self.columns[name].take(self.rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)


def _rows(frame: pd.DataFrame, start: int, stop: int) -> pd.DataFrame:
    """Return some rows that nobody else has, as a DataFrame of its own: no copy of the values."""
    rows = frame.iloc[start:stop]
    # Before pandas 3 this made a warning of every later change; a shallow copy would too, slowly.
    rows._is_copy = None  # type: ignore[attr-defined]  # noqa: SLF001
    return rows


def _cut(matrix: Any, bounds: Sequence[tuple[int, int]]) -> list[Any]:
    """Return ranges of rows of a matrix as views."""
    if isinstance(matrix, np.ndarray):
        return [matrix[a:b] for a, b in bounds]
    pieces: list[Any] = []
    for a, b in bounds:
        low, high = int(matrix.indptr[a]), int(matrix.indptr[b])
        indptr = matrix.indptr[a : b + 1] - low
        if pieces and b - a == pieces[0].shape[0]:
            # Thirty times faster than scipy's constructor.
            piece = object.__new__(type(matrix))
            piece.__dict__.update(pieces[0].__dict__)
            piece.data, piece.indices = matrix.data[low:high], matrix.indices[low:high]
            piece.indptr = indptr
        else:
            arrays = matrix.data[low:high], matrix.indices[low:high], indptr
            piece = csr(*arrays, matrix.shape[1], is_sorted=matrix.has_sorted_indices)
        pieces.append(piece)
    return pieces
