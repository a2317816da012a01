"""tensorflow: a tf.data.Dataset of whole batches with static dtypes and feature width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dao.backend import missing_extra
from dao.batches.batch import ArrayBatch
from dao.batches.numeric import numeric_dtype, numeric_obs
from dao.errors import ArgumentError

try:
    import tensorflow as tf
except ImportError as error:
    msg = "store.tensorflow()"
    raise missing_extra(msg, "tensorflow", error) from error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dao.batches.generator import Generator
    from dao.batches.spec import BatchSpec
    from dao.batches.stream import Stream

__all__ = ["tensorflow_dataset"]


def tensorflow_dataset(generator: Generator) -> tf.data.Dataset:
    """Return a dataset of whole batches; every pass over it is the next epoch.

    X is dense, or a ``tf.SparseTensor`` for ``x_format="csr"``; the number of batches is known.

    Raises
    ------
    dao.errors.ArgumentError
        If the generator has a transform: map the dataset instead.
    """
    if generator.transform is not None:
        msg = "transform= cannot keep static types; use dataset.map(function) instead."
        raise ArgumentError(msg)
    generator.given_share = generator.share  # tensorflow's threads know nothing of a scope
    signature = _signature(generator)

    def batches() -> Iterator[dict[str, Any]]:
        yield from generator.iterate(_to_tensorflow, generator.begin())

    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(len(generator)))


def _signature(generator: Generator) -> dict[str, Any]:
    spec = generator.spec
    # Only where all batches are full can their length be part of the type.
    stream = generator.stream(generator.course(generator.epoch))
    n_rows = generator.batch_size if stream.full_batches_only else None
    matrices: dict[str, Any] = {}
    for name, how in spec.matrices.items():
        kind = tf.TensorSpec if how.dense else tf.SparseTensorSpec
        matrices[name] = kind(shape=(n_rows, how.columns.n_vars), dtype=tf.as_dtype(how.dtype))
    obs = {
        n: tf.TensorSpec(shape=(n_rows,), dtype=tf.as_dtype(numeric_dtype(n, c)))
        for n, c in spec.obs.items()
    }
    groups = ArrayBatch(matrices, {}, np.empty(0, np.int64))
    return {
        "X": matrices["X"],
        "obs": obs,
        "layers": groups.group("layers"),
        "obsm": groups.group("obsm"),
        "index": tf.TensorSpec(shape=(n_rows,), dtype=tf.int64),
        **_extras_signature(spec, stream, n_rows),
    }


def _extras_signature(spec: BatchSpec, stream: Stream, n_rows: int | None) -> dict[str, Any]:
    signature = {
        n: tf.TensorSpec(shape=(None, *a.shape[1:]), dtype=tf.as_dtype(a.dtype))
        for n, a in stream.extras(2).items()
    }
    if spec.measured is not None:
        signature["measured"] = tf.TensorSpec((n_rows, spec.measured.n_vars), tf.bool)
    return signature


def _to_tensorflow(batch: ArrayBatch) -> dict[str, Any]:
    return {
        "X": _tensor(batch.matrices["X"]),
        "obs": {n: numeric_obs(n, c) for n, c in batch.obs.items()},
        "layers": {n: _tensor(m) for n, m in batch.group("layers").items()},
        "obsm": {n: _tensor(m) for n, m in batch.group("obsm").items()},
        "index": batch.index,
        **batch.extras,
    }


def _tensor(matrix: Any) -> Any:
    if isinstance(matrix, np.ndarray):
        return matrix
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    places = np.stack([rows, matrix.indices.astype(np.int64)], axis=1)
    return tf.SparseTensor(places, matrix.data, matrix.shape)
