"""What the zarr and zarrs backends share: rows -> chunks -> decoded buffers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from dao.arguments import whole
from dao.backend import DenseRows, SparseRows
from dao.batches.plan import plan_ranges
from dao.directory import StoreDirectory
from dao.errors import ArgumentError, CorruptStoreError
from dao.files import LocalFiles
from dao.forks import Lock
from dao.kernels import copy_segments
from dao.remote.bucket import Bucket
from dao.remote.files import RemoteFiles
from dao.remote.url import is_url
from dao_backends.request import checked_request
from dao_backends.shards import ShardChecks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from dao.files import StoreFiles
    from dao.format.manifest import ArrayInfo, Manifest, MatrixInfo

T = TypeVar("T")

# What the backend for unconverted files takes.
_OF_SOURCES = {"organism", "features", "feature_key", "layer", "layers", "obsm", "obs_columns"}

# The part of the memory budget that one request may fill with decoded chunks.
_DECODE_SHARE = 4


def checked_generation(options: Mapping[str, Any]) -> int | None:
    """Return the only option that these backends have, beside those of URLs."""
    others = [name for name in options if name != "generation"]
    if others:
        msg = f"This backend has no option {others[0]!r}; it takes generation=."
        if others[0] in _OF_SOURCES:
            msg = (
                f"{others[0]}= is for files that are streamed as they are, as in "
                f"dao.load_store(['gut.h5ad'], {others[0]}=...). This is a store: it was given to "
                "dao.write_store, and cells are chosen with store.subset."
            )
        raise ArgumentError(msg)
    generation = options.get("generation")
    if generation is None:
        return None
    return whole("generation", generation, 1, or_else=" (see store.history)")


class ChunkedReader(ABC):
    """A reader of the dao format; a subclass says how chunks are decoded."""

    def __init__(self, path: str, memory: int, options: Mapping[str, Any]) -> None:
        given = dict(options)
        storage_options = given.pop("storage_options", None)
        if is_url(path) and given.get("retry_timeout") is not None:
            storage_options = {**(storage_options or {}), "retry_timeout": given["retry_timeout"]}
            del given["retry_timeout"]
        self._path = path
        self._memory = memory
        self._bucket = Bucket(path, storage_options) if is_url(path) else None
        self._files = StoreDirectory(self._where(given))
        self._prepare()

    def _where(self, options: dict[str, Any]) -> StoreFiles:
        """Return where the files are; takes the options of the backend."""
        generation = checked_generation(options)
        if self._bucket is None:
            return LocalFiles(Path(self._path), generation)
        return RemoteFiles(self._bucket, generation)

    @property
    def _at_once(self) -> int:
        """Bytes of decoded chunks that one request may hold."""
        return max(1, self._memory // _DECODE_SHARE)

    def _prepare(self) -> None:
        self._row_starts: dict[tuple[str, str], NDArray[np.int64]] = {}
        self._lock = Lock()
        self._checks = ShardChecks(self._files.root)

    @abstractmethod
    def decode(self, path: str, array: ArrayInfo, chunks: NDArray[np.int64]) -> NDArray[Any]:
        """Return the chunks side by side: shape (len(chunks) * array.chunk, ...).

        ``path`` is the array's folder relative to the store. The last chunk of an array is
        as long as the others; what lies beyond the array's end is undefined.
        """

    def manifest(self) -> Manifest:
        """Return what the store holds."""
        return self._files.manifest

    def table(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return a parquet table of the store, checked."""
        with self._files.explained():
            return self._files.table(path, columns)

    def document(self, path: str) -> Any:
        """Return a JSON document of the store, checked."""
        with self._files.explained():
            return self._files.document(path)

    def rows(self, dataset: str, matrix: str, rows: NDArray[np.int64]) -> SparseRows | DenseRows:
        """Return rows of a matrix; each touched chunk is decoded once."""
        path, info, rows = self._request(dataset, matrix, rows)
        with self._files.explained():
            if info.encoding == "dense":
                return self._dense_rows(path, info, rows)
            row_starts = self._starts(dataset, matrix, path, info)
            return self._sparse_rows(path, info, row_starts[rows], row_starts[rows + 1])

    def _ending(self, ending: Callable[[], T]) -> T:
        """Call what waits for the end of something."""
        with self._files.explained():
            return ending()

    def close(self) -> None:
        """Drop cached row starts, and give back what is open."""
        self._prepare()
        self._files.close()

    def __getstate__(self) -> dict[str, Any]:
        names = "_path", "_files", "_memory", "_bucket"
        return {name: self.__dict__[name] for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def _dense_rows(self, path: str, info: MatrixInfo, rows: NDArray[np.int64]) -> DenseRows:
        array = info.values
        plan = plan_ranges(rows, rows + 1, array.chunk)
        chunk_bytes = array.chunk * max(1, info.shape[1]) * info.dtype.itemsize
        chunks_at_once = max(1, self._at_once // chunk_bytes)
        if len(plan.chunks) <= chunks_at_once:
            values = self.decode(path, array, plan.chunks)
            return DenseRows(values, plan.starts, len(plan.chunks), values.nbytes)
        unique, slots = np.unique(rows, return_inverse=True)
        kept = np.empty((len(unique), *array.shape[1:]), info.dtype)
        n_chunks = n_bytes = 0
        for some in _groups(unique // array.chunk // chunks_at_once):
            plan = plan_ranges(unique[some], unique[some] + 1, array.chunk)
            decoded = self.decode(path, array, plan.chunks)
            kept[some] = decoded[plan.starts]
            n_chunks += len(plan.chunks)
            n_bytes += decoded.nbytes
        return DenseRows(kept, slots, n_chunks, n_bytes)

    def _sparse_rows(
        self, path: str, info: MatrixInfo, starts: NDArray[np.int64], stops: NDArray[np.int64]
    ) -> SparseRows:
        plan = plan_ranges(starts, stops, info.values.chunk)
        arrays = [(f"{path}/{name}", info.arrays[name]) for name in ("data", "indices")]
        chunk_bytes = sum(a.chunk * np.dtype(a.dtype).itemsize for _, a in arrays)
        chunks_at_once = max(1, self._at_once // chunk_bytes)
        if len(plan.chunks) > chunks_at_once:
            return self._scattered_rows(path, info, starts, stops, chunks_at_once)
        values, indices = (self.decode(p, a, plan.chunks) for p, a in arrays)
        n_bytes = values.nbytes + indices.nbytes
        n_chunks = 2 * len(plan.chunks)
        return SparseRows(
            values, indices, plan.starts, stops - starts, info.shape[1], n_chunks, n_bytes
        )

    def _scattered_rows(
        self,
        path: str,
        info: MatrixInfo,
        starts: NDArray[np.int64],
        stops: NDArray[np.int64],
        chunks_at_once: int,
    ) -> SparseRows:
        """Decode some chunks after others and keep the wanted rows only: bounded memory."""
        lengths = stops - starts
        places = np.cumsum(lengths) - lengths
        values = np.empty(int(lengths.sum()), info.dtype)
        indices = np.empty(len(values), info.arrays["indices"].dtype)
        order = np.argsort(starts, kind="stable")
        n_chunks = n_bytes = 0
        for part in _groups(starts[order] // info.values.chunk // chunks_at_once):
            some = order[part]
            plan = plan_ranges(starts[some], stops[some], info.values.chunk)
            for name, out in (("data", values), ("indices", indices)):
                decoded = self.decode(f"{path}/{name}", info.arrays[name], plan.chunks)
                copy_segments(decoded, plan.starts, lengths[some], out, places[some])
                n_chunks += len(plan.chunks)
                n_bytes += decoded.nbytes
        return SparseRows(values, indices, places, lengths, info.shape[1], n_chunks, n_bytes)

    def _request(
        self, dataset: str, matrix: str, rows: NDArray[np.int64]
    ) -> tuple[str, MatrixInfo, NDArray[np.int64]]:
        """Return the folder of a matrix, what it is, and the rows, checked."""
        found, rows = checked_request(self._files.manifest, dataset, matrix, rows)
        return f"{found.path}/{matrix}", found.matrices[matrix], rows

    def _starts(self, dataset: str, matrix: str, path: str, info: MatrixInfo) -> NDArray[np.int64]:
        key = (dataset, matrix)
        with self._lock:
            known = self._row_starts.get(key)
        if known is not None:
            return known
        array = info.arrays["indptr"]
        decoded = self.decode(f"{path}/indptr", array, np.arange(array.n_chunks))
        starts = np.ascontiguousarray(decoded[: array.shape[0]], dtype=np.int64)
        if starts[0] != 0 or starts[-1] != info.nnz or (np.diff(starts) < 0).any():
            msg = f"{self._files.root / path}/indptr does not ascend from 0 to {info.nnz}."
            raise CorruptStoreError(msg)
        with self._lock:
            return self._row_starts.setdefault(key, starts)


def _groups(numbers: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the places of each run of equal numbers; the numbers ascend."""
    yield from np.split(np.arange(len(numbers)), np.flatnonzero(np.diff(numbers)) + 1)
