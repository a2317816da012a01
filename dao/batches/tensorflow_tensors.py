"""Batches as tensors of tensorflow, and what is known of them before the first."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from dao import kernels
from dao.batches.batch import ArrayBatch
from dao.batches.numeric import numeric_dtype, numeric_obs
from dao.buffers import empty
from dao.threads import over_ranges

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dao.batches.generator import Generator
    from dao.batches.spec import MatrixSpec
    from dao.batches.stream import Stream

__all__ = ["signature", "to_tensorflow"]

# tensorflow takes memory over without a copy only where it begins at a multiple of this.
_ALIGNMENT = 64
# Below this many bytes a copy is as fast.
_LEAST_SHARED = 1 << 16


def signature(generator: Generator, stream: Stream, *, ragged: bool) -> dict[str, Any]:
    """Return the types of the batches of a stream.

    The number of rows is part of them only where all batches are full.
    """
    spec = generator.spec
    n_rows = generator.batch_size if stream.full_batches_only else None
    matrices = {name: _matrix(how, n_rows, ragged=ragged) for name, how in spec.matrices.items()}
    obs = {n: _rows(n_rows, (), numeric_dtype(n, c)) for n, c in spec.obs.items()}
    extras = {n: _rows(None, a.shape[1:], a.dtype) for n, a in stream.extras(0, 2).items()}
    if spec.measured is not None:
        extras["measured"] = tf.TensorSpec((n_rows, spec.measured.n_vars), tf.bool)
    index = _rows(n_rows, (), np.dtype(np.int64))
    groups = ArrayBatch(matrices, {}, np.empty(0, np.int64))
    return _batch(matrices["X"], obs, groups.group("layers"), groups.group("obsm"), index, extras)


def to_tensorflow(batch: ArrayBatch, *, ragged: bool) -> dict[str, Any]:
    """Return the batch as tensors; large dense matrices share memory with its arrays."""
    tensor = partial(_tensor, ragged=ragged)
    return _batch(
        tensor(batch.matrices["X"]),
        {n: numeric_obs(n, c) for n, c in batch.obs.items()},
        {n: tensor(m) for n, m in batch.group("layers").items()},
        {n: tensor(m) for n, m in batch.group("obsm").items()},
        batch.index,
        {n: _shared(a) for n, a in batch.extras.items()},
    )


def _batch(
    X: Any, obs: Any, layers: Any, obsm: Any, index: Any, extras: Mapping[str, Any]
) -> dict[str, Any]:
    return {"X": X, "obs": obs, "layers": layers, "obsm": obsm, "index": index, **extras}


def _rows(n_rows: int | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tf.TensorSpec:
    return tf.TensorSpec((n_rows, *shape), tf.as_dtype(dtype))


def _matrix(how: MatrixSpec, n_rows: int | None, *, ragged: bool) -> Any:
    dtype = tf.as_dtype(how.dtype)
    if how.dense:
        return tf.TensorSpec((n_rows, how.columns.n_vars), dtype)
    if not ragged:
        return tf.SparseTensorSpec((n_rows, how.columns.n_vars), dtype)
    parts = {"indices": tf.int32, "values": dtype}
    return {n: tf.RaggedTensorSpec((n_rows, None), t, ragged_rank=1) for n, t in parts.items()}


def _tensor(matrix: Any, *, ragged: bool) -> Any:
    if isinstance(matrix, np.ndarray):
        return _shared(matrix)
    if not ragged:
        places, values = _shared(_coordinates(matrix)), _shared(matrix.data)
        return tf.SparseTensor(places, values, matrix.shape)
    splits = tf.constant(matrix.indptr, tf.int64)
    parts = {"indices": matrix.indices, "values": matrix.data}
    return {
        n: tf.RaggedTensor.from_row_splits(_shared(a), splits, validate=False)
        for n, a in parts.items()
    }


def _coordinates(matrix: Any) -> NDArray[np.int64]:
    """Return row and column of each element of a CSR matrix."""
    out = empty((len(matrix.indices), 2), np.int64)

    def fill(a: int, b: int) -> None:
        kernels.coordinates(matrix.indptr, matrix.indices, a, b, out)

    over_ranges(fill, matrix.shape[0], len(out))
    return out


def _shared(array: NDArray[Any]) -> Any:
    """Return a tensor in the memory of an array where tensorflow can use it, else a copy."""
    fits = array.flags.c_contiguous and array.flags.writeable
    if array.nbytes < _LEAST_SHARED or not fits or array.ctypes.data % _ALIGNMENT:
        return tf.convert_to_tensor(array)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
