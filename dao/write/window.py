"""Rows that lie in memory, ready to be taken in store order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.write import kernels, moves
from dao.write.rows import as_bits, significant_bits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dao.write.workers import Scratch

__all__ = ["Arena", "Window"]


class Arena:
    """One piece of memory, kept for all matrices of a write; fresh memory is expensive.

    Parameters
    ----------
    limit
        Bytes that it should not exceed.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._buffer = np.empty(0, np.uint8)

    @property
    def size(self) -> int:
        """Bytes that it has."""
        return len(self._buffer)

    def ensure(self, n_bytes: int) -> None:
        """Have at least so many bytes; what is in there is lost if there are fewer."""
        if n_bytes > len(self._buffer):
            self._buffer = np.empty(0, np.uint8)  # the old must be gone before the new comes
            self._buffer = np.empty(n_bytes + -n_bytes % 8, np.uint8)

    def view(self, dtype: np.dtype[Any], at: int = 0, n: int | None = None) -> NDArray[Any]:
        """Return n items from a byte on, or everything up to the end."""
        stop = len(self._buffer) if n is None else at + n * dtype.itemsize
        return self._buffer[at:stop].view(dtype)


@dataclass(frozen=True, slots=True)
class Window:
    """Some rows in an arena.

    Attributes
    ----------
    places
        Place in the store of each part, ascending.
    parts
        For each part: place, elements, where its columns and where its values begin (in items of
        their dtypes), and the number of its values' dtype in ``kinds``.
    n_vars
        Columns of the matrix, if those of a row are still to be sorted.
    """

    arena: Arena
    places: NDArray[np.int64]
    parts: NDArray[np.int64]
    column_dtype: np.dtype[Any]
    kinds: tuple[np.dtype[Any], ...]
    n_vars: int | None = None

    @classmethod
    def sorted(
        cls,
        arena: Arena,
        parts: NDArray[np.int64],
        column_dtype: np.dtype[Any],
        kinds: tuple[np.dtype[Any], ...],
    ) -> Window:
        """Return a window over parts in any order."""
        parts = parts[np.argsort(parts[:, 0], kind="stable")]
        return cls(arena, parts[:, 0].copy(), parts, column_dtype, kinds)

    def take(
        self, first: int, stop: int, dtype: np.dtype[Any], scratch: Scratch
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return columns and values of the rows of some places, in two buffers."""
        parts = self._between(first, stop)
        n = int(parts[:, 1].sum())
        columns = scratch.take("taken columns", n, self.column_dtype)
        values = scratch.take("taken values", n, dtype)
        stored = self.arena.view(self.column_dtype)
        for number, kind in enumerate(self.kinds):
            moves.take_rows(parts, number, stored, self.arena.view(kind), columns, values)
        if self.n_vars is not None:
            return _sorted(parts[:, 1], columns, values, self.n_vars, scratch)
        return columns, values

    def stretches(self, place: int, _: Scratch) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Yield columns and values of all parts of a place, as they lie there."""
        for _, n, columns_from, values_from, number in self._between(place, place + 1):
            columns = self.arena.view(self.column_dtype)[columns_from : columns_from + n]
            yield columns, self.arena.view(self.kinds[number])[values_from : values_from + n]

    def scatter(self, first: int, stop: int, out: NDArray[Any]) -> None:
        """Write the rows of some places into an array of zeros."""
        parts = self._between(first, stop)
        stored = self.arena.view(self.column_dtype)
        for number, kind in enumerate(self.kinds):
            moves.scatter_rows(parts, number, first, stored, self.arena.view(kind), out)

    def _between(self, first: int, stop: int) -> NDArray[np.int64]:
        a, b = np.searchsorted(self.places, (first, stop))
        return self.parts[a:b]


def _sorted(
    lengths: NDArray[np.int64],
    columns: NDArray[Any],
    values: NDArray[Any],
    n_vars: int,
    scratch: Scratch,
) -> tuple[NDArray[Any], NDArray[Any]]:
    sorted_columns = scratch.take("sorted columns", len(columns), columns.dtype)
    sorted_values = scratch.take("sorted values", len(values), values.dtype)
    kernels.arrange(
        np.append(0, np.cumsum(lengths)),
        columns.astype(np.int32),
        as_bits(values),
        significant_bits(values.dtype),
        np.ones(len(lengths), np.bool_),
        np.arange(n_vars, dtype=np.int32),
        scratch.zeros("words", -(-n_vars // 64), np.uint64),
        scratch.take("row", n_vars, f"u{values.dtype.itemsize}"),
        sorted_columns,
        as_bits(sorted_values),
        np.zeros(len(lengths), np.int64),
    )
    return sorted_columns, sorted_values
