"""The reader: matrices decoded when they are first asked for, and rows of them from memory."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.backend import FusedReader
from dao.errors import BackendContractError
from dao.forks import LongLock
from dao.threads import Jobs, n_threads
from dao.wrapped import WrappedReader
from dao_backends.decoder import open_decoder
from dao_backends.memory.held import HeldDense, HeldSparse
from dao_backends.memory.kernels import cast_rows, scatter_rows
from dao_backends.memory.load import hold

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from dao.backend import DenseRows, Reader, RowTargets, SparseRows

    Requests = Sequence[tuple[str, NDArray[np.int64]]]
    Place = Callable[[int], NDArray[np.unsignedinteger[Any]]]
    Job = Callable[[], None]
    Writing = Callable[[], tuple[int, int]]
    Part = tuple[HeldSparse, NDArray[np.int64], slice]

__all__ = ["MemoryBackend", "MemoryReader"]

# Items per part of the work: so few that threads end together.
_PART_ITEMS = 1 << 17
# One matrix is decoded at a time, as that has all processors.
_decoding = LongLock()


class MemoryBackend:
    """Decode each matrix once, and keep it."""

    def open(self, path: str, *, memory: int, options: Mapping[str, Any]) -> MemoryReader:
        """Open the store at ``path``.

        ``options``: ``decoder``, the name of the backend that reads and decodes, and the options of
        that one.
        """
        return MemoryReader(open_decoder(path, memory, options))

    def around(
        self,
        reader: Reader,
        rows: Mapping[str, NDArray[np.int64] | None],
        columns: NDArray[np.bool_] | None = None,
    ) -> MemoryReader:
        """Return a reader that holds some rows of datasets, and asks another for all else.

        Parameters
        ----------
        reader
            Decodes.
        rows
            Dataset -> which of its rows are held, ascending; None for all.
        columns
            Which features are held of X and layers; nobody may ask for others. All if None.
        """
        return MemoryReader(reader, rows, columns)


class MemoryReader(WrappedReader):
    """Holds what another reader has decoded.

    A matrix is decoded when it is first asked for. In a process that it was pickled to, the
    reader begins anew: what is used there is decoded there once more. A forked process shares
    what its parent holds.
    """

    def __init__(
        self,
        reader: Reader,
        rows: Mapping[str, NDArray[np.int64] | None] | None = None,
        columns: NDArray[np.bool_] | None = None,
    ) -> None:
        super().__init__(reader)
        self._rows, self._columns = rows, columns
        self._prepare()

    @property
    def nbytes(self) -> int:
        """Bytes of the matrices that are held."""
        return sum(held.nbytes for held in self._held.values())

    def close(self) -> None:
        """Let go of the memory, once nobody uses it, and of the files."""
        self._prepare()
        super().close()

    def load(self, dataset: str, matrix: str) -> None:
        """Decode what is to be held of a matrix, if that has not been done."""
        self._matrix(dataset, matrix)

    def rows(self, dataset: str, matrix: str, rows: NDArray[np.int64]) -> SparseRows | DenseRows:
        """Return rows of a matrix."""
        slots = self._slots(dataset, matrix, rows)
        if slots is None:
            return self.reader.rows(dataset, matrix, rows)
        return self._matrix(dataset, matrix).rows(slots)

    def window(self, matrix: str, requests: Requests) -> list[SparseRows | DenseRows]:
        """Return rows of a matrix of several datasets."""
        return [self.rows(dataset, matrix, rows) for dataset, rows in requests]

    def row_lengths(self, matrix: str, requests: Requests) -> list[NDArray[np.int64]] | None:
        """Return how many values each row has; None for what cannot be written so."""
        parts = self._parts(matrix, requests)
        if parts is not None:
            return [held.lengths(slots) for held, slots, _ in parts]
        inner = self.reader
        return inner.row_lengths(matrix, requests) if isinstance(inner, FusedReader) else None

    def write_csr(
        self, matrix: str, requests: Requests, values: RowTargets, indices: RowTargets
    ) -> Writing:
        """Begin to write rows where they belong, cast."""
        parts = self._parts(matrix, requests)
        if parts is None:
            return self._fused().write_csr(matrix, requests, values, indices)
        to_values, to_indices = values.addresses(), indices.addresses()
        like = values.outs[0], indices.outs[0]
        jobs: Jobs[None] = Jobs()
        for held, slots, here in parts:
            shared = held.arrays, slots, to_values[here], to_indices[here]
            bounds = _bounds(held.lengths(slots))
            jobs.add(
                _shares(partial(cast_rows, *shared, bounds, np.zeros(1, np.int64), *like), bounds)
            )
        return partial(_end, jobs)

    def write_dense(
        self, matrix: str, requests: Requests, rows: RowTargets, place: Place
    ) -> Writing:
        """Begin to write rows as dense ones."""
        parts = self._parts(matrix, requests)
        if parts is None:
            return self._fused().write_dense(matrix, requests, rows, place)
        addresses, like = rows.addresses(), rows.outs[0]
        jobs: Jobs[None] = Jobs()
        for held, slots, here in parts:
            columns = place(held.n_vars)
            bounds = _bounds(held.lengths(slots) + like.shape[1] // 8)
            shared = held.arrays, slots, addresses[here], bounds, np.zeros(1, np.int64)
            jobs.add(_shares(partial(scatter_rows, *shared, columns, like), bounds))
        return partial(_end, jobs)

    def __getstate__(self) -> dict[str, Any]:
        return {"reader": self.reader, "_rows": self._rows, "_columns": self._columns}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def _prepare(self) -> None:
        self._held: dict[tuple[str, str], HeldSparse | HeldDense] = {}

    def _parts(self, matrix: str, requests: Requests) -> list[Part] | None:
        """Return what is held of each request and its place in all; None if that is not all."""
        found: list[Part] = []
        before = 0
        for dataset, rows in requests:
            slots = self._slots(dataset, matrix, rows)
            held = None if slots is None else self._matrix(dataset, matrix)
            if slots is None or not isinstance(held, HeldSparse):
                return None
            if held.wide.dtype != self.manifest().dataset(dataset).matrices[matrix].dtype:
                return None  # it has outgrown its dtype, so its values must be looked at
            found.append((held, slots, slice(before, before + len(rows))))
            before += len(rows)
        return found

    def _slots(
        self, dataset: str, matrix: str, rows: NDArray[np.int64]
    ) -> NDArray[np.int64] | None:
        """Return where rows are among those held; None if they are not, or do not exist."""
        ordinal = self.manifest().ordinals.get(dataset)
        if ordinal is None or (self._rows is not None and dataset not in self._rows):
            return None
        info = self.manifest().datasets[ordinal].matrices.get(matrix)
        rows = np.asarray(rows, np.int64)
        if info is None or (len(rows) and not 0 <= rows.min() <= rows.max() < info.shape[0]):
            return None  # the other reader says what is wrong
        own = None if self._rows is None else self._rows[dataset]
        if own is None or not len(rows):
            return rows
        slots = np.minimum(np.searchsorted(own, rows), len(own) - 1)
        return slots if len(own) and (own[slots] == rows).all() else None

    def _matrix(self, dataset: str, matrix: str) -> HeldSparse | HeldDense:
        key = dataset, matrix
        held = self._held.get(key)
        if held is not None:
            return held
        with _decoding:
            if key not in self._held:
                info = self.manifest().dataset(dataset).matrices[matrix]
                own = None if self._rows is None else self._rows[dataset]
                rows = np.arange(info.shape[0]) if own is None else own
                columns = None if matrix.startswith("obsm/") else self._columns
                self._held[key] = hold(self.reader, dataset, matrix, info, rows, columns)
            return self._held[key]

    def _fused(self) -> FusedReader:
        if isinstance(self.reader, FusedReader):
            return self.reader
        msg = "These rows are not held, and what decodes cannot write them."
        raise BackendContractError(msg)


def _bounds(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cut rows into parts of about the same number of items; from 0 to their number."""
    ends = np.cumsum(lengths)
    n_items = int(ends[-1]) if len(ends) else 0
    n_parts = max(1, n_items // _PART_ITEMS)
    even = np.searchsorted(ends, n_items * np.arange(1, n_parts) / n_parts)
    return np.unique(np.concatenate([[0], even, [len(lengths)]]))


def _shares(job: Job, bounds: NDArray[np.int64]) -> list[Job]:
    """Return a job once for each thread that has something to do."""
    return [job] * min(n_threads(), len(bounds) - 1)


def _end(jobs: Jobs[None]) -> tuple[int, int]:
    """Wait for the end; no chunk was decoded."""
    jobs.results()
    return 0, 0
