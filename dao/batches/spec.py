"""What a batch holds, and in which form: decided before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dao.format.casts import Verdict, always_fits
from dao.matrices import verdict_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from dao.batches.columns import ColumnMap
    from dao.batches.measured import Measured
    from dao.format.manifest import MatrixInfo
    from dao.obs import Column
    from dao.transforms import Step

__all__ = ["BatchSpec", "MatrixSpec"]


@dataclass(frozen=True, slots=True)
class MatrixSpec:
    """How one matrix appears in a batch.

    Attributes
    ----------
    trusted
        Names of stored dtypes whose values are known to fit ``dtype``, from their range.
    checked
        Whether values of some datasets must be looked at before they are cast.
    """

    columns: ColumnMap
    dtype: np.dtype[Any]
    dense: bool
    trusted: tuple[str, ...] = ()
    checked: bool = False

    @classmethod
    def of(
        cls, infos: Sequence[MatrixInfo], columns: ColumnMap, dtype: np.dtype[Any], *, dense: bool
    ) -> MatrixSpec:
        """Return how a matrix of some datasets appears; its dtype was checked."""
        unsure = {str(i.dtype) for i in infos if verdict_of(i, dtype) is not Verdict.FITS}
        trusted = sorted({str(i.dtype) for i in infos} - unsure)
        return cls(columns, dtype, dense, tuple(trusted), bool(unsure))

    def must_look_at(self, stored: np.dtype[Any]) -> bool:
        """Whether values of a dtype that a backend returned must be looked at."""
        return not always_fits(stored, self.dtype) and str(stored) not in self.trusted


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
