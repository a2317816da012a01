"""Fill: the pieces of a source matrix, read and arranged by all threads, go into a spool."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dao.write.arrange import repeated_targets
from dao.write.buckets import BucketSpool
from dao.write.distribute import Distribution
from dao.write.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from dao.write.matrices import MatrixJob, Workshop
    from dao.write.matrix import SourceMatrix
    from dao.write.spool import RowSpool
    from dao.write.workers import Scratch

    # Reads lines from one to another into a spool; False if there is no room before it spills.
    Bring = Callable[[int, int], bool]

__all__ = ["fill"]


def fill(
    spool: RowSpool | BucketSpool,
    matrix: SourceMatrix,
    job: MatrixJob,
    destinations: NDArray[np.int64],
    shop: Workshop,
    progress: Callable[[int], None],
    lines: range | None = None,
) -> None:
    """Bring rows of a source into a spool.

    Parameters
    ----------
    destinations
        Place in the store of each source row, -1 to leave it out.
    progress
        Called with the number of source elements read since the last call.
    lines
        Which lines of the axis that the source is read along; all if None.
    """
    lines = range(len(matrix.boundaries) - 1) if lines is None else lines
    scratch = shop.workers.scratch
    if isinstance(spool, BucketSpool):
        bring = _by_columns(spool, matrix, job, destinations, scratch, lines)
    else:
        bring = _by_rows(spool, matrix, job, destinations, scratch)
    todo = deque(matrix.pieces(shop.piece_elements, lines))
    refused: list[tuple[int, int]] = []

    def offered() -> Iterator[tuple[int, int]]:
        while todo and not refused:
            yield todo.popleft()

    def brought(start: int, stop: int) -> tuple[int, int, bool]:
        return start, stop, bring(start, stop)

    while todo:
        for start, stop, fitted in shop.workers.map(brought, offered()):
            if fitted:
                progress(int(matrix.boundaries[stop] - matrix.boundaries[start]))
            else:
                refused.append((start, stop))
        if refused:
            spool.spill()
            todo.extendleft(reversed(refused))
            refused.clear()


def _by_rows(
    spool: RowSpool,
    matrix: SourceMatrix,
    job: MatrixJob,
    destinations: NDArray[np.int64],
    scratch: Scratch,
) -> Bring:
    arrangement = job.arrangement()

    def bring(start: int, stop: int) -> bool:
        places = destinations[start:stop]
        rows = matrix.read(start, stop, scratch)
        return spool.add(places, arrangement(rows, places >= 0, scratch))

    return bring


def _by_columns(
    spool: BucketSpool,
    matrix: SourceMatrix,
    job: MatrixJob,
    destinations: NDArray[np.int64],
    scratch: Scratch,
    lines: range,
) -> Bring:
    arrangement = job.arrangement()
    distribution = Distribution(spool.buckets, destinations.astype(np.int32), arrangement)
    if arrangement.summed:
        # Columns that are summed must meet in one piece; all others follow without them.
        repeats = repeated_targets(job.targets)
        if lines.start == 0:
            spool.add(distribution.rows(_columns_of(matrix, repeats, scratch), scratch))
        targets = job.targets.copy()
        targets[repeats] = -1
        others = replace(arrangement, targets=targets, summed=False)
        distribution = replace(distribution, arrangement=others)

    def bring(start: int, stop: int) -> bool:
        return spool.add(distribution(matrix.read(start, stop, scratch), start, scratch))

    return bring


def _columns_of(matrix: SourceMatrix, columns: NDArray[np.int64], scratch: Scratch) -> Rows:
    """Return some columns of a CSC matrix as rows."""
    lines, numbers, values = [], [], []
    for column in columns:
        part = matrix.read(int(column), int(column) + 1, scratch)
        lines.append(part.columns.copy())
        numbers.append(np.full(len(part.columns), column, np.int32))
        values.append(part.values.copy())
    rows = np.concatenate(lines)
    order = np.argsort(rows, kind="stable")
    indptr = np.append(0, np.cumsum(np.bincount(rows, minlength=matrix.shape[0])))
    return Rows(indptr, np.concatenate(numbers)[order], np.concatenate(values)[order])
