"""LZF, the codec of h5py's ``compression="lzf"``, decoded without the GIL.

A stream is a chain of tokens: ``000LLLLL`` and L + 1 literal bytes; or ``LLLOOOOO OOOOOOOO``, a
copy of L + 2 bytes from O + 1 bytes back, where L = 7 says that a further byte of length follows
first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from dao.write.intrinsics import copy16, copy32

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["decode_lzf"]


@njit(nogil=True, cache=True)
def decode_lzf(source: NDArray[np.uint8], target: NDArray[np.uint8]) -> Any:  # noqa: C901, PLR0912
    """Decode a whole stream; return the number of bytes written, or -1 if it is damaged."""
    n, m = len(source), len(target)
    i = o = np.int64(0)
    while i < n:
        token = np.int64(source[i])
        i += 1
        if token < 32:
            length = token + 1
            if i + length > n or o + length > m:
                return -1
            if i + 32 <= n and o + 32 <= m:
                copy32(target, o, source, i)
            else:
                for j in range(length):
                    target[o + j] = source[i + j]
            i += length
            o += length
            continue
        length = token >> 5
        if length == 7:
            if i >= n:
                return -1
            length += np.int64(source[i])
            i += 1
        if i >= n:
            return -1
        back = ((token & 31) << 8) + np.int64(source[i]) + 1
        i += 1
        length += 2
        if back > o or o + length > m:
            return -1
        if back == 1:
            value = target[o - 1]
            run = target[o : o + length]
            for j in range(length):
                run[j] = value
        elif back >= 16 and o + length + 16 <= m:
            for j in range(0, length, 16):
                copy16(target, o + j, target, o + j - back)
        else:
            for j in range(length):
                target[o + j] = target[o + j - back]
        o += length
    return o
