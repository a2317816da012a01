"""Step: what a transform is that dao applies itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp
    from numpy.typing import NDArray

    from dao.obs import Column

    Matrix = sp.csr_matrix | NDArray[Any]

__all__ = ["Step"]


@runtime_checkable
class Step(Protocol):
    """A transform of X.

    Examples
    --------
    >>> from dao.transforms import Log1p
    >>> isinstance(Log1p(), Step)
    True
    """

    @property
    def obs_key(self) -> str | None:
        """The obs column that it needs, or None."""

    @property
    def needs_dense(self) -> bool:
        """Whether zeros become something else, so that only dense batches can hold the result."""

    def check(self, n_vars: int) -> None:
        """Refuse batches of this many genes if it is for others.

        Raises
        ------
        dao.errors.ArgumentError
            With both numbers.
        """

    def apply(self, X: Matrix, obs: Column | None, rows: NDArray[np.int64]) -> None:
        """Change some rows of X, float32 or float64, in place.

        Parameters
        ----------
        X
            CSR, or an array.
        obs
            The column `obs_key` of the whole selection.
        rows
            Which of its rows these are.
        """
