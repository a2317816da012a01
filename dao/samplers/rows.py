"""What a sampler may know of a selection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from dao.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["Labels", "Rows", "labels_from"]

_MOST_JOINT = 1 << 62


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
    keys
        The same columns as `Labels` that keep every value apart, also whole numbers beyond 2^53,
        and times; None to make labels from ``obs``.
    """

    sizes: NDArray[np.int64]
    batch_size: int | None = None
    obs: Mapping[str, Labels | NDArray[np.float64]] = field(default_factory=dict)
    keys: Mapping[str, Labels] | None = None

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
        if self.keys is not None:
            return self.keys[name]
        column = self.obs[name]
        return column if isinstance(column, Labels) else labels_from(column, np.isnan(column))


def labels_from(values: NDArray[Any], missing: NDArray[np.bool_]) -> Labels:
    """Return the labels of numbers, booleans or times: each value that occurs is one.

    Values are compared in their own dtype, so that no two of them become one.
    """
    names, found = np.unique(values[~missing], return_inverse=True)
    codes = np.full(len(values), -1, np.int32)
    codes[~missing] = found
    return Labels(codes, list(names) if names.dtype.kind in "mM" else names.tolist())


@dataclass(frozen=True)
class _Combinations(Sequence[tuple[Any, ...]]):
    """The names of combined labels, made when they are looked at: there may be millions.

    Attributes
    ----------
    codes
        One array for each column: which of its names each combination has.
    names
        The names of each column.
    """

    codes: tuple[NDArray[np.int64], ...]
    names: tuple[Sequence[Any], ...]

    def __len__(self) -> int:
        return len(self.codes[0])

    @overload
    def __getitem__(self, place: int) -> tuple[Any, ...]: ...
    @overload
    def __getitem__(self, place: slice) -> list[tuple[Any, ...]]: ...
    def __getitem__(self, place: int | slice) -> tuple[Any, ...] | list[tuple[Any, ...]]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        pairs = zip(self.codes, self.names, strict=True)
        return tuple(names[int(codes[place])] for codes, names in pairs)


def _combined(columns: Sequence[Labels]) -> Labels:
    joint = np.zeros(len(columns[0].codes), np.int64)
    missing = np.zeros(len(joint), np.bool_)
    n_joint = 1
    for column in columns:
        n_names = max(1, len(column.names))
        if n_joint * n_names > _MOST_JOINT:
            kept, joint = np.unique(joint, return_inverse=True)
            n_joint = len(kept)
        joint = joint * n_names + np.maximum(column.codes, 0)
        n_joint *= n_names
        missing |= column.codes < 0
    known = np.flatnonzero(~missing)
    _, first, found = np.unique(joint[known], return_index=True, return_inverse=True)
    combined = np.full(len(joint), -1, np.int32)
    combined[known] = found
    held = known[first]
    codes = tuple(c.codes[held].astype(np.int64) for c in columns)
    return Labels(combined, _Combinations(codes, tuple(c.names for c in columns)))
