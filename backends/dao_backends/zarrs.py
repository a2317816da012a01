"""Backend ``zarrs``: chunks decoded in Rust, many at a time, without the GIL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from zarr.storage import LocalStore
from zarrs._internal import ChunkItem, CodecPipelineImpl

from dao.errors import CorruptStoreError
from dao.panics import panics_as_errors
from dao_backends.cloud.copies import Copies
from dao_backends.forked import Forked
from dao_backends.shards import shard_path
from dao_backends.zarr import ZarrReader

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from dao.format.manifest import ArrayInfo


_SLOWER = (
    "zarrs cannot be used in a forked process, so this one decodes with zarr-python, which is "
    "slower."
)


class ZarrsBackend:
    """Decode with zarrs; in Rust."""

    def open(self, path: str, *, memory: int, options: Mapping[str, Any]) -> ZarrsReader:
        """Open the store at a local path."""
        return ZarrsReader(path, memory, options)


class ZarrsReader(ZarrReader):
    """Hands all chunks of a request to zarrs in one list; falls back to zarr after a fork."""

    def _prepare(self) -> None:
        super()._prepare()
        self._pipelines: dict[str, CodecPipelineImpl] = {}
        self._documents: dict[str, bytes] = {}
        self._copies = None if self._bucket is None else Copies(self._bucket, self._memory)

    def decode(self, path: str, array: ArrayInfo, chunks: NDArray[np.int64]) -> NDArray[Any]:
        """Return the chunks side by side; see `ChunkedReader.decode`."""
        if Forked.is_child:
            Forked.warn_once(_SLOWER)
            return super().decode(path, array, chunks)
        out = np.empty((len(chunks) * array.chunk, *array.shape[1:]), array.dtype)
        if self._copies is not None:
            with self._copies.of(path, array, chunks) as folder:
                self._retrieve(self._pipeline_in(folder, array), path, array, chunks, out)
            return out
        self._checks.check_chunks(path, array, chunks)
        self._retrieve(self._pipeline(path, array), path, array, chunks, out)
        return out

    def _retrieve(
        self,
        pipeline: CodecPipelineImpl,
        path: str,
        array: ArrayInfo,
        chunks: NDArray[np.int64],
        out: NDArray[Any],
    ) -> None:
        if not out.size:
            return
        try:
            with panics_as_errors(self._files.root / path, "zarrs"):
                pipeline.retrieve_chunks_and_apply_index(_requests(path, array, chunks), out)
        except RuntimeError as error:
            where = self._files.root / path
            msg = f"{where} cannot be decoded ({error}). Restore it from a copy."
            raise CorruptStoreError(msg) from error

    def _pipeline(self, path: str, array: ArrayInfo) -> CodecPipelineImpl:
        known = self._pipelines.get(path)
        if known is not None:
            return known
        return self._pipelines.setdefault(path, self._pipeline_in(self._files.root, array))

    def _pipeline_in(self, folder: Path, array: ArrayInfo) -> CodecPipelineImpl:
        metadata = json.loads(self._document(array))
        store = LocalStore(folder, read_only=True)
        with panics_as_errors(folder, "zarrs"):
            return CodecPipelineImpl(json.dumps(metadata), store, validate_checksums=True)

    def _document(self, array: ArrayInfo) -> bytes:
        known = self._documents.get(array.metadata.path)
        if known is not None:
            return known
        return self._documents.setdefault(array.metadata.path, self._files.read(array.metadata))


def _requests(path: str, array: ArrayInfo, chunks: NDArray[np.int64]) -> list[ChunkItem]:
    width = list(array.shape[1:])
    full = [slice(0, w) for w in width]
    shape = [len(chunks) * array.chunk, *width]
    shard_shape = [array.shard, *width]
    per_shard = array.shard // array.chunk
    requests = []
    for place, chunk in enumerate(chunks.tolist()):
        shard, inside = divmod(chunk, per_shard)
        requests.append(
            ChunkItem(
                key=shard_path(path, array, shard),
                chunk_subset=[slice(inside * array.chunk, (inside + 1) * array.chunk), *full],
                chunk_shape=shard_shape,
                subset=[slice(place * array.chunk, (place + 1) * array.chunk), *full],
                shape=shape,
            )
        )
    return requests
