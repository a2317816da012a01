"""The same mean and variance for every gene."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from dao.errors import ArgumentError
from dao.threads import over_ranges

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from dao.obs import Column

__all__ = ["Scale"]


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Subtract a mean from each gene and divide it by a standard deviation.

    `Scale.fit` takes them from the cells of a generator; the result is then that of
    `scanpy.pp.scale` on these cells.

    Parameters
    ----------
    mean, std
        One number for each gene of a batch, in its order.
    zero_center
        Whether the mean is subtracted; only dense batches can be.
    max_value
        Where values are cut off (above, and below at its negative if they are centred).

    Examples
    --------
    >>> scale = Scale.fit(store.generator(100, transform="log1p"))
    >>> stream = store.generator(400, transform=["log1p", scale], x_format="dense")
    >>> x = next(iter(stream))["X"]
    >>> np.allclose(x.mean(axis=0), 0, atol=1e-5), np.allclose(x.std(axis=0, ddof=1), 1, atol=1e-5)
    (True, True)
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    zero_center: bool = True
    max_value: float | None = None

    def __post_init__(self) -> None:
        mean, std = np.asarray(self.mean, np.float64), np.asarray(self.std, np.float64)
        if mean.ndim != 1 or mean.shape != std.shape:
            msg = f"mean {mean.shape} and std {std.shape} must be two lists of one length."
            raise ArgumentError(msg)
        if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std >= 0).all()):
            msg = "mean and std must be finite numbers, and no std below 0."
            raise ArgumentError(msg)
        object.__setattr__(self, "mean", mean)
        # A gene that never varies stays as it is, as in scanpy.
        object.__setattr__(self, "std", np.where(std == 0, 1.0, std))

    def __repr__(self) -> str:
        """Return the arguments, the lists as a checksum."""
        both = np.concatenate([self.mean, self.std])
        return (
            f"Scale(<{len(self.mean)} genes {zlib.crc32(both.tobytes()):08x}>, "
            f"zero_center={self.zero_center}, max_value={self.max_value})"
        )

    @classmethod
    def fit(
        cls,
        batches: Iterable[Mapping[str, Any]],
        *,
        zero_center: bool = True,
        max_value: float | None = None,
    ) -> Scale:
        """Return the transform with the mean and standard deviation of one pass over batches.

        Parameters
        ----------
        batches
            A generator of the training cells, with the genes and the transforms that come before.
        zero_center, max_value
            See the class.
        """
        n = 0
        mean: Any = 0.0
        squares: Any = 0.0
        for batch in batches:
            X = batch["X"]
            m = X.shape[0]
            own, own_squares = _moments(X)
            # Chan, Golub and LeVeque (1983): sums of squares about the mean, joined exactly.
            delta = own - mean
            n += m
            mean = mean + delta * (m / n)
            squares = squares + own_squares + delta**2 * (m * (n - m) / n)
        if not n:
            msg = "There is no cell to take means of."
            raise ArgumentError(msg)
        std = np.sqrt(np.maximum(squares, 0) / max(1, n - 1))
        return cls(mean, std, zero_center, max_value)

    @property
    def obs_key(self) -> None:
        """No column is needed."""

    @property
    def needs_dense(self) -> bool:
        """Whether zeros are moved by the mean."""
        return self.zero_center

    def check(self, n_vars: int) -> None:
        """Refuse batches of another width."""
        if len(self.mean) != n_vars:
            msg = f"Scale is for {len(self.mean):,} genes, and batches have {n_vars:,}."
            raise ArgumentError(msg)

    def apply(self, X: Any, obs: Column | None, rows: NDArray[np.int64]) -> None:
        """Change X in place."""
        std = self.std.astype(X.dtype)
        if not isinstance(X, np.ndarray):
            X.data /= std[X.indices]
            if self.max_value is not None:
                np.minimum(X.data, self.max_value, out=X.data)
            return
        mean = self.mean.astype(X.dtype)

        def scale(start: int, stop: int) -> None:
            part = X[start:stop]
            if self.zero_center:
                part -= mean
            part /= std
            if self.max_value is not None:
                lowest = -self.max_value if self.zero_center else None
                np.clip(part, lowest, self.max_value, out=part)

        over_ranges(scale, len(X), 2 * X.size)


def _moments(X: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean of each column, and its sum of squares about it."""
    if not isinstance(X, np.ndarray):
        wide = sp.csr_matrix(X, dtype=np.float64)
        mean = np.asarray(wide.sum(axis=0)).ravel() / X.shape[0]
        squares = np.asarray(wide.multiply(wide).sum(axis=0)).ravel()
        return mean, squares - X.shape[0] * mean**2
    array = X.astype(np.float64)
    mean = array.mean(axis=0)
    return mean, ((array - mean) ** 2).sum(axis=0)
