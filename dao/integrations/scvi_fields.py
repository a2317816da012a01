"""What scvi-tools sees of a batch: its own names, and categories numbered from 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dao.batches.numeric import numeric_obs
from dao.errors import ArgumentError, UnknownValueError, near_matches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dao.store import Store

__all__ = ["Categories", "ScviBatch", "check_covariate"]


@dataclass(frozen=True, eq=False)
class Categories:
    """The values of an obs column that occur in some stores, numbered from 0.

    A model has parameters for each, so those of the whole store would be too many.

    Attributes
    ----------
    key
        The column.
    names
        The values, in the order of their numbers.
    values
        What a batch holds for each of them, ascending: codes, or numbers as they are.
    missing
        The number of cells without a value; -1 where these are refused.
    """

    key: str
    names: tuple[Any, ...]
    values: NDArray[Any]
    missing: int = -1

    @staticmethod
    def of(key: str, stores: Sequence[Store], unlabeled: str | None = None) -> Categories:
        """Return the values that occur in some stores, numbered.

        Parameters
        ----------
        key
            The column.
        stores
            Whose cells to look at.
        unlabeled
            What cells without a value are; None to refuse them.

        Raises
        ------
        dao.errors.ArgumentError
            If values are missing and that is refused.
        """
        occurring = [_occurring(key, store) for store in stores]
        values = np.unique(np.concatenate([found for found, _ in occurring]))
        names = _names(key, stores[0], values)
        n_missing = sum(n for _, n in occurring)
        if not n_missing:
            return Categories(key, tuple(names), values)
        if unlabeled is None:
            raise _is_missing(key, n_missing)
        names += [] if unlabeled in names else [unlabeled]
        return Categories(key, tuple(names), values, names.index(unlabeled))

    def check(self, store: Store) -> None:
        """Refuse a store with values that have no number.

        Raises
        ------
        dao.errors.UnknownValueError
            If a value was not among those that were numbered.
        dao.errors.ArgumentError
            If values are missing.
        """
        values, n_missing = _occurring(self.key, store)
        unknown = _names(self.key, store, values[~np.isin(values, self.values)])
        if unknown:
            msg = (
                f"{len(unknown)} values of {self.key!r} were not there when the model was set up, "
                f"first {unknown[0]!r}.{near_matches(unknown[0], self.names)}"
            )
            raise UnknownValueError(msg)
        if n_missing and self.missing < 0:
            raise _is_missing(self.key, n_missing)

    def encode(self, values: torch.Tensor) -> torch.Tensor:
        """Return the numbers of values: int64, of shape (n_obs, 1)."""
        own = values.numpy()
        places = np.searchsorted(self.values, own).clip(max=len(self.values) - 1)
        places[self.values[places] != own] = self.missing
        return torch.from_numpy(places)[:, None]


@dataclass(frozen=True, eq=False)
class ScviBatch:
    """A function from a batch of dao to one of scvi-tools.

    Attributes
    ----------
    layer
        Where the counts are; None for X.
    batch, labels
        Of these columns; None for a single category.
    categorical
        Categorical covariates.
    continuous
        Columns of numbers that are covariates.
    """

    layer: str | None
    batch: Categories | None
    labels: Categories | None
    categorical: tuple[Categories, ...]
    continuous: tuple[str, ...]

    def __call__(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        """Return the tensors under the names of ``scvi.REGISTRY_KEYS``."""
        obs = batch["obs"]
        one = torch.zeros((len(batch["index"]), 1), dtype=torch.int64)
        tensors = {
            "X": batch["X"] if self.layer is None else batch["layers"][self.layer],
            "batch": one if self.batch is None else self.batch.encode(obs[self.batch.key]),
            "labels": one if self.labels is None else self.labels.encode(obs[self.labels.key]),
            "ind_x": batch["index"][:, None],
        }
        if self.categorical:
            codes = [c.encode(obs[c.key]) for c in self.categorical]
            tensors["extra_categorical_covs"] = torch.cat(codes, dim=1)
        if self.continuous:
            columns = [obs[key].float() for key in self.continuous]
            tensors["extra_continuous_covs"] = torch.stack(columns, dim=1)
        return tensors

    @property
    def categories(self) -> tuple[Categories, ...]:
        """All that have to be known of a cell."""
        return *filter(None, (self.batch, self.labels)), *self.categorical

    @property
    def obs_keys(self) -> list[str]:
        """The columns that it needs."""
        return list(dict.fromkeys([*(c.key for c in self.categories), *self.continuous]))

    def check(self, store: Store) -> None:
        """Refuse a store with values that it cannot convert.

        Raises
        ------
        dao.errors.DaoError
            Names the column and a value.
        """
        for categories in self.categories:
            categories.check(store)
        for key in self.continuous:
            check_covariate(key, store)


def check_covariate(key: str, store: Store) -> None:
    """Refuse a column that is no number for every cell.

    Raises
    ------
    dao.errors.ArgumentError
        Says what it is instead.
    """
    column = store.obs_column(key)
    if column.categories is not None:
        msg = f"obs column {key!r} holds categories: name it in categorical_covariate_keys."
        raise ArgumentError(msg)
    if column.missing.any():
        raise _is_missing(key, int(column.missing.sum()))


def _occurring(key: str, store: Store) -> tuple[NDArray[Any], int]:
    column = store.obs_column(key)
    return np.unique(numeric_obs(key, column)[~column.missing]), int(column.missing.sum())


def _names(key: str, store: Store, values: NDArray[Any]) -> list[Any]:
    categories = store.obs_column(key).categories
    return values.tolist() if categories is None else [categories[v] for v in values]


def _is_missing(key: str, n_obs: int) -> ArgumentError:
    remedy = f"store.subset(exclude={{{key!r}: None}})"
    return ArgumentError(
        f"obs column {key!r} is missing for {n_obs:,} cells. Leave them out: {remedy}."
    )
