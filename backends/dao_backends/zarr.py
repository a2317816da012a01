"""Backend ``zarr``: zarr-python alone, the reference that every other must equal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.storage import LocalStore

from dao.errors import CorruptStoreError, DaoError
from dao.forks import Lock, working
from dao_backends.chunked import ChunkedReader
from dao_backends.cloud.checks import RemoteChecks
from dao_backends.cloud.zarr_store import BucketStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from zarr.abc.store import Store

    from dao.format.manifest import ArrayInfo

_PYTHON_PIPELINE = "zarr.core.codec_pipeline.BatchedCodecPipeline"
_opening = Lock()


class ZarrBackend:
    """Decode with zarr-python; needs no Rust and survives a fork."""

    def open(self, path: str, *, memory: int, options: Mapping[str, Any]) -> ZarrReader:
        """Open the store at a local path."""
        return ZarrReader(path, memory, options)


class ZarrReader(ChunkedReader):
    """Reads chunks through `zarr.Array`, which checks each one's crc32c."""

    def _prepare(self) -> None:
        super()._prepare()
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._sizes = self._checks if self._bucket is None else RemoteChecks(self._bucket)

    def decode(self, path: str, array: ArrayInfo, chunks: NDArray[np.int64]) -> NDArray[Any]:
        """Return the chunks side by side; see `ChunkedReader.decode`."""
        self._sizes.check_sizes(path, array, chunks)
        out = np.empty((len(chunks) * array.chunk, *array.shape[1:]), array.dtype)
        with working():  # zarr has locks of its own
            self._fill(out, path, array, chunks)
        return out

    def _fill(
        self, out: NDArray[Any], path: str, array: ArrayInfo, chunks: NDArray[np.int64]
    ) -> None:
        opened = self._open(path, array)
        breaks = np.flatnonzero(np.diff(chunks) != 1) + 1
        at = 0
        try:
            for run in np.split(chunks, breaks) if len(chunks) else ():
                start, stop = int(run[0]) * array.chunk, (int(run[-1]) + 1) * array.chunk
                part = opened[start : min(stop, array.shape[0])]
                out[at : at + len(np.asarray(part))] = part
                at += stop - start
        except DaoError:
            raise
        except Exception as error:
            msg = f"{self._files.root / path} cannot be decoded ({error}). Restore it from a copy."
            raise CorruptStoreError(msg) from error

    def _open(self, path: str, array: ArrayInfo) -> zarr.Array[Any]:
        known = self._arrays.get(path)
        if known is not None:
            return known
        self._files.read(array.metadata)
        # The pipeline is bound when an array is opened; the setting must not outlive that.
        with _opening, zarr.config.set({"codec_pipeline.path": _PYTHON_PIPELINE}):
            where = self._zarr_store()
            opened = zarr.open_array(where, path=path, mode="r", zarr_format=3)
        return self._arrays.setdefault(path, opened)

    def _zarr_store(self) -> Store:
        if self._bucket is None:
            return LocalStore(self._files.root, read_only=True)
        return BucketStore(self._bucket)
