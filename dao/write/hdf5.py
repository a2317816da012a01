"""Elements of a one-dimensional HDF5 dataset, decoded outside of HDF5's lock.

HDF5 decodes one chunk at a time in the whole process. Here it only hands out the stored bytes;
gzip, LZF and shuffle are undone in the thread that asks. Whatever is not plainly of this kind is
read by h5py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from h5py._objects import phil
from isal import isal_zlib

from dao.write.lzf import decode_lzf
from dao.write.moves import unshuffle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.write.workers import Scratch

__all__ = ["ChunkedElements", "chunked_elements"]

_LZF = 32_000  # as registered with the HDF Group
_COMPRESSORS = (h5py.h5z.FILTER_DEFLATE, _LZF)


@dataclass(frozen=True, slots=True)
class ChunkedElements:
    """A dataset whose chunks can be decoded here.

    Attributes
    ----------
    chunk
        Elements per chunk.
    shuffled
        Whether the bytes of a chunk are transposed: all first bytes, then all second ones.
    compressor
        HDF5's number of the filter, or None.
    """

    dataset: Any
    chunk: int
    shuffled: bool
    compressor: int | None

    def read(self, start: int, stop: int, out: NDArray[Any], scratch: Scratch) -> None:
        """Read the elements from start to stop into ``out``."""
        for first in range(start - start % self.chunk, stop, self.chunk):
            a, b = max(start, first), min(stop, first + self.chunk)
            whole = b - a == self.chunk
            target = (
                out[a - start : b - start]
                if whole
                else scratch.take("chunk", self.chunk, out.dtype)
            )
            if not self._decode(first, target, scratch):
                self.dataset.read_direct(out, np.s_[a:b], np.s_[a - start : b - start])
            elif not whole:
                out[a - start : b - start] = target[a - first : b - first]

    def _decode(self, first: int, target: NDArray[Any], scratch: Scratch) -> bool:
        try:
            with phil:  # h5py's lock, which this one function of it does not take
                skipped, stored = self.dataset.id.read_direct_chunk((first,))
        except (OSError, RuntimeError, ValueError):
            return False  # for example a chunk that was never written
        plain = target.view(np.uint8)
        if skipped:
            return False
        unpacked = scratch.take("unpacked", len(plain), np.uint8) if self.shuffled else plain
        if not self._decompress(stored, unpacked):
            if len(stored) == len(plain):
                return False  # HDF5 can leave a chunk that is not full as it is
            # h5py would not notice: its LZF says nothing of a stream that ends too early.
            msg = f"the chunk of element {first:,} of {self.dataset.name} is damaged"
            raise OSError(msg)
        if self.shuffled:
            unshuffle(unpacked, target.view(f"u{target.itemsize}"))
        return True

    def _decompress(self, stored: bytes, out: NDArray[np.uint8]) -> bool:
        if self.compressor == _LZF:
            return bool(decode_lzf(np.frombuffer(stored, np.uint8), out) == len(out))
        if self.compressor is not None:
            try:
                stored = isal_zlib.decompress(stored, bufsize=len(out))
            except isal_zlib.error:  # type: ignore[misc]  # its stubs do not know the class
                return False
        if len(stored) != len(out):
            return False
        out[:] = np.frombuffer(stored, np.uint8)
        return True


def chunked_elements(array: Any) -> ChunkedElements | None:
    """Return how to read an array in this way, or None if h5py or zarr must do it."""
    if not isinstance(array, h5py.Dataset) or array.chunks is None or len(array.shape) != 1:
        return None
    dtype = array.dtype
    plain = dtype.kind in "iuf" and dtype.isnative
    if not plain or array.id.get_type() != h5py.h5t.py_create(dtype):
        return None
    settings = array.id.get_create_plist()
    filters = [settings.get_filter(i) for i in range(settings.get_nfilters())]
    numbers = [f[0] for f in filters]
    shuffled = numbers[:1] == [h5py.h5z.FILTER_SHUFFLE]
    rest = numbers[shuffled:]
    if len(rest) > 1 or any(n not in _COMPRESSORS for n in rest):
        return None
    # Without a compressor, nothing would tell whether a chunk at the end was shuffled.
    if shuffled and (not rest or tuple(filters[0][2][:1]) != (dtype.itemsize,)):
        return None
    # A single byte is its own transposition.
    shuffled = shuffled and dtype.itemsize > 1
    return ChunkedElements(array, int(array.chunks[0]), shuffled, rest[0] if rest else None)
