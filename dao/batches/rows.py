"""What samplers see of a store: the sizes of its datasets, and obs as plain numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dao.errors import ObsTypeError
from dao.samplers import Labels, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.obs import Column
    from dao.store import Store

__all__ = ["labels_of", "rows_of"]


def rows_of(store: Store, batch_size: int | None) -> Rows:
    """Return the selected rows of a store as samplers see them; obs is read when it is used."""
    return Rows(store.selection.stretches, batch_size, _Columns(store))


@dataclass(frozen=True)
class _Columns(Mapping[str, "Labels | NDArray[np.float64]"]):
    store: Store
    _read: dict[str, Labels | NDArray[np.float64]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Labels | NDArray[np.float64]:
        if name not in self._read:
            self._read[name] = labels_of(name, self.store.obs_column(name))
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.store.obs_columns)

    def __len__(self) -> int:
        return len(self.store.obs_columns)


def labels_of(name: str, column: Column) -> Labels | NDArray[np.float64]:
    """Return a column as labels, or as numbers with NaN for missing.

    Raises
    ------
    dao.errors.ObsTypeError
        For times and other values that are neither.
    """
    if column.categories is not None:
        return Labels(column.values, column.categories)
    if column.info.kind == "other":
        msg = f"obs column {name!r} holds {column.info.dtype}, which no sampler understands."
        raise ObsTypeError(msg)
    if column.info.kind == "bool":
        codes = np.where(column.missing, -1, column.values).astype(np.int32)
        return Labels(codes, [False, True])
    numbers = column.values.astype(np.float64)
    numbers[column.missing] = np.nan
    return numbers
