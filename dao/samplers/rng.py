"""Random numbers that are the same on every machine and with every version of NumPy.

NumPy promises stable streams for its bit generators and for `numpy.random.SeedSequence`,
not for the methods of `numpy.random.Generator` (NEP 19), so everything is drawn here.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["integers", "permutation", "random_bits", "uniforms"]


def random_bits(n: int, *key: int | str, start: int = 0) -> NDArray[np.uint64]:
    """Return ``n`` random 64-bit numbers that depend on ``key`` alone.

    Parameters
    ----------
    n
        How many.
    key
        Numbers and words.
    start
        How many of the sequence to leave out before: any part of it can be had alone.
    """
    words = [zlib.crc32(k.encode()) if isinstance(k, str) else k for k in key]
    generator = np.random.PCG64(np.random.SeedSequence(words))
    if start:
        generator.advance(start)
    return np.asarray(generator.random_raw(n), np.uint64).reshape(n)


def uniforms(n: int, *key: int | str, start: int = 0) -> NDArray[np.float64]:
    """Return ``n`` numbers in [0, 1), of which each multiple of 2^-53 is equally likely."""
    whole = random_bits(n, *key, start=start) >> np.uint64(11)
    return whole.astype(np.float64) * 2.0**-53


def integers(below: NDArray[np.int64], *key: int | str) -> NDArray[np.int64]:
    """Return a random whole number for each bound, at least 0 and smaller than it.

    >>> bool((integers(np.array([1, 5, 1]), 0, "epoch") < [1, 5, 1]).all())
    True
    """
    return (uniforms(len(below), *key) * below).astype(np.int64)


def permutation(n: int, *key: int | str) -> NDArray[np.int64]:
    """Return a random order of ``range(n)`` that depends on ``key`` alone.

    >>> sorted(permutation(4, 0, "epoch").tolist())
    [0, 1, 2, 3]
    """
    bits = random_bits(n, *key)
    order = np.argsort(bits)  # in half the time of a stable one
    ordered = bits[order]
    if (ordered[1:] == ordered[:-1]).any():  # only then do they differ
        order = np.argsort(bits, kind="stable")
    return order.astype(np.int64, copy=False)
