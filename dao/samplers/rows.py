"""What a sampler may know of a selection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Labels", "Rows"]


@dataclass(frozen=True, slots=True)
class Labels:
    """A column of obs as whole numbers.

    Attributes
    ----------
    codes
        int32, one for each row: a place in ``names``, or -1 where the value is missing.
    names
        The values behind the codes; some may have no row.

    Examples
    --------
    >>> Labels(np.array([0, 1, -1, 0], np.int32), ("B cell", "T cell")).names[0]
    'B cell'
    """

    codes: NDArray[np.int32]
    names: Sequence[Any]

    def counts(self) -> NDArray[np.int64]:
        """Return the number of rows of each name."""
        return np.bincount(self.codes + 1, minlength=len(self.names) + 1)[1:].astype(np.int64)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that a sampler puts into an order: their number, and what obs says of them.

    Attributes
    ----------
    sizes
        int64: selected rows of each dataset; positions count through them in order.
    batch_size
        Rows of a batch, for samplers that say which rows come together; None if it is theirs to
        decide.
    obs
        Columns by name, read when they are looked up: `Labels`, or float64 numbers with NaN for
        missing.
    """

    sizes: NDArray[np.int64]
    batch_size: int | None = None
    obs: Mapping[str, Labels | NDArray[np.float64]] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.sizes.sum())

    def labels(self, by: str | Sequence[str]) -> Labels:
        """Return a column, or the combinations of several that occur.

        Numbers are labels too: each that occurs is one.
        """
        columns = [self._labels(name) for name in ([by] if isinstance(by, str) else by)]
        return columns[0] if len(columns) == 1 else _combined(columns)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column of numbers, NaN where they are missing.

        Raises
        ------
        dao.errors.ArgumentError
            If it is not one of numbers.
        """
        column = self.obs[name]
        if isinstance(column, Labels):
            msg = f"obs column {name!r} holds no numbers."
            raise ArgumentError(msg)
        return column

    def _labels(self, name: str) -> Labels:
        column = self.obs[name]
        if isinstance(column, Labels):
            return column
        known = ~np.isnan(column)
        names, found = np.unique(column[known], return_inverse=True)
        codes = np.full(len(column), -1, np.int32)
        codes[known] = found
        return Labels(codes, names.tolist())


def _combined(columns: Sequence[Labels]) -> Labels:
    joint = np.zeros(len(columns[0].codes), np.int64)
    missing = np.zeros(len(joint), np.bool_)
    for column in columns:
        joint = joint * len(column.names) + column.codes
        missing |= column.codes < 0
    found, codes = np.unique(joint[~missing], return_inverse=True)
    combined = np.full(len(joint), -1, np.int32)
    combined[~missing] = codes
    names = []
    for number in found.tolist():
        parts, rest = [], number
        for column in reversed(columns):
            rest, code = divmod(rest, len(column.names))
            parts.append(column.names[code])
        names.append(tuple(reversed(parts)))
    return Labels(combined, names)
