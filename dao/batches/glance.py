"""Streams at a glance: what a batch holds and in which order cells come, without reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dao.notebook import Glance
from dao.printable import shortened
from dao.sizes import counted, format_bytes

if TYPE_CHECKING:
    from dao.batches.generator import Generator
    from dao.batches.spec import MatrixSpec
    from dao.obs import Column

__all__ = ["Glanced", "glance"]

_MOST_NAMED = 12
_CALLS = {
    ".explain()": "what an epoch reads, and the memory it takes",
    ".stats": "cells per second, and the time spent waiting for data",
    ".mixing(key)": "how varied batches are in an obs column",
    "dao.progress(...)": "a progress bar around it",
}


class Glanced:
    """What an adaptor around a generator shows of itself; a base class."""

    generator: Generator
    _device: Any = None

    def __repr__(self) -> str:
        return str(glance(self.generator, type(self).__name__, device=self._device))

    def _repr_html_(self) -> str:
        return glance(self.generator, type(self).__name__, device=self._device).html


def glance(generator: Generator, name: str = "Generator", *, device: object = None) -> Glance:
    """Return what a generator, or an adaptor around it, gives.

    Parameters
    ----------
    name
        What is shown.
    device
        Where its tensors go, if that was said.
    """
    store, spec = generator.store, generator.spec
    size = "the sampler's batches" if spec.batch_size is None else f"batches of {spec.batch_size:,}"
    rows = {matrix: _matrix(matrix, how) for matrix, how in spec.matrices.items()}
    if spec.obs:
        rows["obs"] = _listed([_column(key, column) for key, column in spec.obs.items()])
    rows["order"] = f"{generator.sampler}, seed {generator.seed}, next epoch {generator.epoch}"
    if device is not None:
        rows["device"] = str(device)
    rows["reads"] = f"backend {store.backend!r}, memory budget {format_bytes(store.memory)}"
    if generator.stats.n_batches:
        rows["so far"] = str(generator.stats)
    datasets = counted(len(store.datasets), "dataset")
    title = f"{name}: {size} from {store.n_obs:,} cells in {datasets}"
    return Glance(title, rows, calls=_CALLS if name == "Generator" else {})


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
