"""Stage: an array whose chunks are far larger than a piece is decoded once, into a temporary file.

A chunk can only be decoded whole. Where rows come in chunks of all rows and one column, or in a
single chunk, every piece of rows needs all chunks, and reading piece by piece would decode the
array again for each of them. Here each chunk is decoded once, and its rows lie in a file, as they
are, in blocks of a few columns (docs/design/030).
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Staged", "staged"]

# Elements of all columns of the rows in a chunk: with more, pieces are smaller than chunks.
_MOST_TOGETHER = 1 << 22
# Elements that are decoded at once, but at the least one chunk.
_BLOCK_ELEMENTS = 1 << 23


def staged(array: Any) -> Staged | None:
    """Return how to read an array from a temporary file, or None if it is as well read in place.

    Parameters
    ----------
    array
        An ndarray, h5py dataset or zarr array, of one or two axes.
    """
    chunks = getattr(array, "chunks", None)
    if not chunks or not array.size:
        return None
    width = int(np.prod(array.shape[1:], dtype=np.int64))
    rows = min(int(chunks[0]), int(array.shape[0]))
    if rows * width <= _MOST_TOGETHER or not _is_encoded(array):
        return None
    columns = int(chunks[1]) if len(chunks) > 1 else 1
    wide = max(1, _BLOCK_ELEMENTS // (rows * columns)) * columns
    return Staged(array, rows, min(wide, width))


def _is_encoded(array: Any) -> bool:
    """Whether a part of a chunk costs as much as all of it: zarr reads a chunk as a whole."""
    if not isinstance(array, h5py.Dataset):
        return True
    return bool(array.id.get_create_plist().get_nfilters())


class Staged:
    """The rows of an array, decoded when the first of them is asked for.

    Parameters
    ----------
    array
        What is decoded.
    rows, columns
        The size of a block in the file, in whole chunks.
    """

    def __init__(self, array: Any, rows: int, columns: int) -> None:
        self._array, self._rows, self._columns = array, rows, columns
        self._width = int(np.prod(array.shape[1:], dtype=np.int64))
        self._dtype = array.dtype.newbyteorder("=")
        self._lock = threading.Lock()
        self._file: int | None = None

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows, from any thread."""
        with self._lock:
            if self._file is None:
                self._file = self._decoded()
                weakref.finalize(self, os.close, self._file)
        out = np.empty((stop - start, *self._array.shape[1:]), self._dtype)
        flat = out.reshape(stop - start, self._width)
        for first in range(start - start % self._rows, stop, self._rows):
            a, b = max(start, first), min(stop, first + self._rows)
            for left in range(0, self._width, self._columns):
                self._copy(
                    self._file,
                    first,
                    left,
                    a,
                    flat[a - start : b - start, left : left + self._columns],
                )
        return out

    def _copy(self, file: int, first: int, left: int, start: int, out: NDArray[Any]) -> None:
        """Read rows from ``start`` on of the block whose first row and column are given."""
        height = min(self._rows, self._array.shape[0] - first)
        item = first * self._width + height * left + (start - first) * out.shape[1]
        part = out if out.flags.c_contiguous else np.empty(out.shape, out.dtype)
        view = part.reshape(-1).view(np.uint8).data
        at = item * self._dtype.itemsize
        while view:
            n = os.preadv(file, [view], at)
            if n <= 0:
                msg = "the temporary file of decoded rows ends too early"
                raise OSError(msg)
            view, at = view[n:], at + n
        if part is not out:
            out[:] = part

    def _decoded(self) -> int:
        """Decode block by block into a file that has no name, and goes with the process."""
        with tempfile.TemporaryFile() as file:
            for first in range(0, self._array.shape[0], self._rows):
                stop = min(first + self._rows, self._array.shape[0])
                for left in range(0, self._width, self._columns):
                    columns = slice(left, left + self._columns)
                    where = (slice(first, stop), columns)[: len(self._array.shape)]
                    part = np.ascontiguousarray(self._array[where], self._dtype)
                    file.write(part.reshape(-1).view(np.uint8).data)
            file.flush()
            return os.dup(file.fileno())
