"""The reader: chunks are brought into files, which the local backend's loops decode."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from dao.errors import ArgumentError
from dao.forks import job, waiting
from dao.paths import local_path
from dao.remote.files import RemoteFiles
from dao.remote.network import at_once
from dao.sizes import parse_bytes
from dao.stopping import carried
from dao_backends.chunked import checked_generation
from dao_backends.cloud.cache import Cache, default_folder
from dao_backends.cloud.held import Held
from dao_backends.cloud.supply import Supply
from dao_backends.cloud.table import RemoteTable
from dao_backends.local.layout import is_readable
from dao_backends.local.native import native_functions
from dao_backends.local.pieces import touched
from dao_backends.local.reader import LocalReader
from dao_backends.request import checked_dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from dao.backend import DenseRows, SparseRows, Traffic
    from dao.files import StoreFiles
    from dao.format.manifest import ArrayInfo
    from dao_backends.chunked import ChunkedReader
    from dao_backends.local.stored import StoredPlan

    Requests = Sequence[tuple[str, NDArray[np.int64]]]

T = TypeVar("T")

_CACHE_SIZE = "10GiB"
# Windows that may be on their way at a time, of all streams of a process.
_WINDOWS = 8


class _Threads:
    """Threads that wait for a window's bytes and see to its decoding; a fork starts its own."""

    executor: ThreadPoolExecutor | None = None

    @classmethod
    def begin(cls, function: Callable[[], T]) -> Callable[[], T]:
        """Begin to call a function; return another one that waits for it."""
        if cls.executor is None:
            cls.executor = ThreadPoolExecutor(_WINDOWS, thread_name_prefix="dao-window")
        return partial(_result, cls.executor.submit(job(carried(function))))

    @classmethod
    def after_fork(cls) -> None:
        cls.executor = None


os.register_at_fork(after_in_child=_Threads.after_fork)


def _result(future: Future[T]) -> T:
    with waiting():
        wait([future])
    return future.result()


class CloudReader(LocalReader):
    """Reads chunks by ranges, keeps them on disk, and decodes them as the local backend does.

    Arrays that were not written the way dao does are left to zarrs, which keeps nothing.
    """

    def _where(self, options: dict[str, Any]) -> StoreFiles:
        folder = local_path(options.pop("cache_dir", None) or default_folder(), "cache_dir")
        size = options.pop("cache_size", _CACHE_SIZE)
        generation = checked_generation(options)
        if self._bucket is None:
            msg = f"{self._path} is not a URL: leave out backend='cloud'."
            raise ArgumentError(msg)
        cache = Cache(folder, 0 if size == 0 else parse_bytes(size, "cache_size"))
        self._supply = Supply(self._bucket, cache, Held.share_of(self._memory))
        return RemoteFiles(self._bucket, generation, cache)

    def close(self) -> None:
        """Forget what was cached in memory, and close connections."""
        super().close()
        self._supply.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_supply": self._supply}

    def traffic(self) -> Traffic:
        """Return what was asked for so far, and what was not."""
        return self._supply.traffic()

    def _row_lengths(self, matrix: str, requests: Requests) -> list[NDArray[np.int64]] | None:
        self._warm(matrix, requests)
        return super()._row_lengths(matrix, requests)

    def _window(self, matrix: str, requests: Requests) -> list[SparseRows | DenseRows]:
        self._warm(matrix, requests)
        return super()._window(matrix, requests)

    def _warm(self, matrix: str, requests: Requests) -> None:
        """Learn what is needed of all datasets at once, which would be learnt one by one."""
        asked = [checked_dataset(self.manifest(), dataset, matrix) for dataset, _ in requests]
        found = [(f"{info.path}/{matrix}", info.matrices[matrix]) for info in asked]
        arrays = [(f"{p}/{n}".rstrip("/"), a) for p, i in found for n, a in i.arrays.items()]
        at_once([partial(self._table, *one) for one in arrays if one[0] not in self._tables])
        new = [
            (dataset, path, info)
            for (dataset, _), (path, info) in zip(requests, found, strict=True)
            if info.encoding != "dense" and (dataset, matrix) not in self._row_starts
        ]
        indptrs = [(f"{path}/indptr", info.arrays["indptr"]) for _, path, info in new]
        wanted = [(self._table(*one), np.arange(one[1].n_chunks)) for one in indptrs]
        known = [(table, chunks) for table, chunks in wanted if isinstance(table, RemoteTable)]

        def learn() -> None:
            for dataset, path, info in new:
                self._starts(dataset, matrix, path, info)

        self._supply.while_here(known, self.manifest().uuid, learn)

    def _write(self, matrix: str, requests: Requests, jobs: Any) -> Any:
        """Begin to bring the chunks of a window; it is decoded when they are there."""
        wanted = []
        for dataset, asked in requests:
            path, info, rows = self._request(dataset, matrix, asked)
            row_starts = self._starts(dataset, matrix, path, info)
            chunks = touched(row_starts[rows], row_starts[rows + 1], info.values.chunk)
            tables = self._tables_of(path, info) or ()
            wanted += [(table, chunks) for table in tables if isinstance(table, RemoteTable)]
        write = super()._write

        def decode() -> tuple[int, int]:
            return write(matrix, requests, jobs)()

        uuid = self.manifest().uuid
        return _Threads.begin(partial(self._supply.while_here, wanted, uuid, decode))

    def _read(self, groups: Sequence[Sequence[StoredPlan]]) -> list[list[NDArray[Any]]]:
        wanted = [
            (table, np.unique(plan.pieces.chunks))
            for plans in groups
            for plan in plans
            for table in plan.tables
            if isinstance(table, RemoteTable)
        ]
        return self._supply.while_here(wanted, self.manifest().uuid, partial(super()._read, groups))

    def _table(self, path: str, array: ArrayInfo) -> RemoteTable | None:
        if path not in self._tables:
            readable = len(native_functions()) > 0
            readable = readable and is_readable(self._files.read(array.metadata), array)
            table = RemoteTable(self._files.root, path, array) if readable else None
            self._tables.setdefault(path, table)
        known = self._tables[path]
        return known if isinstance(known, RemoteTable) else None

    def _other(self) -> ChunkedReader:
        if self._others is None:
            from dao_backends.zarrs import ZarrsReader

            options = {"storage_options": self._supply.bucket.options}
            self._others = ZarrsReader(self._path, self._memory, options)
        return self._others
