"""Random numbers that are the same on every machine and with every version of NumPy.

NumPy promises stable streams for its bit generators and for `numpy.random.SeedSequence`,
not for the methods of `numpy.random.Generator` (NEP 19), so permutations are drawn here.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["permutation", "random_bits"]


def random_bits(n: int, *key: int | str) -> NDArray[np.uint64]:
    """Return ``n`` random 64-bit numbers that depend on ``key`` alone."""
    words = [zlib.crc32(k.encode()) if isinstance(k, str) else k for k in key]
    bits = np.random.PCG64(np.random.SeedSequence(words)).random_raw(n)
    return np.asarray(bits, np.uint64).reshape(n)


def permutation(n: int, *key: int | str) -> NDArray[np.int64]:
    """Return a random order of ``range(n)`` that depends on ``key`` alone.

    >>> sorted(permutation(4, 0, "epoch").tolist())
    [0, 1, 2, 3]
    """
    return np.argsort(random_bits(n, *key), kind="stable").astype(np.int64)
