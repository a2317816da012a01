"""One matrix of a study from source to store: read and arrange, shuffle, encode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.format.encodings import ValueRange, dense_is_smaller, index_dtype, narrowest_dtype
from dao.format.manifest import MatrixInfo
from dao.write.arrange import Arrangement, repeated_targets
from dao.write.buckets import BucketSpool
from dao.write.encode import encode_pointers, encode_rows
from dao.write.fill import fill
from dao.write.layout import csr_layout, dense_layout
from dao.write.spool import RowSpool
from dao.write.window import Arena

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from dao.write.buckets import Buckets
    from dao.write.layout import MatrixLayout
    from dao.write.matrix import SourceMatrix
    from dao.write.workers import Workers

__all__ = [
    "MatrixJob",
    "Workshop",
    "open_spool",
    "plain_dtype",
    "returned_dtype",
    "write_matrix",
]

# Shares of the memory budget: rows that wait for their places take half of it, and the pieces
# that the threads have in hand at a time a quarter, with about this much per element. While values
# of columns wait, rows are made of them in an eighth.
_ARENA_SHARE, _PIECE_SHARE, _TURNING_SHARE = 2, 4, 8
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
    buckets
        Of its rows, if the source has columns.
    """

    path: str
    profile: str
    shape: tuple[int, int]
    targets: NDArray[np.int32]
    dtype: np.dtype[Any]
    encoding: str
    columns: tuple[str, ...] | None = None
    force_dense: bool = False
    buckets: Buckets | None = None

    @property
    def plain(self) -> np.dtype[Any]:
        """The dtype in which values are computed with."""
        return plain_dtype(self.dtype)

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
    turning: Arena
    piece_elements: int

    @classmethod
    def within(cls, memory: int, workers: Workers) -> Workshop:
        """Return one that stays within so many bytes."""
        elements = memory // _PIECE_SHARE // workers.n // _BYTES_PER_ELEMENT
        arena, turning = Arena(memory // _ARENA_SHARE), Arena(memory // _TURNING_SHARE)
        return cls(workers, arena, turning, max(1, elements))


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
        values, indptr = spool.value_range, spool.indptr()
        nnz = int(indptr[-1])
        layout = job.layout(values, nnz)
        layout.create(root)
        sizes = encode_rows(root, layout, spool, indptr, shop.workers)
        sizes |= encode_pointers(root, layout, indptr, shop.workers)
    return job.info(root, layout, values, nnz, sizes)


def open_spool(
    job: MatrixJob, n_stored: int, shop: Workshop, folder: Path, file: Path | None = None
) -> RowSpool | BucketSpool:
    """Return a spool for about so many elements; see `RowSpool`."""
    buckets = job.buckets
    n_rows = job.shape[0] if buckets is None else buckets.n
    columns = index_dtype(job.shape[1]) if buckets is None else buckets.word
    expected = n_stored * (columns.itemsize + max(2, job.plain.itemsize))
    shop.arena.ensure(min(shop.arena.limit, expected))
    arena, workers = shop.arena, shop.workers
    spool = RowSpool(
        n_rows, columns, job.plain, arena=arena, workers=workers, folder=folder, file=file
    )
    return spool if buckets is None else BucketSpool(buckets, spool, shop.turning)


def plain_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which values are computed with."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def returned_dtype(
    source: np.dtype[Any], stored: np.dtype[Any], values: ValueRange, *, summed: bool
) -> np.dtype[Any]:
    """Return the source's dtype, or a wider one where sums of its values outgrew it.

    Parameters
    ----------
    source, stored
        The dtypes in the source and in the store.
    summed
        Whether several columns became one; ``values`` says whether entries of one place did.
    """
    if source.kind == "b":
        return stored if values.maximum > 1 else source
    if source.kind in "iu":
        info: np.iinfo[Any] = np.iinfo(source)
        outgrown = values.minimum < info.min or values.maximum > info.max
        return stored if outgrown else source
    if source.itemsize == 8 or not (summed or values.summed):
        return source
    return np.dtype(np.float32 if values.may_be_float32 else np.float64)
