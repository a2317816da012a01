"""The same mean and variance for every gene."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from dao.arguments import flag, number, numbers, shown
from dao.errors import ArgumentError
from dao.moments import Moments, moments_of
from dao.threads import over_ranges

if TYPE_CHECKING:
    from collections.abc import Iterable

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
        mean, std = numbers("mean", self.mean), numbers("std", self.std)
        if mean.shape != std.shape:
            msg = f"mean {mean.shape} and std {std.shape} must be two lists of one length."
            raise ArgumentError(msg)
        if (std < 0).any():
            msg = f"std={shown(self.std)}: pass numbers of at least 0."
            raise ArgumentError(msg)
        flag("zero_center", self.zero_center)
        if self.max_value is not None:
            number("max_value", self.max_value, 0, ", or None")
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

        Raises
        ------
        dao.errors.ArgumentError
            If these are not batches, or hold no cell.
        """
        moments: Moments | None = None
        wanted = f"batches={shown(batches)}: pass a generator, as store.generator(1024)."
        if isinstance(batches, str | bytes | Mapping) or not hasattr(batches, "__iter__"):
            raise ArgumentError(wanted)
        if getattr(batches, "ndim", 1) == 0 or isinstance(batches, type):
            raise ArgumentError(wanted)
        for batch in batches:
            if not isinstance(batch, Mapping) or "X" not in batch:
                raise ArgumentError(wanted)
            own = moments_of(batch["X"])
            moments = own if moments is None else moments + own
        if moments is None or not moments.n_obs:
            msg = "There is no cell to take means of."
            raise ArgumentError(msg)
        std = np.sqrt(moments.squares / max(1, moments.n_obs - 1))
        return cls(moments.centre, std, zero_center, max_value)

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
        limit = np.inf if self.max_value is None else float(self.max_value)
        if not isinstance(X, np.ndarray):
            _scale_csr(X.data, X.indices, self.std, limit)
            return
        mean = self.mean if self.zero_center else np.zeros_like(self.mean)
        lowest = -limit if self.zero_center else -np.inf

        def scale(start: int, stop: int) -> None:
            _scale_dense(X[start:stop], mean, self.std, lowest, limit)

        over_ranges(scale, len(X), 2 * X.size)


@njit(nogil=True, cache=True)
def _scale_dense(
    X: NDArray[Any],
    mean: NDArray[np.float64],
    std: NDArray[np.float64],
    lowest: float,
    highest: float,
) -> None:
    for i in range(len(X)):
        row = X[i]
        for j in range(len(row)):
            value = (np.float64(row[j]) - mean[j]) / std[j]
            # Comparisons that NaN fails: what is missing stays missing.
            if value > highest:
                value = highest
            elif value < lowest:
                value = lowest
            row[j] = value


@njit(nogil=True, cache=True)
def _scale_csr(
    values: NDArray[Any], indices: NDArray[Any], std: NDArray[np.float64], highest: float
) -> None:
    for k in range(len(values)):
        value = np.float64(values[k]) / std[indices[k]]
        value = min(value, highest)
        values[k] = value
