"""One matrix of a study from source to store: read and arrange, shuffle, encode."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.format.encodings import ValueRange, dense_is_smaller, index_dtype, narrowest_dtype
from dao.format.manifest import MatrixInfo
from dao.write.arrange import Arrangement
from dao.write.encode import encode_pointers, encode_rows
from dao.write.layout import csr_layout, dense_layout
from dao.write.rows import Rows
from dao.write.spool import RowSpool
from dao.write.window import Arena

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from dao.write.layout import MatrixLayout
    from dao.write.matrix import SourceMatrix
    from dao.write.workers import Workers

__all__ = [
    "MatrixJob",
    "Workshop",
    "fill",
    "open_spool",
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
class MatrixJob:
    """A matrix that is to be written: what is known of it before its rows are read.

    Attributes
    ----------
    path
        Relative to the store, for example ``"datasets/gut/X"``.
    profile
        Key of `dao.format.encodings.PROFILES`.
    shape
        In the store.
    targets
        Place in the store of each source column, -1 to leave it out.
    dtype, encoding
        Of the source.
    columns
        Names of the columns of an obsm that was a DataFrame.
    force_dense
        Whether it is dense whatever is smaller.
    """

    path: str
    profile: str
    shape: tuple[int, int]
    targets: NDArray[np.int32]
    dtype: np.dtype[Any]
    encoding: str
    columns: tuple[str, ...] | None = None
    force_dense: bool = False

    @property
    def plain(self) -> np.dtype[Any]:
        """The dtype in which values are computed with."""
        return plain_dtype(self.dtype)

    @property
    def in_parts(self) -> bool:
        """Whether rows arrive in parts."""
        return self.encoding == "csc"

    def arrangement(self) -> Arrangement:
        """Return what is done to every piece."""
        summed = bool(len(repeated_targets(self.targets)))
        return Arrangement(self.targets, self.shape[1], self.plain, summed=summed)

    def layout(self, values: ValueRange, nnz: int) -> MatrixLayout:
        """Return how it will lie on disk, with these values."""
        dtype, indices = narrowest_dtype(values, self.plain), index_dtype(self.shape[1])
        smaller = dense_is_smaller(self.shape, nnz, dtype.itemsize, indices.itemsize)
        if self.force_dense or smaller:
            return dense_layout(self.path, self.profile, self.shape, dtype)
        return csr_layout(self.path, self.profile, self.shape, nnz, dtype, indices)

    def info(
        self,
        root: Path,
        layout: MatrixLayout,
        values: ValueRange,
        nnz: int,
        sizes: Mapping[str, list[int]],
    ) -> MatrixInfo:
        """Return what the manifest says of it, when it is written."""
        summed = bool(len(repeated_targets(self.targets)))
        return MatrixInfo(
            encoding=layout.encoding,
            shape=self.shape,
            nnz=nnz,
            source_dtype=str(returned_dtype(self.dtype, layout.rows.dtype, values, summed=summed)),
            source_encoding=self.encoding,
            minimum=values.minimum,
            maximum=values.maximum,
            arrays={name: a.info(root, sizes[name]) for name, a in layout.arrays.items()},
            columns=self.columns,
        )


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
    job: MatrixJob,
    matrix: SourceMatrix,
    destinations: NDArray[np.int64],
    root: Path,
    shop: Workshop,
    progress: Callable[[int], None] = lambda _: None,
) -> MatrixInfo:
    """Write one matrix of a study.

    Parameters
    ----------
    destinations
        Place in the store of each source row, -1 to leave it out.
    root
        Folder of the store.
    progress
        Called with the number of source elements read since the last call.
    """
    folder = (root / job.path).parent
    folder.mkdir(parents=True, exist_ok=True)
    with open_spool(job, matrix.n_stored, shop, folder) as spool:
        fill(spool, matrix, job, destinations, shop, progress)
        values, indptr = spool.range, spool.indptr()
        nnz = int(indptr[-1])
        layout = job.layout(values, nnz)
        layout.create(root)
        sizes = encode_rows(root, layout, spool, indptr, shop.workers)
        sizes |= encode_pointers(root, layout, indptr, shop.workers)
    return job.info(root, layout, values, nnz, sizes)


def open_spool(
    job: MatrixJob, n_stored: int, shop: Workshop, folder: Path, file: Path | None = None
) -> RowSpool:
    """Return a spool for about so many elements; see `RowSpool`."""
    expected = n_stored * (index_dtype(job.shape[1]).itemsize + max(2, job.plain.itemsize))
    shop.arena.ensure(min(shop.arena.limit, expected))
    return RowSpool(
        job.shape,
        job.plain,
        arena=shop.arena,
        workers=shop.workers,
        folder=folder,
        in_parts=job.in_parts,
        file=file,
    )


def fill(
    spool: RowSpool,
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
    lines
        Which lines of the axis that the source is read along; all if None.
    """
    lines = range(len(matrix.boundaries) - 1) if lines is None else lines
    arrangement = job.arrangement()
    if job.in_parts and arrangement.summed:
        # Columns that are summed must meet in one piece; all others follow without them.
        repeats = repeated_targets(job.targets)
        if lines.start == 0:
            rows = _columns_of(matrix, repeats, shop)
            spool.add(destinations, arrangement(rows, destinations >= 0, shop.workers.scratch))
        targets = job.targets.copy()
        targets[repeats] = -1
        arrangement = replace(arrangement, targets=targets, summed=False)

    def bring(start: int, stop: int) -> tuple[int, int, bool]:
        rows = matrix.read(start, stop, shop.workers.scratch)
        first = 0 if job.in_parts else start
        places = destinations[first : first + len(rows)]
        arranged = arrangement(rows, places >= 0, shop.workers.scratch)
        return start, stop, spool.add(places, arranged)

    todo = deque(matrix.pieces(shop.piece_elements, lines))
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
