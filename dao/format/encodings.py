"""Which dtypes and chunk shapes hold a matrix: narrowest lossless types, sizes, codecs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

# Elements per shard, which is one file.
SHARD_ELEMENTS = 1 << 24


@dataclass(frozen=True, slots=True)
class Profile:
    """How arrays are compressed and cut (docs/design/002).

    Attributes
    ----------
    cname, clevel
        blosc's compressor and level; always with byte shuffle.
    chunk_elements
        Elements in an inner chunk, the unit of decoding: larger ones compress better, smaller
        ones waste less where few rows of a chunk are wanted.
    """

    cname: str
    clevel: int
    chunk_elements: int


PROFILES: Mapping[str, Profile] = {
    "fast": Profile("lz4hc", 3, 1 << 15),
    "compact": Profile("zstd", 7, 1 << 17),
}

_UNSIGNED = (np.uint8, np.uint16, np.uint32, np.uint64)
_SIGNED = (np.int8, np.int16, np.int32, np.int64)


@dataclass(frozen=True, slots=True)
class ValueRange:
    """What is known about the values of a matrix, gathered over its pieces.

    Attributes
    ----------
    minimum, maximum
        Smallest and largest finite value, implicit zeros included.
    integral
        Whether every value is a finite whole number.
    fits_float32
        Whether every value survives a cast to float32 and back.
    may_be_float32
        Whether every value may become float32 by the rule of `dao.format.casts`: fractions round.
    summed
        Whether some values are sums of several in the source.
    """

    minimum: float = 0.0
    maximum: float = 0.0
    integral: bool = True
    fits_float32: bool = True
    may_be_float32: bool = True
    summed: bool = False

    def __or__(self, other: ValueRange) -> ValueRange:
        return ValueRange(
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            self.integral and other.integral,
            self.fits_float32 and other.fits_float32,
            self.may_be_float32 and other.may_be_float32,
            self.summed or other.summed,
        )


def narrowest_dtype(values: ValueRange, source: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """Return the smallest dtype that holds every value of a matrix exactly.

    Whole numbers become the narrowest unsigned (or, where some are negative, signed)
    integer type, whatever they were stored as; other values keep their float type, or
    become float32 where that loses nothing. Sums of float32 that are no fractions become float64
    where float32 would round them or make them infinite.
    """
    if values.integral:
        candidates = _SIGNED if values.minimum < 0 else _UNSIGNED
        for candidate in candidates:
            info: np.iinfo[Any] = np.iinfo(candidate)
            # Strict bound for 64 bits: float64 rounds 2**64 - 1 up to a value that overflows.
            upper = values.maximum <= info.max if info.bits < 64 else values.maximum < 2.0**63
            if values.minimum >= info.min and upper:
                narrow = np.dtype(candidate)
                if source.kind != "f" or narrow.itemsize <= source.itemsize:
                    return narrow
                break
        if source.kind != "f":
            return np.dtype(f"{source.kind}8")
    if values.fits_float32 or (source.itemsize <= 4 and values.may_be_float32):
        return np.dtype(np.float32)
    return np.dtype(np.float64)


def index_dtype(n_vars: int) -> np.dtype[np.generic]:
    """Return uint16 for up to 65,536 features, else uint32."""
    return np.dtype(np.uint16 if n_vars <= 1 << 16 else np.uint32)


def dense_is_smaller(shape: tuple[int, int], nnz: int, value_bytes: int, index_bytes: int) -> bool:
    """Whether a dense array of this shape takes fewer bytes than CSR, before compression."""
    n_obs, n_vars = shape
    return n_obs * n_vars * value_bytes < nnz * (value_bytes + index_bytes) + 8 * (n_obs + 1)


def chunking(length: int, elements_per_item: int, chunk_elements: int) -> tuple[int, int]:
    """Return (items per inner chunk, items per shard) along the first axis of an array.

    Parameters
    ----------
    length
        Items along the first axis; arrays shorter than one chunk get a smaller chunk.
    elements_per_item
        Elements in one item: 1 for flat arrays, the row length for dense matrices.
    chunk_elements
        Of the profile.
    """
    items = max(1, chunk_elements // max(1, elements_per_item))
    chunk = min(items, max(1, length))
    chunks = -(-max(1, length) // chunk)
    return chunk, chunk * min(SHARD_ELEMENTS // chunk_elements, chunks)
