"""Layout: how a matrix will lie on disk, decided when all its rows are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import LocalStore

from dao.format.encodings import PROFILES, chunking
from dao.format.manifest import ArrayInfo
from dao.write.files import file_info

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from dao.format.encodings import Profile
    from dao.format.manifest import FileInfo

__all__ = ["ArrayLayout", "MatrixLayout", "csr_layout", "dense_layout", "write_group"]


@dataclass(frozen=True, slots=True)
class ArrayLayout:
    """A sharded array.

    Attributes
    ----------
    path
        Relative to the store, for example ``"datasets/gut/X/data"``.
    chunk, shard
        Items along the first axis of each.
    attributes
        Of the array in Zarr.
    """

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    profile: Profile
    chunk: int
    shard: int
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Elements in an item of the first axis."""
        return int(np.prod(self._rest, dtype=np.int64))

    @property
    def n_shards(self) -> int:
        """Shards, each of which is a file."""
        return -(-self.shape[0] // self.shard)

    def bounds_of(self, shards: range) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where each chunk of some shards begins, and where it ends."""
        stop = min(self.shape[0], shards.stop * self.shard) if self.shape[-1] else 0
        starts = np.arange(shards.start * self.shard, stop, self.chunk)
        return starts, np.minimum(starts + self.chunk, self.shape[0])

    def create(self, root: Path) -> None:
        """Write the array's ``zarr.json``."""
        codec: Any = {"cname": self.profile.cname, "clevel": self.profile.clevel}
        zarr.create_array(
            LocalStore(root / self.path),  # zarr would interpret a path
            shape=self.shape,
            dtype=self.dtype,
            chunks=(self.chunk, *self._rest),
            shards=(self.shard, *self._rest),
            compressors=[
                BloscCodec(typesize=self.dtype.itemsize, shuffle="shuffle", **codec),
                Crc32cCodec(),
            ],
            fill_value=0,
            attributes=dict(self.attributes),
        )

    def info(self, root: Path, sizes: list[int]) -> ArrayInfo:
        """Return what the manifest says of the array, whose shards have these sizes."""
        # An array without columns has no files; the manifest says so by the size 0.
        sizes = sizes or [0] * self.n_shards
        if len(sizes) != self.n_shards:
            msg = f"{self.path}: {len(sizes)} shards written, {self.n_shards} announced"
            raise RuntimeError(msg)
        return ArrayInfo(
            dtype=str(self.dtype),
            shape=self.shape,
            chunk=self.chunk,
            shard=self.shard,
            shard_sizes=tuple(sizes),
            metadata=file_info(root, f"{self.path}/zarr.json"),
        )

    @property
    def _rest(self) -> tuple[int, ...]:
        return tuple(max(1, n) for n in self.shape[1:])


@dataclass(frozen=True, slots=True)
class MatrixLayout:
    """A matrix: ``"csr"`` with three arrays, or ``"dense"`` with one, whose name is empty."""

    path: str
    encoding: str
    shape: tuple[int, int]
    arrays: Mapping[str, ArrayLayout]

    @property
    def rows(self) -> ArrayLayout:
        """The array (one of those) that is filled from rows."""
        return self.arrays["data" if self.encoding == "csr" else ""]

    def create(self, root: Path) -> None:
        """Write the Zarr metadata of the matrix."""
        if self.encoding == "csr":
            attributes = {
                "encoding-type": "csr_matrix",
                "encoding-version": "0.1.0",
                "shape": list(self.shape),
            }
            write_group(root, self.path, attributes)
        for array in self.arrays.values():
            array.create(root)


def csr_layout(
    path: str,
    profile: str,
    shape: tuple[int, int],
    nnz: int,
    value_dtype: np.dtype[Any],
    index_dtype: np.dtype[Any],
) -> MatrixLayout:
    """Return the layout of an anndata ``csr_matrix`` element."""
    arrays = {
        name: _array(f"{path}/{name}", profile, (length,), dtype)
        for name, length, dtype in (
            ("data", nnz, value_dtype),
            ("indices", nnz, index_dtype),
            ("indptr", shape[0] + 1, np.dtype(np.int64)),
        )
    }
    return MatrixLayout(path, "csr", shape, arrays)


def dense_layout(
    path: str, profile: str, shape: tuple[int, int], dtype: np.dtype[Any]
) -> MatrixLayout:
    """Return the layout of an anndata ``array`` element."""
    attributes = {"encoding-type": "array", "encoding-version": "0.2.0"}
    return MatrixLayout(path, "dense", shape, {"": _array(path, profile, shape, dtype, attributes)})


def _array(
    path: str,
    profile: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    attributes: Mapping[str, Any] | None = None,
) -> ArrayLayout:
    known = PROFILES[profile]
    width = int(np.prod([max(1, n) for n in shape[1:]], dtype=np.int64))
    chunk, shard = chunking(shape[0], width, known.chunk_elements)
    return ArrayLayout(path, shape, dtype, known, chunk, shard, attributes or {})


def write_group(root: Path, path: str, attributes: dict[str, Any]) -> FileInfo:
    """Write a Zarr v3 group with these attributes; return its ``zarr.json``."""
    (root / path).mkdir(parents=True, exist_ok=True)
    store = LocalStore(root / path)  # zarr would interpret a path
    zarr.open_group(store, mode="a", zarr_format=3, attributes=attributes)
    return file_info(root, f"{path}/zarr.json")
