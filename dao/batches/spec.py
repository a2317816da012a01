"""What a batch holds, and in which form: decided before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from dao.batches.columns import ColumnMap
    from dao.batches.measured import Measured
    from dao.obs import Column
    from dao.transforms import Step

__all__ = ["BatchSpec", "MatrixSpec"]


@dataclass(frozen=True, slots=True)
class MatrixSpec:
    """How one matrix appears in a batch."""

    columns: ColumnMap
    dtype: np.dtype[Any]
    dense: bool


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """What a batch holds.

    Attributes
    ----------
    matrices
        ``"X"``, ``"layers/<name>"``, ``"obsm/<name>"`` -> how it appears.
    batch_size
        Cells in a batch; None if the sampler decides.
    obs
        The obs columns of the whole selection.
    steps
        What happens to X before a framework sees it, and the obs column that this needs.
    measured
        What each study measured, where batches shall say so.
    """

    batch_size: int | None
    matrices: Mapping[str, MatrixSpec]
    obs: Mapping[str, Column]
    steps: Sequence[tuple[Step, Column | None]] = ()
    measured: Measured | None = None
