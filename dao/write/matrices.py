"""One matrix of a study from source to store: read and arrange, shuffle, encode."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.format.encodings import ValueRange, dense_is_smaller, index_dtype, narrowest_dtype
from dao.format.manifest import MatrixInfo
from dao.write.arrange import Arrangement
from dao.write.encode import Target, write_csr, write_dense
from dao.write.rows import Rows
from dao.write.spool import RowSpool
from dao.write.window import Arena

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from dao.write.matrix import SourceMatrix
    from dao.write.workers import Workers

__all__ = [
    "RowOrder",
    "Workshop",
    "plain_dtype",
    "repeated_targets",
    "returned_dtype",
    "write_matrix",
]

# Shares of the memory budget: rows that wait for their places take half of it, and the pieces
# that the threads have in hand at a time a quarter, with about this much per element.
_ARENA_SHARE, _PIECE_SHARE = 2, 4
_BYTES_PER_ELEMENT = 40


@dataclass(frozen=True, slots=True)
class RowOrder:
    """Where rows go: ``destinations[i]`` is the place of source row i in the store, or -1."""

    destinations: NDArray[np.int64]
    n_obs: int


@dataclass(frozen=True, slots=True)
class Workshop:
    """What all matrices of a write use in turn."""

    workers: Workers
    arena: Arena
    piece_elements: int

    @classmethod
    def within(cls, memory: int, workers: Workers) -> Workshop:
        """Return one that stays within so many bytes."""
        elements = memory // _PIECE_SHARE // workers.n // _BYTES_PER_ELEMENT
        return cls(workers, Arena(memory // _ARENA_SHARE), max(1, elements))


def write_matrix(
    matrix: SourceMatrix,
    target: Target,
    order: RowOrder,
    shop: Workshop,
    *,
    columns: NDArray[np.int64] | None,
    n_vars: int,
    force_dense: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> MatrixInfo:
    """Write one matrix of a study.

    Parameters
    ----------
    columns
        Place in the feature space of each source column, -1 to leave it out; None for obsm.
    n_vars
        Columns of the matrix in the store.
    progress
        Called with the number of source elements read since the last call.
    """
    shape = order.n_obs, n_vars
    targets = (np.arange(n_vars) if columns is None else columns).astype(np.int32)
    plain = plain_dtype(matrix.dtype)
    summed = bool(len(repeated_targets(targets)))
    arrangement = Arrangement(targets, n_vars, plain, summed=summed)
    folder = (target.root / target.path).parent
    folder.mkdir(parents=True, exist_ok=True)
    indices = index_dtype(n_vars)
    expected = matrix.n_stored * (indices.itemsize + max(2, plain.itemsize))
    shop.arena.ensure(min(shop.arena.limit, expected))
    with RowSpool(
        shape,
        plain,
        arena=shop.arena,
        workers=shop.workers,
        folder=folder,
        in_parts=matrix.encoding == "csc",
    ) as spool:
        _fill(spool, matrix, arrangement, order.destinations, shop, progress)
        values, nnz = spool.range, int(spool.lengths.sum())
        dtype = narrowest_dtype(values, plain)
        dense = force_dense or dense_is_smaller(shape, nnz, dtype.itemsize, indices.itemsize)
        if dense:
            arrays = write_dense(target, spool, shape, dtype, shop.workers)
        else:
            arrays = write_csr(target, spool, shape, dtype, indices, shop.workers)
    return MatrixInfo(
        encoding="dense" if dense else "csr",
        shape=shape,
        nnz=nnz,
        source_dtype=str(returned_dtype(matrix.dtype, dtype, values, summed=summed)),
        source_encoding=matrix.encoding,
        minimum=values.minimum,
        maximum=values.maximum,
        arrays=arrays,
        columns=matrix.columns,
    )


def _fill(
    spool: RowSpool,
    matrix: SourceMatrix,
    arrangement: Arrangement,
    destinations: NDArray[np.int64],
    shop: Workshop,
    progress: Callable[[int], None],
) -> None:
    """Bring all rows of a source into the spool."""
    if matrix.encoding == "csc" and arrangement.summed:
        # Columns that are summed must meet in one piece; all others follow without them.
        repeats = repeated_targets(arrangement.targets)
        rows = _columns_of(matrix, repeats, shop)
        spool.add(destinations, arrangement(rows, destinations >= 0, shop.workers.scratch))
        targets = arrangement.targets.copy()
        targets[repeats] = -1
        arrangement = replace(arrangement, targets=targets, summed=False)

    def bring(start: int, stop: int) -> tuple[int, int, bool]:
        rows = matrix.read(start, stop, shop.workers.scratch)
        first = 0 if matrix.encoding == "csc" else start
        places = destinations[first : first + len(rows)]
        arranged = arrangement(rows, places >= 0, shop.workers.scratch)
        return start, stop, spool.add(places, arranged)

    todo = deque(matrix.pieces(shop.piece_elements))
    refused: list[tuple[int, int]] = []

    def offered() -> Iterator[tuple[int, int]]:
        while todo and not refused:
            yield todo.popleft()

    while todo:
        for start, stop, fitted in shop.workers.map(bring, offered()):
            if fitted:
                progress(int(matrix.boundaries[stop] - matrix.boundaries[start]))
            else:
                refused.append((start, stop))
        if refused:
            spool.spill()
            todo.extendleft(reversed(refused))
            refused.clear()


def repeated_targets(targets: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the source columns that share their place with another one."""
    if not (targets >= 0).any():
        return np.empty(0, np.int64)
    counts = np.bincount(targets[targets >= 0])
    return np.flatnonzero((targets >= 0) & (counts[np.maximum(targets, 0)] > 1))


def _columns_of(matrix: SourceMatrix, columns: NDArray[np.int64], shop: Workshop) -> Rows:
    """Return some columns of a CSC matrix as rows."""
    lines, numbers, values = [], [], []
    for column in columns:
        part = matrix.read(int(column), int(column) + 1, shop.workers.scratch)
        lines.append(np.repeat(np.arange(len(part)), np.diff(part.indptr)))
        numbers.append(part.columns.copy())
        values.append(part.values.copy())
    rows = np.concatenate(lines)
    order = np.argsort(rows, kind="stable")
    indptr = np.append(0, np.cumsum(np.bincount(rows, minlength=matrix.shape[0])))
    return Rows(indptr, np.concatenate(numbers)[order], np.concatenate(values)[order])


def plain_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which values are computed with."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def returned_dtype(
    source: np.dtype[Any], stored: np.dtype[Any], values: ValueRange, *, summed: bool
) -> np.dtype[Any]:
    """Return the source's dtype, or a wider one where summed features outgrew it."""
    if source.kind == "b":
        return stored if values.maximum > 1 else source
    if source.kind in "iu":
        info: np.iinfo[Any] = np.iinfo(source)
        outgrown = values.minimum < info.min or values.maximum > info.max
        return stored if outgrown else source
    return stored if summed and source == np.float16 else source
