"""Segment: a stretch of a window whose matrices are in their final form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.batches.gather import Run, check_run, csr, gather_csr, gather_dense
from dao.buffers import empty

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import scipy.sparse as sp
    from numpy.typing import NDArray

    from dao.batches.fetch import Fetched, Stored
    from dao.batches.spec import MatrixSpec

__all__ = ["Segment", "join", "segment"]


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive rows of the stream, without obs.

    Attributes
    ----------
    positions
        Of each row in the selection.
    index
        Of each row in the whole store.
    matrices
        By name, one row for each position.
    """

    positions: NDArray[np.int64]
    index: NDArray[np.int64]
    matrices: Mapping[str, sp.csr_matrix | NDArray[Any]]

    def __len__(self) -> int:
        return len(self.index)


def segment(window: Fetched, number: int, matrices: Mapping[str, MatrixSpec]) -> Segment:
    """Return one stretch of a window: as it was decoded, or gathered now."""
    start, stop = window.cuts[number], window.cuts[number + 1]
    final: dict[str, Any] = {}
    for name, how in matrices.items():
        if name in window.final:
            final[name] = window.final[name][number]
            continue
        stored = window.stored[name]
        columns = how.columns.chosen if stored.is_chosen else how.columns
        gather = gather_dense if how.dense else gather_csr
        runs = list(_runs(stored, start, stop))
        for run in runs:
            if how.must_look_at(run.rows.values.dtype):
                check_run(name, run, columns, how.dtype)
        final[name] = gather(runs, stop - start, columns, how.dtype)
    return Segment(window.positions[start:stop], window.index[start:stop], final)


def join(segments: Sequence[Segment]) -> Segment:
    """Return segments as one."""
    if len(segments) == 1:
        return segments[0]
    return Segment(
        np.concatenate([s.positions for s in segments]),
        np.concatenate([s.index for s in segments]),
        {name: _stack([s.matrices[name] for s in segments]) for name in segments[0].matrices},
    )


def _stack(matrices: Sequence[Any]) -> Any:
    if isinstance(matrices[0], np.ndarray):
        return _concatenated(matrices)
    data = _concatenated([m.data for m in matrices])
    indices = _concatenated([m.indices for m in matrices])
    indptr = np.zeros(1 + sum(m.shape[0] for m in matrices), np.int64)
    np.cumsum(np.concatenate([np.diff(m.indptr) for m in matrices]), out=indptr[1:])
    if indptr[-1] <= np.iinfo(np.int32).max:
        indptr = indptr.astype(np.int32)
    ordered = all(m.has_sorted_indices for m in matrices)
    return csr(data, indices, indptr, matrices[0].shape[1], is_sorted=ordered)


def _concatenated(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    n_items = sum(map(len, arrays))
    out = empty((n_items, *arrays[0].shape[1:]), arrays[0].dtype)
    return np.concatenate(arrays, out=out)


def _runs(stored: Stored, start: int, stop: int) -> Iterator[Run[Any]]:
    """Yield the rows of every part that are wanted."""
    slot, rows = stored.slot[start:stop], np.arange(stop - start)
    if len(stored.parts) == 1:
        yield Run(stored.parts[0], slot, rows)
        return
    part = stored.part[start:stop]
    for number, decoded in enumerate(stored.parts):
        here = np.flatnonzero(part == number)
        if len(here):
            yield Run(decoded, slot[here], here)
