"""Readers around readers: slow ones, and ones that fail."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dao.backend import DenseRows, SparseRows
from dao.errors import CorruptStoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from dao.backend import Reader
    from dao.format.manifest import Manifest

__all__ = ["FaultyReader", "LatencyReader", "WrappedReader"]


class WrappedReader:
    """Passes every call on; a base for readers that change something.

    Parameters
    ----------
    reader
        The reader that does the work.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def manifest(self) -> Manifest:
        """Return what the store holds."""
        return self.reader.manifest()

    def table(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return a parquet table of the store."""
        return self.reader.table(path, columns)

    def document(self, path: str) -> Any:
        """Return a JSON document of the store."""
        return self.reader.document(path)

    def rows(self, dataset: str, matrix: str, rows: NDArray[np.int64]) -> SparseRows | DenseRows:
        """Return rows of a matrix."""
        return self.reader.rows(dataset, matrix, rows)

    def close(self) -> None:
        """Let go of files and caches."""
        self.reader.close()


class LatencyReader(WrappedReader):
    """Waits before every request for rows, as a store far away would.

    Parameters
    ----------
    reader
        The reader that does the work.
    seconds
        How long each request takes longer.
    """

    def __init__(self, reader: Reader, seconds: float) -> None:
        super().__init__(reader)
        self.seconds = seconds

    def rows(self, dataset: str, matrix: str, rows: NDArray[np.int64]) -> SparseRows | DenseRows:
        """Return rows of a matrix, later."""
        time.sleep(self.seconds)
        return super().rows(dataset, matrix, rows)


class FaultyReader(WrappedReader):
    """Spoils one request for rows.

    Parameters
    ----------
    reader
        The reader that does the work.
    nth
        Which request, counted from 1.
    kind
        ``"fail"`` raises `dao.errors.CorruptStoreError`; ``"short"`` returns a row too few;
        ``"index"`` returns a column number that does not exist; ``"hang"`` waits first.
    seconds
        How long ``"hang"`` waits.
    """

    def __init__(self, reader: Reader, nth: int, kind: str = "fail", seconds: float = 1.0) -> None:
        super().__init__(reader)
        self.nth, self.kind, self.seconds = nth, kind, seconds
        self._calls = 0
        self._lock = threading.Lock()

    def rows(self, dataset: str, matrix: str, rows: NDArray[np.int64]) -> SparseRows | DenseRows:
        """Return rows of a matrix, or spoil them."""
        with self._lock:
            self._calls += 1
            spoil = self._calls == self.nth
        if spoil and self.kind == "fail":
            msg = f"request {self.nth} was made to fail"
            raise CorruptStoreError(msg)
        if spoil and self.kind == "hang":
            time.sleep(self.seconds)
        got = super().rows(dataset, matrix, rows)
        if not spoil or isinstance(got, DenseRows):
            return got
        if self.kind == "short":
            return replace(got, starts=got.starts[:-1], lengths=got.lengths[:-1])
        if self.kind == "index":
            indices = got.indices.copy()
            indices[got.starts[got.lengths > 0]] = got.n_vars
            return replace(got, indices=indices)
        return got
