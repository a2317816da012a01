"""The reader: requests become tasks, and their results rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask  # noqa: F401 - without it there is no backend, which is told when it is asked for
import numpy as np

from dao.lazy.shared import Shared
from dao.wrapped import WrappedReader
from dao_backends.dask.parts import cut_rows, join_parts, read_part
from dao_backends.dask.schedulers import Scheduler
from dao_backends.decoder import open_decoder
from dao_backends.request import checked_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from dao.backend import DenseRows, Reader, SparseRows

__all__ = ["DaskBackend", "DaskReader"]


class DaskBackend:
    """Read and decode on the scheduler that dask uses."""

    def open(self, path: str, *, memory: int, options: Mapping[str, Any]) -> DaskReader:
        """Open the store at ``path``, which workers must see there too.

        ``options``: ``client`` and ``timeout`` (see `Scheduler`), ``decoder``, the name of the
        backend that workers use, and the options of that one.
        """
        rest = dict(options)
        scheduler = Scheduler(rest.pop("client", None), rest.pop("timeout", 300.0))
        return DaskReader(open_decoder(path, memory, rest), scheduler)


class DaskReader(WrappedReader):
    """Reads rows in tasks; tables and documents, which are small, in this process.

    Attributes
    ----------
    decoder
        What tasks read with.
    """

    def __init__(self, reader: Reader, scheduler: Scheduler) -> None:
        super().__init__(reader)
        self._scheduler = scheduler
        self._shared = Shared(reader)

    @property
    def decoder(self) -> Reader:
        """What tasks read with."""
        return self.reader

    def rows(self, dataset: str, matrix: str, rows: NDArray[np.int64]) -> SparseRows | DenseRows:
        """Return rows of a matrix."""
        return self.window(matrix, [(dataset, rows)])[0]

    def window(
        self, matrix: str, requests: Sequence[tuple[str, NDArray[np.int64]]]
    ) -> list[SparseRows | DenseRows]:
        """Return rows of a matrix of several datasets, read at the same time."""
        calls: list[tuple[Any, ...]] = []
        plans = []
        for dataset, rows in requests:
            found, asked = checked_request(self.manifest(), dataset, matrix, rows)
            info = found.matrices[matrix]
            unique, slots = np.unique(asked, return_inverse=True)
            first = len(calls)
            calls += [(self._shared, dataset, matrix, part) for part in cut_rows(info, unique)]
            plans.append((info, slice(first, len(calls)), slots))
        parts = self._scheduler.run(read_part, calls)
        return [join_parts(info, parts[here], slots) for info, here, slots in plans]

    def run(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return ``function(*arguments)`` of each call, each of which may take a request's time."""
        return self._scheduler.run(function, calls, n_requests=len(calls))

    def close(self) -> None:
        """Close what was opened; a client that was given stays as it is."""
        self._scheduler.close()
        super().close()
