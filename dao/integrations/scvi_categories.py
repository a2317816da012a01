"""Categories of an obs column as a model numbers them, and what a store holds for each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dao.batches.numeric import numeric_obs
from dao.errors import ArgumentError, UnknownValueError, near_matches
from dao.format.obs_schema import VIRTUAL_COLUMNS
from dao.selection import Selection
from dao.warn import warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from dao.store import Store

__all__ = ["Categories", "Codes", "missing_cells"]


@dataclass(frozen=True)
class Categories:
    """The values of an obs column, in the order in which a model numbers them.

    Attributes
    ----------
    key
        The column.
    names
        The values. The place of a value is its number.
    missing
        The number of cells without a value; -1 where these are refused.
    """

    key: str
    names: tuple[Any, ...]
    missing: int = -1

    @staticmethod
    def of(key: str, stores: Sequence[Store]) -> Categories:
        """Return the values of whole stores, whatever cells are selected.

        So the numbers are the same for every selection. Values of further stores come at the end.
        """
        names = (name for store in stores for name in _vocabulary(key, store))
        return Categories(key, tuple(dict.fromkeys(names)))

    def with_unlabeled(self, unlabeled: str) -> Categories:
        """Return the values with that of unlabeled cells, which is the last."""
        names = (*(name for name in self.names if name != unlabeled), unlabeled)
        return Categories(self.key, names, len(names) - 1)

    def extended(self, stores: Iterable[Store]) -> Categories:
        """Return the values with those that occur in stores and have no number, at the end."""
        found = (name for store in stores for name in _occurring(self.key, store)[1])
        return replace(self, names=tuple(dict.fromkeys((*self.names, *found))))

    def is_absent(self, store: Store) -> bool:
        """Return whether a store has no such column, so that all of its cells are unlabeled."""
        return self.missing >= 0 and self.key not in (*store.obs_columns, *VIRTUAL_COLUMNS)

    def codes(self, store: Store) -> Codes:
        """Return the numbers of what batches of a store hold.

        Raises
        ------
        dao.errors.UnknownValueError
            If a value of the selected cells has no number.
        dao.errors.ArgumentError
            If cells have no value, and that is refused.
        """
        if self.is_absent(store):
            msg = (
                f"There is no obs column {self.key!r}: all cells are {self.names[self.missing]!r}."
            )
            warn(msg)
            return Codes(self.key, np.empty(0), np.empty(0, np.int64), self.missing)
        values, names = _occurring(self.key, store)
        number_of = {name: number for number, name in enumerate(self.names)}
        unknown = [name for name in names if name not in number_of]
        if unknown:
            raise _is_unknown(self.key, unknown, self.names)
        n_missing = missing_cells(self.key, store)
        if n_missing and self.missing < 0:
            msg = (
                f"obs column {self.key!r} is missing for {n_missing:,} cells. Leave them out: "
                f"store.subset(exclude={{{self.key!r}: None}})."
            )
            raise ArgumentError(msg)
        numbers = np.array([number_of[name] for name in names], np.int64)
        return Codes(self.key, values, numbers, self.missing)


@dataclass(frozen=True, eq=False)
class Codes:
    """The numbers of what batches of one store hold for an obs column.

    Attributes
    ----------
    key
        The column.
    values
        What a batch holds, ascending: codes, or numbers as they are.
    numbers
        The number of each of them.
    missing
        The number of cells without a value.
    """

    key: str
    values: NDArray[Any]
    numbers: NDArray[np.int64]
    missing: int

    def encode(self, values: torch.Tensor) -> torch.Tensor:
        """Return the numbers of values: int64, of shape (n_obs, 1).

        All cells are missing where the store has no such column, whatever the values.
        """
        own = values.numpy()
        if not len(self.values):
            return torch.full((len(own), 1), self.missing, dtype=torch.int64)
        places = np.searchsorted(self.values, own).clip(max=len(self.values) - 1)
        numbers = np.where(self.values[places] == own, self.numbers[places], self.missing)
        return torch.from_numpy(numbers)[:, None]


def missing_cells(key: str, store: Store, *, everywhere: bool = False) -> int:
    """Return how many selected cells have no value, or how many cells of the whole store."""
    column = (_everything(store) if everywhere else store).obs_column(key)
    return int(column.missing.sum())


def _vocabulary(key: str, store: Store) -> list[Any]:
    whole = _everything(store)
    column = whole.obs_column(key)
    return _occurring(key, whole)[1] if column.categories is None else list(column.categories)


def _occurring(key: str, store: Store) -> tuple[NDArray[Any], list[Any]]:
    """Return what batches hold for the values that occur, ascending, and the values."""
    column = store.obs_column(key)
    values = np.unique(numeric_obs(key, column)[~column.missing])
    if column.categories is None:
        return values, values.tolist()
    return values, [column.categories[code] for code in values]


def _everything(store: Store) -> Store:
    return replace(store, selection=Selection.everything(store.manifest))


def _is_unknown(key: str, unknown: list[Any], known: Sequence[Any]) -> UnknownValueError:
    return UnknownValueError(
        f"The model does not know {len(unknown)} values of obs column {key!r}, first "
        f"{unknown[0]!r}.{near_matches(unknown[0], known)} Leave these cells out, or map them to "
        "the model as a query: ScviStore(..., registry=model, extend_categories=True)."
    )
