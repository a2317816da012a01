"""Backend ``zarr``: zarr-python alone, the reference that every other must equal."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from dao.errors import CorruptStoreError, DaoError
from dao_backends.chunked import ChunkedReader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dao.format.manifest import ArrayInfo

_PYTHON_PIPELINE = "zarr.core.codec_pipeline.BatchedCodecPipeline"
_opening = threading.Lock()


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

    def decode(self, path: str, array: ArrayInfo, chunks: NDArray[np.int64]) -> NDArray[Any]:
        """Return the chunks side by side; see `ChunkedReader.decode`."""
        self._checks.check_sizes(path, array, chunks)
        out = np.empty((len(chunks) * array.chunk, *array.shape[1:]), array.dtype)
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
        return out

    def _open(self, path: str, array: ArrayInfo) -> zarr.Array[Any]:
        known = self._arrays.get(path)
        if known is not None:
            return known
        self._files.read(array.metadata)
        # The pipeline is bound when an array is opened; the setting must not outlive that.
        with _opening, zarr.config.set({"codec_pipeline.path": _PYTHON_PIPELINE}):
            opened = zarr.open_array(str(self._files.root / path), mode="r", zarr_format=3)
        return self._arrays.setdefault(path, opened)
