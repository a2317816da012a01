"""Plan: which chunks hold the wanted rows, and where the rows will lie once those are decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ChunkPlan", "plan_ranges"]


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """Chunks to decode, each once, side by side into one buffer.

    Attributes
    ----------
    chunks
        int64, ascending, unique.
    starts
        int64: where each wanted range begins in the buffer of the decoded chunks.
    """

    chunks: NDArray[np.int64]
    starts: NDArray[np.int64]


def plan_ranges(starts: NDArray[Any], stops: NDArray[Any], chunk: int) -> ChunkPlan:
    """Plan the decoding of element ranges ``[starts[i], stops[i])`` of a chunked array.

    Chunks that follow each other in the array follow each other in the buffer, so a range
    that spans several is whole there too. Empty ranges need no chunk and start at 0.

    Parameters
    ----------
    starts, stops
        Element ranges, in any order, overlapping or not.
    chunk
        Elements per chunk.
    """
    wanted = stops > starts
    if not wanted.any():
        return ChunkPlan(np.empty(0, np.int64), np.zeros(len(starts), np.int64))
    first = starts // chunk
    last = (stops - 1) // chunk
    low = int(first[wanted].min())
    span = int(last[wanted].max()) - low + 1
    opened = np.bincount(first[wanted] - low, minlength=span + 1)
    closed = np.bincount(last[wanted] + 1 - low, minlength=span + 1)
    touched = np.cumsum(opened - closed)[:span] > 0
    place = np.cumsum(touched) - 1
    buffer_starts = np.zeros(len(starts), np.int64)
    buffer_starts[wanted] = place[first[wanted] - low] * chunk + starts[wanted] % chunk
    return ChunkPlan(np.flatnonzero(touched) + low, buffer_starts)
