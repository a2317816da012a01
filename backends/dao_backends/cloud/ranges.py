"""From chunks that are wanted to requests: neighbours are read together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Piece", "merged"]

# Bytes between two chunks that are rather read than asked past: about what a connection brings
# while an answer is awaited.
GAP = 512 << 10
# A request that is larger than this is cut, so that parts of it come at the same time.
LARGEST = 16 << 20


class Piece(NamedTuple):
    """Bytes to ask for at once, and the chunks that lie in them, wanted or between wanted ones."""

    start: int
    stop: int
    chunks: NDArray[np.int64]


def merged(
    wanted: NDArray[np.int64],
    offsets: NDArray[np.int64],
    sizes: NDArray[np.int64],
    closed: NDArray[np.bool_] | None = None,
) -> list[Piece]:
    """Return the fewest requests that bring the wanted chunks.

    Parameters
    ----------
    wanted
        Numbers of chunks, each once, none of zeros and none closed.
    offsets, sizes
        Of all chunks of the shard; size -1 for those of zeros.
    closed
        Chunks that are not to be read, even if they lie between wanted ones; None for none.
    """
    if not len(wanted):
        return []
    order = wanted[np.argsort(offsets[wanted])]
    starts, stops = offsets[order], offsets[order] + sizes[order]
    apart = np.zeros(len(order) + 1, np.bool_)
    apart[1:-1] = starts[1:] - stops[:-1] > GAP
    apart[-1] = True
    if closed is not None:
        before = np.searchsorted(np.sort(offsets[closed & (sizes > 0)]), starts)
        apart[1:-1] |= np.diff(before) > 0
    pieces = []
    first = 0
    for i in range(1, len(order) + 1):
        if apart[i] or stops[i] - starts[first] > LARGEST:
            start, stop = int(starts[first]), int(stops[i - 1])
            inside = (sizes >= 0) & (offsets >= start) & (offsets + sizes <= stop)
            pieces.append(Piece(start, stop, np.flatnonzero(inside)))
            first = i
    return pieces
