"""Encode: rows in store order -> sharded Zarr arrays that anndata reads as they are."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numcodecs import blosc
from zarr.codecs import BloscCodec, Crc32cCodec

from dao.format.encodings import PROFILES, chunking
from dao.format.manifest import ArrayInfo, FileInfo
from dao.write.shards import ShardWriter, with_checksum

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from dao.write.spool import RowSpool
    from dao.write.window import Window
    from dao.write.workers import Scratch, Workers

__all__ = ["EncodedArrays", "Target", "file_info", "write_csr", "write_dense", "write_group"]

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
    spool: RowSpool,
    shape: tuple[int, int],
    value_dtype: np.dtype[Any],
    index_dtype: np.dtype[Any],
    workers: Workers,
) -> EncodedArrays:
    """Write a sparse matrix as an anndata ``csr_matrix`` element."""
    attributes = {
        "encoding-type": "csr_matrix",
        "encoding-version": "0.1.0",
        "shape": list(shape),
    }
    write_group(target.root, target.path, attributes)
    indptr = np.append(0, np.cumsum(spool.lengths))
    nnz = int(indptr[-1])
    with ExitStack() as stack:
        data = _Array(target, "data", (nnz,), value_dtype, stack)
        indices = _Array(target, "indices", (nnz,), index_dtype, stack)
        pointers = _Array(target, "indptr", indptr.shape, np.dtype(np.int64), stack)
        _encode_rows(spool, indptr, data, indices, workers)
        pointers.write(indptr, workers)
        return {"data": data.close(), "indices": indices.close(), "indptr": pointers.close()}


def _encode_rows(
    spool: RowSpool, indptr: NDArray[np.int64], data: _Array, indices: _Array, workers: Workers
) -> None:
    """Encode chunk after chunk, both arrays at a time: their elements come from the same rows."""
    nnz = int(indptr[-1])
    starts = np.arange(0, nnz, data.chunk)
    stops = np.minimum(starts + data.chunk, nnz)
    first_rows = np.searchsorted(indptr, starts, side="right") - 1
    stop_rows = np.searchsorted(indptr, stops)

    def encode(window: Window, task: int) -> tuple[bytes, bytes]:
        first, scratch = first_rows[task], workers.scratch
        columns, values = window.take(first, stop_rows[task], data.dtype, scratch)
        part = slice(starts[task] - indptr[first], stops[task] - indptr[first])
        return indices.encode(columns[part], scratch), data.encode(values[part], scratch)

    for window, tasks in spool.windows(first_rows, stop_rows):
        for one, other in workers.map(partial(encode, window), ((t,) for t in tasks)):
            indices.shards.append(one)
            data.shards.append(other)


def write_dense(
    target: Target,
    spool: RowSpool,
    shape: tuple[int, int],
    value_dtype: np.dtype[Any],
    workers: Workers,
) -> EncodedArrays:
    """Write a matrix as an anndata ``array`` element."""
    with ExitStack() as stack:
        array = _Array(target, "", shape, value_dtype, stack)
        starts = np.arange(0, shape[0] if shape[1] else 0, array.chunk)
        stops = np.minimum(starts + array.chunk, shape[0])

        def encode(window: Window, task: int) -> bytes:
            rows = workers.scratch.take("dense", array.chunk * shape[1], value_dtype)
            rows[:] = 0
            window.scatter(starts[task], stops[task], rows.reshape(array.chunk, shape[1]))
            return array.encode(rows, workers.scratch)

        for window, tasks in spool.windows(starts, stops):
            for chunk in workers.map(partial(encode, window), ((t,) for t in tasks)):
                array.shards.append(chunk)
        return {"": array.close({"encoding-type": "array", "encoding-version": "0.2.0"})}


def file_info(root: Path, path: str) -> FileInfo:
    """Return size and SHA-256 of a file of the store."""
    content = (root / path).read_bytes()
    return FileInfo(path, len(content), hashlib.sha256(content).hexdigest())


class _Array:
    """A sharded array that is being written."""

    def __init__(
        self,
        target: Target,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        stack: ExitStack,
    ) -> None:
        self._root = target.root
        self._path = f"{target.path}/{name}" if name else target.path
        self._shape, self.dtype = shape, dtype
        rest = tuple(max(1, n) for n in shape[1:])
        self._width = int(np.prod(rest, dtype=np.int64))
        profile = PROFILES[target.profile]
        self.chunk, self._shard = chunking(shape[0], self._width, profile.chunk_elements)
        self._compress = partial(
            blosc.compress, cname=profile.cname.encode(), clevel=profile.clevel
        )
        codec: Any = {"cname": profile.cname, "clevel": profile.clevel, "shuffle": "shuffle"}
        self._array = zarr.create_array(
            str(self._root / self._path),
            shape=shape,
            dtype=dtype,
            chunks=(self.chunk, *rest),
            shards=(self._shard, *rest),
            compressors=[BloscCodec(typesize=dtype.itemsize, **codec), Crc32cCodec()],
            fill_value=0,
        )
        self.shards = ShardWriter(
            self._root / self._path, self._shard // self.chunk, "/0" * (len(shape) - 1)
        )
        stack.callback(self.shards.release)

    def encode(self, items: NDArray[Any], scratch: Scratch) -> bytes:
        """Return a chunk as it is stored; the last one of an array is filled up with zeros."""
        n = self.chunk * self._width
        if len(items) < n:
            filled = scratch.take("filled", n, self.dtype)
            filled[: len(items)] = items
            filled[len(items) :] = 0
            items = filled
        return with_checksum(self._compress(items, shuffle=blosc.SHUFFLE))

    def write(self, items: NDArray[Any], workers: Workers) -> None:
        """Write all items of an array of one axis."""
        parts = (
            (items[a : a + self.chunk], workers.scratch) for a in range(0, len(items), self.chunk)
        )
        for chunk in workers.map(self.encode, parts):
            self.shards.append(chunk)

    def close(self, attributes: dict[str, Any] | None = None) -> ArrayInfo:
        """Finish the last shard; return what the manifest says of the array."""
        self.shards.close()
        if attributes:
            self._array.attrs.update(attributes)
        n_shards = -(-self._shape[0] // self._shard)
        sizes = self.shards.sizes or [0] * n_shards
        if len(sizes) != n_shards:
            msg = f"{self._path}: {len(sizes)} shards written, {n_shards} announced"
            raise RuntimeError(msg)
        return ArrayInfo(
            dtype=str(self.dtype),
            shape=self._shape,
            chunk=self.chunk,
            shard=self._shard,
            # An array without columns has no files; the manifest says so by the size 0.
            shard_sizes=tuple(sizes),
            metadata=file_info(self._root, f"{self._path}/zarr.json"),
        )
