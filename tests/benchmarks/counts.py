"""Draw UMI counts: for each cell and gene, Poisson(library * weight * Gamma(4, 1/4)).

That mixture is a negative binomial with r = 4, drawn here by inverting its distribution from one
uniform number. The probability of zero needs no exp() or log(), and most entries are zero, so a
cell of 18,000 expressed genes costs about 0.1 ms.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ROWS_PER_SLAB = 1024
LARGEST_COUNT = 65_535  # ends the inversion where rounding keeps the sum of terms just below 1
VALUE_BINS = {"1": (1, 2), "2": (2, 3), "3": (3, 4), "4-7": (4, 8), "8-15": (8, 16), ">15": (16, 0)}
DETECTION_RANKS = (0.01, 0.05, 0.10, 0.20, 0.30, 0.50)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@numba.njit(cache=True, inline="always")
def _mix(state: np.uint64) -> np.uint64:
    """Return splitmix64's output for one state: random bits without a generator to carry around."""
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@numba.njit(nogil=True, cache=True)
def _draw(
    key: np.uint64,
    first: int,
    library: NDArray[Any],
    kinds: NDArray[Any],
    weights: NDArray[Any],
    columns: NDArray[Any],
    indices: NDArray[np.int32],
    data: NDArray[np.float32],
    row_nnz: NDArray[np.int64],
) -> int:
    """Append the non-zero counts of each cell to `indices` and `data`; return their number."""
    n = 0
    for row in range(len(library)):
        # Keyed by the row, so the counts do not depend on slab size or number of threads.
        state = _mix(key ^ _mix(np.uint64(first + row) + GOLDEN))
        start = n
        kind = kinds[row]
        scale = library[row] / 4.0
        for gene in range(len(columns)):
            state += GOLDEN
            uniform = np.int64(_mix(state) >> np.uint64(11)) * 2.0**-53
            odds = scale * weights[kind, gene]
            stop = 1.0 / (1.0 + odds)
            term = stop * stop * stop * stop
            if uniform < term:
                continue
            below = term
            count = 0
            while below <= uniform and count < LARGEST_COUNT:
                count += 1
                term *= odds * stop * (count + 3) / count
                below += term
            indices[n] = columns[gene]
            data[n] = count
            n += 1
        row_nnz[row] = n - start
    return n


def draw_counts(
    seed: int,
    library: NDArray[Any],
    kinds: NDArray[Any],
    weights: NDArray[Any],
    columns: NDArray[Any],
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]]:
    """Yield (indices, data, nnz of each row) slab by slab, drawn ahead on all cores.

    Parameters
    ----------
    seed
        The same seed gives the same counts, whatever the number of threads.
    library
        Expected total of each cell.
    kinds
        Row of `weights` for each cell.
    weights
        Share of each expressed gene, for each kind of cell.
    columns
        Ascending column of each expressed gene, which makes the rows come out sorted.
    """
    key = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]

    def slab(first: int) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
        rows = slice(first, min(first + ROWS_PER_SLAB, len(library)))
        row_nnz = np.empty(rows.stop - rows.start, np.int64)
        # The worst case; pages that are never written cost no memory.
        indices = np.empty(len(row_nnz) * len(columns), np.int32)
        data = np.empty(len(indices), np.float32)
        args = key, first, library[rows], kinds[rows], weights, columns, indices, data, row_nnz
        n = _draw(*args)
        return indices[:n].copy(), data[:n].copy(), row_nnz

    workers = os.cpu_count() or 1
    # Not pool.map: it would hold every slab that the consumer has not taken yet.
    pending: deque[Future[tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]]]
    pending = deque()
    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, len(library), ROWS_PER_SLAB):
            pending.append(pool.submit(slab, first))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


class Statistics:
    """What a written atlas looks like, to compare with real data and to check readers against."""

    def __init__(self, genes: int) -> None:
        """Start with nothing counted."""
        self.totals = np.zeros(genes, np.int64)
        self.detected = np.zeros(genes, np.int64)
        self.values = np.zeros(1 << 16, np.int64)

    def add(self, genes: NDArray[Any], data: NDArray[np.float32]) -> None:
        """Count the non-zero entries of some cells."""
        size = len(self.totals)
        self.totals += np.bincount(genes, data, size).astype(np.int64)
        self.detected += np.bincount(genes, minlength=size)
        self.values += np.bincount(data.astype(np.int64), minlength=len(self.values))

    def summary(self, cells: int) -> dict[str, Any]:
        """Return the figures that the recipe was fitted to."""
        nnz = int(self.values.sum())
        ranked = np.sort(self.detected)[::-1] / cells
        shares = {k: self.values[a : b or None].sum() / nnz for k, (a, b) in VALUE_BINS.items()}
        return {
            "nnz": nnz,
            "total": int(self.totals.sum()),
            "nnz_per_cell": round(nnz / cells, 1),
            "umis_per_cell": round(float(self.totals.sum()) / cells, 1),
            "largest": int(np.flatnonzero(self.values)[-1]),
            "values": {k: round(float(v), 4) for k, v in shares.items()},
            "detection": {
                f"{r:.0%}": round(float(ranked[int(len(ranked) * r)]), 3) for r in DETECTION_RANKS
            },
        }
