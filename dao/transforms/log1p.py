"""ln(1 + x)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.arguments import number
from dao.errors import ArgumentError
from dao.threads import over_ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.obs import Column

__all__ = ["Log1p"]


@dataclass(frozen=True, slots=True)
class Log1p:
    """Replace x by ln(1 + x), as `scanpy.pp.log1p` does.

    Parameters
    ----------
    base
        Of the logarithm; the natural one if None.

    Examples
    --------
    >>> batch = next(iter(store.generator(100, transform=Log1p())))
    >>> float(batch["X"].data.min()) == float(np.log1p(np.float32(1)))
    True
    """

    base: float | None = None

    def __post_init__(self) -> None:
        if self.base is None:
            return
        object.__setattr__(self, "base", number("base", self.base, 0, " other than 1, or None"))
        if self.base == 1:
            msg = "base=1: pass a number above 0 other than 1, or None."
            raise ArgumentError(msg)

    @property
    def obs_key(self) -> None:
        """No column is needed."""

    @property
    def needs_dense(self) -> bool:
        """Zeros stay zeros."""
        return False

    def check(self, n_vars: int) -> None:
        """Accept everything."""

    def apply(self, X: Any, obs: Column | None, rows: NDArray[np.int64]) -> None:
        """Change X in place."""
        values = X.reshape(-1) if isinstance(X, np.ndarray) else X.data

        def log(start: int, stop: int) -> None:
            part = values[start:stop]
            np.log1p(part, out=part)
            if self.base is not None:
                part /= np.log(self.base)

        # A logarithm costs several times what moving a value does.
        over_ranges(log, len(values), 8 * len(values))
