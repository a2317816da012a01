"""Encode: blocks of rows in store order -> sharded Zarr arrays that anndata reads as they are."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from dao.format.encodings import PROFILES, chunking
from dao.format.manifest import ArrayInfo, FileInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import scipy.sparse as sp
    from numpy.typing import NDArray

__all__ = ["EncodedArrays", "file_info", "write_csr", "write_dense", "write_group"]


class _Process:
    """zarrs' thread pool does not come along into a forked child; zarr-python writes there."""

    forked = False

    @classmethod
    def after_fork(cls) -> None:
        cls.forked = True


os.register_at_fork(after_in_child=_Process.after_fork)

EncodedArrays = dict[str, ArrayInfo]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a matrix is written.

    Attributes
    ----------
    root
        Folder of the store.
    path
        Of the matrix, relative to the store, for example ``"datasets/gut/X"``.
    profile
        Key of `dao.format.encodings.PROFILES`.
    """

    root: Path
    path: str
    profile: str


def write_group(root: Path, path: str, attributes: dict[str, Any]) -> FileInfo:
    """Write a Zarr v3 group with these attributes; return its ``zarr.json``."""
    (root / path).mkdir(parents=True, exist_ok=True)
    zarr.open_group(str(root / path), mode="a", zarr_format=3, attributes=attributes)
    return file_info(root, f"{path}/zarr.json")


def write_csr(
    target: Target,
    blocks: Iterable[sp.csr_matrix],
    shape: tuple[int, int],
    nnz: int,
    value_dtype: np.dtype[Any],
    index_dtype: np.dtype[Any],
) -> EncodedArrays:
    """Write a sparse matrix as an anndata ``csr_matrix`` element."""
    attributes = {
        "encoding-type": "csr_matrix",
        "encoding-version": "0.1.0",
        "shape": list(shape),
    }
    write_group(target.root, target.path, attributes)
    data = _ArrayWriter(target, "data", (nnz,), value_dtype)
    indices = _ArrayWriter(target, "indices", (nnz,), index_dtype)
    indptr = np.zeros(shape[0] + 1, np.int64)
    row = 0
    for block in blocks:
        data.append(block.data)
        indices.append(block.indices)
        indptr[row + 1 : row + 1 + block.shape[0]] = np.diff(block.indptr)
        row += block.shape[0]
    np.cumsum(indptr, out=indptr)
    starts = _ArrayWriter(target, "indptr", indptr.shape, np.dtype(np.int64))
    starts.append(indptr)
    return {"data": data.close(), "indices": indices.close(), "indptr": starts.close()}


def write_dense(
    target: Target,
    blocks: Iterable[sp.csr_matrix],
    shape: tuple[int, int],
    value_dtype: np.dtype[Any],
) -> EncodedArrays:
    """Write a matrix as an anndata ``array`` element."""
    writer = _ArrayWriter(target, "", shape, value_dtype)
    for block in blocks:
        for part in _row_slices(block, max(1, (1 << 24) // max(1, shape[1]))):
            writer.append(part.astype(value_dtype).toarray())
    attributes = {"encoding-type": "array", "encoding-version": "0.2.0"}
    return {"": writer.close(attributes)}


def file_info(root: Path, path: str) -> FileInfo:
    """Return size and SHA-256 of a file of the store."""
    content = (root / path).read_bytes()
    return FileInfo(path, len(content), hashlib.sha256(content).hexdigest())


class _ArrayWriter:
    """Appends items to a sharded array, one whole shard at a time."""

    def __init__(
        self, target: Target, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self._root = target.root
        self._path = f"{target.path}/{name}" if name else target.path
        self._shape, self._dtype = shape, dtype
        width = max(1, int(np.prod(shape[1:])))
        self._chunk, self._shard = chunking(shape[0], width)
        profile: Any = PROFILES[target.profile]
        codec = BloscCodec(typesize=dtype.itemsize, shuffle="shuffle", **profile)
        with _rust_pipeline():
            self._array = zarr.create_array(
                str(self._root / self._path),
                shape=shape,
                dtype=dtype,
                chunks=(self._chunk, *(max(1, n) for n in shape[1:])),
                shards=(self._shard, *(max(1, n) for n in shape[1:])),
                compressors=[codec, Crc32cCodec()],
                fill_value=0,
                config={"write_empty_chunks": True},
            )
        self._buffer = np.empty((min(self._shard, max(1, shape[0])), *shape[1:]), dtype)
        self._filled, self._written = 0, 0

    def append(self, items: NDArray[Any]) -> None:
        """Add items; a shard is written as soon as it is whole."""
        at = 0
        while at < len(items):
            n = min(len(items) - at, len(self._buffer) - self._filled)
            self._buffer[self._filled : self._filled + n] = items[at : at + n]
            self._filled += n
            at += n
            if self._filled == len(self._buffer):
                self._flush()

    def close(self, attributes: dict[str, Any] | None = None) -> ArrayInfo:
        """Write the rest; return what the manifest says of the array."""
        self._flush()
        if attributes:
            self._array.attrs.update(attributes)
        if self._written != self._shape[0]:
            msg = f"{self._path}: {self._written} items written, {self._shape[0]} announced"
            raise RuntimeError(msg)
        n_shards = -(-self._shape[0] // self._shard)
        tail = "/0" * (len(self._shape) - 1)
        files = [self._root / f"{self._path}/c/{k}{tail}" for k in range(n_shards)]
        return ArrayInfo(
            dtype=str(self._dtype),
            shape=self._shape,
            chunk=self._chunk,
            shard=self._shard,
            # A shard of nothing but zeros is no file; the manifest says so by the size 0.
            shard_sizes=tuple(f.stat().st_size if f.exists() else 0 for f in files),
            metadata=file_info(self._root, f"{self._path}/zarr.json"),
        )

    def _flush(self) -> None:
        if self._filled:
            stop = self._written + self._filled
            self._array[self._written : stop] = self._buffer[: self._filled]
            self._written, self._filled = stop, 0


@contextmanager
def _rust_pipeline() -> Iterator[None]:
    """Encode with zarrs, bound to the array at its creation; no setting is left behind."""
    if _Process.forked:
        yield
        return
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        yield


def _row_slices(block: sp.csr_matrix, rows: int) -> Iterator[sp.csr_matrix]:
    for start in range(0, block.shape[0], rows):
        yield block[start : start + rows]
