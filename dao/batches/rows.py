"""What samplers see of a store: the sizes of its datasets, and obs as plain numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from dao.errors import ObsTypeError
from dao.samplers import Labels, Rows
from dao.samplers.rows import labels_from

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.obs import Column
    from dao.store import Store

__all__ = ["key_of", "labels_of", "rows_of"]

T = TypeVar("T")


def rows_of(store: Store, batch_size: int | None) -> Rows:
    """Return the selected rows of a store as samplers see them; obs is read when it is used."""
    columns = _Columns(store)
    return Rows(
        store.selection.stretches, batch_size, _Values(columns, labels_of), _Values(columns, key_of)
    )


@dataclass(frozen=True)
class _Columns:
    """The obs columns of a store, each read once."""

    store: Store
    _read: dict[str, Column] = field(default_factory=dict)

    def read(self, name: str) -> Column:
        if name not in self._read:
            self._read[name] = self.store.obs_column(name)
        return self._read[name]


@dataclass(frozen=True)
class _Values(Mapping[str, T]):
    """Obs columns in one form, made when they are looked up."""

    columns: _Columns
    make: Callable[[str, Column], T]
    _made: dict[str, T] = field(default_factory=dict)

    def __getitem__(self, name: str) -> T:
        if name not in self._made:
            self._made[name] = self.make(name, self.columns.read(name))
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns.store.obs_columns)

    def __len__(self) -> int:
        return len(self.columns.store.obs_columns)


def labels_of(name: str, column: Column) -> Labels | NDArray[np.float64]:
    """Return a column as labels, or as numbers with NaN for missing.

    Raises
    ------
    dao.errors.ObsTypeError
        For times and other values that are neither.
    """
    if column.categories is not None or column.info.kind == "bool":
        return key_of(name, column)
    if column.info.kind == "other":
        msg = (
            f"obs column {name!r} holds {column.info.dtype}, which cannot be used as a number. "
            "Pass a column of numbers."
        )
        raise ObsTypeError(msg)
    numbers = column.values.astype(np.float64)
    numbers[column.missing] = np.nan
    return numbers


def key_of(name: str, column: Column) -> Labels:
    """Return a column as labels that keep every value apart, whatever its type.

    Raises
    ------
    dao.errors.ObsTypeError
        If its values have no order among themselves.
    """
    if column.categories is not None:
        return Labels(column.values, column.categories)
    if column.info.kind == "bool":
        codes = np.where(column.missing, -1, column.values).astype(np.int32)
        return Labels(codes, [False, True])
    try:
        return labels_from(column.values, column.missing)
    except TypeError as error:
        msg = f"obs column {name!r} holds values that cannot be grouped: {error}."
        raise ObsTypeError(msg) from error
