"""jax: batches of arrays that share memory with NumPy's, CSR as ``BCSR``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.backend import missing_extra
from dao.batches.glance import Glanced
from dao.batches.numeric import check_exact, numeric_dtype, numeric_obs
from dao.batches.spec import MatrixSpec
from dao.errors import ArgumentError
from dao.matrices import check_dtype

try:
    import jax
    from jax.experimental.sparse import BCSR
except ImportError as error:
    msg = "store.jax()"
    raise missing_extra(msg, "jax", error) from error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dao.batches.ahead import Ahead
    from dao.batches.batch import ArrayBatch
    from dao.batches.generator import Generator
    from dao.batches.spec import BatchSpec

__all__ = ["JaxBatches", "to_jax"]


class JaxBatches(Glanced):
    """An iterable of whole batches; every ``iter`` is the next epoch.

    X is a ``jax.Array``, or a ``jax.experimental.sparse.BCSR`` for ``x_format="csr"``; obs a dict
    of arrays (categoricals as codes, missing -1). A batch is a pytree, so a jitted function takes
    it whole. It lies in the memory of the processor; ``jax.device_put(batch)`` copies it to an
    accelerator. Codes and ``index`` are int32, or int64 with ``jax_enable_x64``.

    Parameters
    ----------
    generator
        What is streamed.

    Raises
    ------
    dao.errors.ArgumentError
        If values need 64 bits and jax is not set to use them.
    """

    def __init__(self, generator: Generator) -> None:
        self.source, self._spec = generator, generator.spec
        if not _has_64_bits():
            _check_fits_32_bits(generator)
            self._spec = _in_32_bits(generator)

    def __len__(self) -> int:
        """Return how many batches the next ``iter`` gives on this rank."""
        return len(self.source)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.source.iterate(to_jax, self.source.begin(), spec=self._spec)

    def set_epoch(self, epoch: int) -> None:
        """Make the next ``iter`` this epoch (0 is the first)."""
        self.source.set_epoch(epoch)

    def ahead(self) -> Ahead:
        """Return what the next ``iter`` is about to give."""
        return self.source.ahead()

    def state_dict(self, n_batches: int | None = None) -> dict[str, Any]:
        """Return where the stream is; see `Generator.state_dict`."""
        return self.source.state_dict(n_batches)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where a `state_dict` was taken; see `Generator.load_state_dict`."""
        self.source.load_state_dict(state)

    @property
    def categories(self) -> dict[str, list[Any]]:
        """Column -> the values behind its codes."""
        return self.source.categories


def to_jax(batch: ArrayBatch) -> dict[str, Any]:
    """Return the batch as jax arrays, without a copy where jax can do without.

    That is where an array has a dtype that jax uses and begins at a multiple of 64 bytes, as the
    dense matrices of whole stretches do, and of their batches where ``batch_size`` times the
    bytes of a row is such a multiple.
    """
    return {
        "X": _array(batch.matrices["X"]),
        "obs": {n: _array(numeric_obs(n, c)) for n, c in batch.obs.items()},
        "layers": {n: _array(m) for n, m in batch.group("layers").items()},
        "obsm": {n: _array(m) for n, m in batch.group("obsm").items()},
        "index": _array(batch.index),
        **{n: _array(a) for n, a in batch.extras.items()},
    }


def _array(matrix: Any) -> Any:
    if isinstance(matrix, np.ndarray):
        return jax.dlpack.from_dlpack(matrix)
    parts = (_array(part) for part in (matrix.data, matrix.indices, matrix.indptr))
    return BCSR(
        tuple(parts),
        shape=matrix.shape,
        indices_sorted=bool(matrix.has_sorted_indices),
        unique_indices=True,
    )


def _has_64_bits() -> bool:
    return bool(jax.config.read("jax_enable_x64"))  # type: ignore[no-untyped-call]  # it is untyped


def _in_32_bits(generator: Generator) -> BatchSpec:
    """Return the spec with obsm of 64 bits in 32, which jax would make of them unchecked."""
    matrices = dict(generator.spec.matrices)
    for name, how in matrices.items():
        if how.dtype.itemsize > 4:
            infos = generator.store.matrix_infos(name)
            narrow = np.dtype(f"{how.dtype.kind}4")
            check_dtype(name, infos, narrow)
            matrices[name] = MatrixSpec.of(infos, how.columns, narrow, dense=how.dense)
    return replace(generator.spec, matrices=matrices)


def _check_fits_32_bits(generator: Generator) -> None:
    """Refuse what jax would cut off or round without a word, and nobody could want it to."""
    remedy = "Call jax.config.update('jax_enable_x64', True) first"
    for name, how in generator.spec.matrices.items():
        if how.dtype.itemsize > 4 and not name.startswith("obsm/"):
            msg = f"dtype={str(how.dtype)!r}: jax is set to 32 bits. {remedy}."
            raise ArgumentError(msg)
    fitting = np.iinfo(np.int32)
    if generator.store.manifest.n_obs > fitting.max:
        msg = f"The index of a cell needs 64 bits, and jax is set to 32. {remedy}."
        raise ArgumentError(msg)
    for name, column in generator.spec.obs.items():
        values = column.values
        if column.categories is not None or values.dtype.kind not in "iu" or not len(values):
            continue
        if values.min() < fitting.min or values.max() > fitting.max:
            msg = (
                f"obs column {name!r} holds numbers that need 64 bits, and jax is set to 32. "
                f"{remedy}, or leave the column out of obs_keys."
            )
            raise ArgumentError(msg)
        if numeric_dtype(name, column).kind == "f":
            check_exact(name, column, np.dtype(np.float32))
