"""What scvi-tools sees of a batch: tensors under its own names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from dao.errors import ArgumentError

if TYPE_CHECKING:
    from dao.integrations.scvi_categories import Categories, Codes
    from dao.store import Store

__all__ = ["ScviBatch", "ScviFields"]


@dataclass(frozen=True)
class ScviFields:
    """The columns that a model knows of a cell.

    Attributes
    ----------
    layer
        Where the counts are; None for X.
    batch, labels, sample
        Of these columns; None for a single category.
    categorical
        Categorical covariates.
    continuous
        Columns of numbers that are covariates.
    """

    layer: str | None = None
    batch: Categories | None = None
    labels: Categories | None = None
    sample: Categories | None = None
    categorical: tuple[Categories, ...] = ()
    continuous: tuple[str, ...] = ()

    def obs_keys(self, store: Store) -> list[str]:
        """Return the obs columns that batches of a store need."""
        known = (self.batch, self.labels, self.sample, *self.categorical)
        keys = [c.key for c in known if c is not None and not c.is_absent(store)]
        return list(dict.fromkeys([*keys, *self.continuous]))

    def on(self, store: Store) -> ScviBatch:
        """Return the function that converts batches of a store.

        Raises
        ------
        dao.errors.DaoError
            If a column of the store cannot be converted; names it and a value.
        """
        one = {"batch": self.batch, "labels": self.labels}
        if self.sample is not None:
            one["sample"] = self.sample
        for key in self.continuous:
            _check_covariate(key, store)
        return ScviBatch(
            self.layer,
            {name: None if c is None else c.codes(store) for name, c in one.items()},
            tuple(categories.codes(store) for categories in self.categorical),
            self.continuous,
        )


@dataclass(frozen=True, eq=False)
class ScviBatch:
    """A function from a batch of a store to one of scvi-tools.

    Attributes
    ----------
    layer
        Where the counts are; None for X.
    single
        Name of a tensor -> the numbers of a column; None for a single category.
    categorical
        Numbers of categorical covariates.
    continuous
        Columns of numbers that are covariates.
    unlabeled
        The number of cells without a label, if those with one are to come a second time, as a
        batch of their own. -1 if not.
    """

    layer: str | None
    single: dict[str, Codes | None]
    categorical: tuple[Codes, ...]
    continuous: tuple[str, ...]
    unlabeled: int = -1

    def __call__(self, batch: dict[str, Any]) -> Any:
        """Return the tensors under the names of ``scvi.REGISTRY_KEYS``.

        Where labeled cells come a second time: a list of all cells and of these. A single labeled
        cell does not, as batch norm could not train on it.
        """
        tensors = self._tensors(batch)
        if self.unlabeled < 0:
            return tensors
        has_label = (tensors["labels"] != self.unlabeled).ravel()
        if int(has_label.sum()) < 2:
            return tensors
        return [tensors, {name: tensor[has_label] for name, tensor in tensors.items()}]

    def _tensors(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        obs = batch["obs"]
        one = torch.zeros((len(batch["index"]), 1), dtype=torch.int64)
        tensors = {"X": batch["X"] if self.layer is None else batch["layers"][self.layer]}
        for name, codes in self.single.items():
            absent = batch["index"]
            tensors[name] = one if codes is None else codes.encode(obs.get(codes.key, absent))
        tensors["ind_x"] = batch["index"][:, None]
        if self.categorical:
            numbers = [codes.encode(obs[codes.key]) for codes in self.categorical]
            tensors["extra_categorical_covs"] = torch.cat(numbers, dim=1)
        if self.continuous:
            columns = [obs[key].float() for key in self.continuous]
            tensors["extra_continuous_covs"] = torch.stack(columns, dim=1)
        return tensors


def _check_covariate(key: str, store: Store) -> None:
    column = store.obs_column(key)
    if column.categories is not None:
        msg = f"obs column {key!r} holds categories. Name it in categorical_covariate_keys."
        raise ArgumentError(msg)
    n_missing = int(column.missing.sum())
    if n_missing:
        msg = (
            f"obs column {key!r} is missing for {n_missing:,} cells. Leave them out: "
            f"store.subset(exclude={{{key!r}: None}})."
        )
        raise ArgumentError(msg)
