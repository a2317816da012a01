"""The loop that reads chunks, checks them, decodes them and keeps what is wanted of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit

from dao_backends.local.native import call_crc32c, call_decompress, call_pread

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BLOSC_OVERHEAD", "CRC_BYTES", "Chunks", "load_chunk", "read_pieces"]

CRC_BYTES = 4
BLOSC_OVERHEAD = 16  # the header: blosc never writes more than this beyond what it is given


class Chunks(NamedTuple):
    """Where the chunks of an array lie.

    Attributes
    ----------
    files
        For each shard a descriptor of its file, -1 for one that is not needed or all zeros.
    offsets, sizes
        For each chunk where it lies in its shard; size -1 for one of zeros.
    """

    files: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]


@njit(nogil=True, cache=True)
def _uint32(data: NDArray[np.uint8], at: int) -> Any:
    low = np.int64(data[at]) | np.int64(data[at + 1]) << 8
    return low | np.int64(data[at + 2]) << 16 | np.int64(data[at + 3]) << 24


@njit(nogil=True, cache=True)
def _read(pread: int, file: int, data: NDArray[np.uint8], size: int, at: int) -> bool:
    done = 0
    while done < size:
        got: int = call_pread(pread, file, data.ctypes.data + done, size - done, at + done)
        if got <= 0:
            return False
        done += got
    return True


@njit(nogil=True, cache=True)
def _load(
    functions: NDArray[np.int64],
    file: int,
    offset: int,
    size: int,
    compressed: NDArray[np.uint8],
    target: int,
    chunk_bytes: int,
) -> bool:
    """Read a chunk, compare its checksum, decode it to an address; False if it is damaged."""
    n = size - CRC_BYTES
    if n < BLOSC_OVERHEAD or size > len(compressed):
        return False
    if not _read(functions[0], file, compressed, size, offset):
        return False
    crc: int = call_crc32c(functions[1], compressed.ctypes.data, n)
    if (crc & 0xFFFFFFFF) != _uint32(compressed, n):
        return False
    # The sizes in blosc's header: decoded, and compressed. It believes them.
    if _uint32(compressed, 4) != chunk_bytes or _uint32(compressed, 12) != n:
        return False
    decoded: int = call_decompress(
        functions[2], compressed.ctypes.data, target, chunk_bytes, np.int64(1)
    )
    return decoded == chunk_bytes


@njit(nogil=True, cache=True)
def load_chunk(
    functions: NDArray[np.int64],
    chunks: Chunks,
    number: int,
    compressed: NDArray[np.uint8],
    decoded: NDArray[Any],
) -> bool:
    """Read, check and decode a whole chunk; False if it is damaged."""
    size = chunks.sizes[number]
    if size == -1:
        decoded[:] = 0
        return True
    file = chunks.files[number // (len(chunks.sizes) // len(chunks.files))]
    offset, target = chunks.offsets[number], decoded.ctypes.data
    return _load(functions, file, offset, size, compressed, target, decoded.nbytes)


@njit(nogil=True, cache=True)
def read_pieces(
    functions: NDArray[np.int64],
    files: NDArray[np.int64],
    offsets: NDArray[np.int64],
    sizes: NDArray[np.int64],
    begins: NDArray[np.int64],
    counts: NDArray[np.int64],
    places: NDArray[np.int64],
    chunk_bytes: int,
    out: NDArray[np.uint8],
    compressed: NDArray[np.uint8],
    decoded: NDArray[np.uint8],
) -> int:
    """Fill pieces of ``out`` from compressed chunks; return -1, or the first bad piece.

    A chunk is read and decoded once for all pieces in a row that come from it, straight into
    ``out`` where it is wanted whole. Its crc32c, which follows it in the file, is compared
    each time it is read.

    Parameters
    ----------
    functions
        `dao_backends.local.native.native_functions`.
    files, offsets, sizes
        Per piece: the shard's file descriptor, and where the compressed chunk lies in it;
        size -1 for a chunk that is not there because it holds nothing but zeros.
    begins, counts, places
        Per piece, in bytes: where it begins in the decoded chunk, how long it is, and where
        it goes in ``out``.
    chunk_bytes
        Of a decoded chunk.
    compressed, decoded
        Working memory: ``chunk_bytes + BLOSC_OVERHEAD + CRC_BYTES`` and ``chunk_bytes``.
    """
    loaded = -1
    for i in range(len(begins)):
        begin, count, place = begins[i], counts[i], places[i]
        if begin < 0 or count < 0 or begin + count > chunk_bytes or place + count > len(out):
            return i
        kept = out[place : place + count]
        if sizes[i] == -1:
            kept[:] = 0
            continue
        known = loaded >= 0 and files[i] == files[loaded] and offsets[i] == offsets[loaded]
        if not known:
            whole = count == chunk_bytes
            target = kept.ctypes.data if whole else decoded.ctypes.data
            if not _load(
                functions, files[i], offsets[i], sizes[i], compressed, target, chunk_bytes
            ):
                return i
            loaded = -1 if whole else i
            if whole:
                continue
        part = decoded[begin : begin + count]
        for k in range(count):
            kept[k] = part[k]
    return -1
