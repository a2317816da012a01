"""Sizes that a manifest may claim: what is allocated before a byte is read follows from them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dao.format.manifest import ArrayInfo, DatasetInfo, FeatureSpaceInfo, Manifest
    from dao.format.parse import Problems

__all__ = ["MOST_CHUNK_BYTES", "check_sizes"]

# Blosc, the usual compressor, holds less than 2^31 bytes; what dao writes stays far below.
MOST_CHUNK_BYTES = 1 << 30
# Names that differ cannot be packed tighter, whatever compresses them.
_MOST_ROWS_PER_BYTE = 1 << 12
# Numbers of rows have 32 bits.
_MOST_ROWS = (1 << 32) - 1
_INDEX_BYTES, _CRC_BYTES = 16, 4


def check_sizes(manifest: Manifest, problems: Problems) -> None:
    """Note sizes that the files beside them, or their encoding, cannot have."""
    for i, space in enumerate(manifest.feature_spaces):
        _check_space(space, f"feature_spaces[{i}]", problems)
    for i, dataset in enumerate(manifest.datasets):
        _check_dataset(dataset, f"datasets[{i}]", problems)


def _check_space(space: FeatureSpaceInfo, loc: str, problems: Problems) -> None:
    if space.n_vars > _MOST_ROWS_PER_BYTE * space.file.size:
        problems.add(f"{loc}.n_vars", f"{space.n_vars} are too many for {space.file.path}")


def _check_dataset(dataset: DatasetInfo, loc: str, problems: Problems) -> None:
    if dataset.n_obs > min(_MOST_ROWS, _MOST_ROWS_PER_BYTE * dataset.obs.file.size):
        problems.add(f"{loc}.n_obs", f"{dataset.n_obs} are too many for {dataset.obs.file.path}")
    for name, matrix in dataset.matrices.items():
        here = f"{loc}.matrices.{name}"
        if matrix.nnz > math.prod(matrix.shape):
            problems.add(f"{here}.nnz", f"{matrix.nnz} values are too many for {matrix.shape}")
        for part, array in matrix.arrays.items():
            _check_array(array, f"{here}.arrays.{part}", problems)


def _check_array(array: ArrayInfo, loc: str, problems: Problems) -> None:
    n_bytes = array.chunk * math.prod(array.shape[1:]) * np.dtype(array.dtype).itemsize
    if n_bytes > MOST_CHUNK_BYTES:
        problems.add(f"{loc}.chunk", f"has {n_bytes} bytes, more than {MOST_CHUNK_BYTES}")
    index = _INDEX_BYTES * (array.shard // array.chunk) + _CRC_BYTES
    if any(0 < size < index for size in array.shard_sizes):
        problems.add(f"{loc}.shard_sizes", f"are less than the {index} bytes of an index")
    elif index > MOST_CHUNK_BYTES:
        problems.add(f"{loc}.shard", f"has {array.shard // array.chunk} chunks")
