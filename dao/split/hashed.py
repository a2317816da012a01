"""Keyed hashes: a number in [0, 1) for each cell or group, which depends on nothing else."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["cell_numbers", "group_numbers", "parts_of"]

_AT_ONCE = 1 << 15  # rows whose words stay in the cache of a processor
_GROUP, _CELL = b"dao split groups", b"dao split cells"
_GAMMA = np.uint64(0x9E3779B97F4A7C15)  # of SplitMix64 (Steele, Lea and Flood 2014)
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


def group_numbers(groups: Iterable[bytes], seed: int) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each group.

    >>> group_numbers([b"donor 1", b"donor 2"], 0).round(3).tolist()
    [0.555, 0.28]
    """
    key = _key(seed)
    words = [_digest(group, key, _GROUP, 8) for group in groups]
    return _uniform(np.frombuffer(b"".join(words), "<u8").astype(np.uint64))


def cell_numbers(dataset: str, rows: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each of some cells of a dataset.

    Parameters
    ----------
    dataset
        Id of the dataset that the cells were in at first.
    rows
        int64: the row that each had in the source of that dataset.
    """
    words = _digest(dataset.encode(), _key(seed), _CELL, 16)
    first, second = np.frombuffer(words, "<u8").astype(np.uint64)
    numbers = np.empty(len(rows))
    for start in range(0, len(rows), _AT_ONCE):
        counters = rows[start : start + _AT_ONCE].astype(np.uint64)
        mixed = _mixed(_mixed(counters * _GAMMA + first) ^ second)
        numbers[start : start + _AT_ONCE] = _uniform(mixed)
    return numbers


def parts_of(numbers: NDArray[np.float64], fractions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return which part each number falls into: they lie side by side, in the order given."""
    # Rounded, so that 0.7 + 0.1 ends where 0.8 does.
    ends = np.cumsum(fractions)[:-1].round(12)
    return np.searchsorted(ends, numbers, side="right").astype(np.int64)


def _key(seed: int) -> bytes:
    return hashlib.blake2b(str(seed).encode(), digest_size=32).digest()


def _digest(content: bytes, key: bytes, person: bytes, size: int) -> bytes:
    return hashlib.blake2b(content, digest_size=size, key=key, person=person).digest()


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the words after the last step of SplitMix64, which every bit of them changes."""
    words = (words ^ (words >> _SHIFTS[0])) * _FACTORS[0]
    words = (words ^ (words >> _SHIFTS[1])) * _FACTORS[1]
    return words ^ (words >> _SHIFTS[2])


def _uniform(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
