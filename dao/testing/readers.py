"""Readers around readers: slow ones, and ones that fail."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dao.backend import DenseRows, SparseRows
from dao.errors import CorruptStoreError
from dao.wrapped import WrappedReader

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dao.backend import Reader

__all__ = ["FaultyReader", "LatencyReader"]


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
        Which request, counted from 1 in each process.
    kind
        ``"fail"`` raises `dao.errors.CorruptStoreError`; ``"short"`` returns a row too few;
        ``"index"`` returns a column number that does not exist; ``"hang"`` waits first; ``"die"``
        ends the process.
    seconds
        How long ``"hang"`` waits.
    """

    def __init__(self, reader: Reader, nth: int, kind: str = "fail", seconds: float = 1.0) -> None:
        super().__init__(reader)
        self.nth, self.kind, self.seconds = nth, kind, seconds
        self._calls = 0
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_calls": 0, "_lock": None}  # locks do not travel

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def rows(self, dataset: str, matrix: str, rows: NDArray[np.int64]) -> SparseRows | DenseRows:
        """Return rows of a matrix, or spoil them."""
        with self._lock:
            self._calls += 1
            spoil = self._calls == self.nth
        if spoil and self.kind == "fail":
            msg = f"request {self.nth} was made to fail"
            raise CorruptStoreError(msg)
        if spoil and self.kind == "die":
            os._exit(1)
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
