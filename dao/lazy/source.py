"""Source: what all blocks of a collection have in common, and how a block is read, anywhere."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dao.arguments import text, whole
from dao.batches.fetch import fetch
from dao.batches.locate import locate
from dao.batches.segment import segment
from dao.cached import cached_property
from dao.errors import ArgumentError
from dao.lazy.blocks import blocks, bounds
from dao.lazy.shared import Shared

if TYPE_CHECKING:
    from dao.batches.spec import MatrixSpec
    from dao.lazy.blocks import Block
    from dao.store import Store
    from dao.transforms import Step

__all__ = ["OBS_NAMES", "ObsSource", "Source", "cut", "matrix_source", "read_matrix", "read_obs"]

OBS_NAMES = "obs_names"

# Of a block in its final form: about what dask recommends.
_BLOCK_BYTES = 1 << 27


@dataclass(frozen=True)
class Source:
    """A matrix of a store, and how it shall appear.

    Attributes
    ----------
    shared
        The reader.
    matrix, how
        What is read, and its form.
    steps
        What happens to it then.
    """

    shared: Shared
    matrix: str
    how: MatrixSpec
    steps: tuple[Step, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Equal for what reads the same."""
        return hashlib.sha256(pickle.dumps(self)).hexdigest()


@dataclass(frozen=True)
class ObsSource:
    """Some obs columns of a store."""

    shared: Shared
    columns: tuple[str, ...]


def matrix_source(
    store: Store,
    layer: str | None = None,
    x_format: str = "csr",
    dtype: Any = "float32",
    transform: Any = None,
) -> Source:
    """Return X or a layer of a selection as what its blocks have in common.

    Raises
    ------
    dao.errors.DaoError
        If anything asked for does not exist or cannot be given.
    """
    layers = [] if layer is None else [text("layer", layer, "counts")]
    asked = store.generator(
        1, sampler="sequential", layers=layers, x_format=x_format, dtype=dtype, transform=transform
    )
    if asked.transform is not None:
        msg = "transform=: functions are for batches; use map_blocks on what is returned instead."
        raise ArgumentError(msg)
    if layer is not None and asked.spec.steps:
        msg = f"transform= changes X, and the layer {layer!r} is asked for."
        raise ArgumentError(msg)
    matrix = "X" if layer is None else f"layers/{layer}"
    steps = tuple(step for step, _ in asked.spec.steps)
    return Source(shared_reader(store), matrix, asked.spec.matrices[matrix], steps)


def shared_reader(store: Store) -> Shared:
    """Return what reads a store in tasks: not one that would begin tasks itself."""
    return Shared(getattr(store.reader, "decoder", store.reader))


def cut(store: Store, source: Source, rows_per_block: int | None = None) -> list[Block]:
    """Return the blocks of a selection, of a size that suits a matrix.

    Raises
    ------
    dao.errors.ArgumentError
        If ``rows_per_block`` is no whole number above 0.
    """
    how = source.how
    if rows_per_block is None:
        row_bytes = how.columns.n_vars * how.dtype.itemsize
        if not how.dense:
            row_bytes = int(store.mean_nnz(source.matrix) * (how.dtype.itemsize + 4))
        rows_per_block = max(1, _BLOCK_BYTES // max(1, row_bytes))
    rows_per_block = whole("rows_per_block", rows_per_block, 1)
    return blocks(store.selection, bounds(store, source.matrix, rows_per_block))


def read_matrix(source: Source, block: Block) -> Any:
    """Return the rows of a block: CSR or an array, as the source says.

    Raises
    ------
    dao.errors.CorruptStoreError
        If something read is damaged.
    """
    reader = source.shared.reader
    manifest, n = reader.manifest(), len(block)
    selection = block.selection(manifest)
    rows = locate(manifest, selection, np.arange(n), [0, n])
    specs = {source.matrix: source.how}
    matrix: Any = segment(fetch(reader, specs, rows), 0, specs).matrices[source.matrix]
    for step in source.steps:
        key = step.obs_key
        column = None if key is None else source.shared.obs.selected(selection, key)
        step.apply(matrix, column, np.arange(n))
    return matrix


def read_obs(source: ObsSource, block: Block) -> pd.DataFrame:
    """Return obs of the rows of a block, with their positions in the selection as index.

    Raises
    ------
    dao.errors.CorruptStoreError
        If something read is damaged.
    """
    frame = source.shared.obs.frame(
        block.selection(source.shared.reader.manifest()), source.columns
    )
    frame.insert(0, OBS_NAMES, frame.index.to_numpy(object))
    return frame.set_index(pd.RangeIndex(block.start, block.stop))
