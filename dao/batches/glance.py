"""Streams at a glance: what a batch holds and in which order cells come, without reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dao.notebook import Glance
from dao.printable import shortened
from dao.sizes import counted, format_bytes

if TYPE_CHECKING:
    from dao.batches.generator import Generator
    from dao.batches.interleave import Interleaved
    from dao.batches.spec import MatrixSpec
    from dao.obs import Column

__all__ = ["Glanced", "glance", "interleaved_glance"]

_MOST_NAMED = 12
_CALLS = {
    ".explain()": "what an epoch reads, and the memory it takes",
    ".stats": "cells per second, and the time spent waiting for data",
    ".mixing(key)": "how varied batches are in an obs column",
    "dao.progress(...)": "a progress bar around it",
}


class Glanced:
    """What an adaptor around a generator shows of itself; a base class."""

    source: Generator
    _device: Any = None
    _is_stream = True

    def __repr__(self) -> str:
        return str(self._glance)

    def _repr_html_(self) -> str:
        return self._glance.html

    @property
    def _glance(self) -> Glance:
        name = type(self).__name__
        return glance(self.source, name, device=self._device, is_stream=self._is_stream)


def glance(
    generator: Generator, name: str = "Generator", *, device: object = None, is_stream: bool = True
) -> Glance:
    """Return what a generator, or an adaptor around it, gives.

    Parameters
    ----------
    name
        What is shown.
    device
        Where its tensors go, if that was said.
    is_stream
        Whether it decides about order and batches.
    """
    store, spec = generator.store, generator.spec
    rows = {matrix: _matrix(matrix, how) for matrix, how in spec.matrices.items()}
    if spec.obs:
        rows["obs"] = _listed([_column(key, column) for key, column in spec.obs.items()])
    if is_stream:
        rows["order"] = f"{generator.sampler}, seed {generator.seed}, next epoch {generator.epoch}"
    if device is not None:
        rows["device"] = str(device)
    rows["reads"] = f"backend {store.backend!r}, memory budget {format_bytes(store.memory)}"
    if generator.stats.n_batches:
        rows["so far"] = str(generator.stats)
    datasets = counted(len(store.datasets), "dataset")
    cells = f"{store.n_obs:,} cells in {datasets}"
    title = f"{name}: {_batches(spec.batch_size)} from {cells}" if is_stream else f"{name}: {cells}"
    return Glance(title, rows, calls=_CALLS if name == "Generator" else {})


def interleaved_glance(stream: Interleaved) -> Glance:
    """Return what takes turns in a stream."""
    rows = {name: repr(part).splitlines()[0] for name, part in stream.generators.items()}
    if stream.weights is not None:
        rows["weights"] = ", ".join(f"{name} {w:g}" for name, w in stream.weights.items())
    title = f"{type(stream).__name__}: batches of {counted(len(stream.generators), 'generator')}"
    return Glance(title, rows)


def _batches(size: int | None) -> str:
    return "the sampler's batches" if size is None else f"batches of {size:,}"


def _matrix(name: str, how: MatrixSpec) -> str:
    what = "column" if name.startswith("obsm/") else "feature"
    return f"{'dense' if how.dense else 'csr'} {how.dtype}, {counted(how.columns.n_vars, what)}"


def _column(name: str, column: Column) -> str:
    shown = repr(shortened(name, 40))
    if column.categories is None:
        return f"{shown} ({column.values.dtype})"
    return f"{shown} ({len(column.categories):,} categories)"


def _listed(names: list[str]) -> str:
    rest = len(names) - _MOST_NAMED
    return ", ".join([*names[:_MOST_NAMED], *([f"{rest:,} more"] if rest > 0 else [])])
