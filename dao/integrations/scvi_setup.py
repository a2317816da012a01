"""From the arguments of `ScviStore`, and the model that exists, to the columns of a model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dao.errors import ArgumentError
from dao.integrations.scvi_categories import Categories, missing_cells
from dao.integrations.scvi_fields import ScviFields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dao.integrations.scvi_reference import Reference
    from dao.store import Store

__all__ = ["Keys", "fields_of_model", "fields_of_stores"]


@dataclass(frozen=True)
class Keys:
    """The columns that a user named.

    Attributes
    ----------
    layer
        Where the counts are; None if not named, "X" for X.
    batch, labels, sample
        obs columns; None if not named.
    categorical, continuous
        Covariates.
    """

    layer: str | None
    batch: str | None
    labels: str | None
    sample: str | None
    categorical: tuple[str, ...]
    continuous: tuple[str, ...]


def fields_of_stores(
    keys: Keys, stores: Sequence[Store], unlabeled: str, *, is_semisupervised: bool
) -> ScviFields:
    """Return the columns of a new model, whose categories are those of whole stores.

    Parameters
    ----------
    keys
        The columns.
    stores
        Whose categories are numbered.
    unlabeled
        What cells without a label are.
    is_semisupervised
        Whether the model always knows unlabeled cells.
    """

    def of(key: str | None) -> Categories | None:
        return None if key is None else Categories.of(key, stores)

    labels = of(keys.labels)
    if labels is not None and (
        is_semisupervised
        or unlabeled in labels.names
        or any(missing_cells(labels.key, store, everywhere=True) for store in stores)
    ):
        labels = labels.with_unlabeled(unlabeled)
    return ScviFields(
        None if keys.layer == "X" else keys.layer,
        of(keys.batch),
        labels,
        of(keys.sample),
        tuple(Categories.of(key, stores) for key in keys.categorical),
        keys.continuous,
    )


def fields_of_model(
    keys: Keys, reference: Reference, stores: Sequence[Store], *, extend: bool
) -> ScviFields:
    """Return the columns of a model that exists, under the names that they have here.

    Parameters
    ----------
    keys
        Columns with other names than those of the model.
    reference
        The model.
    stores
        Whose cells it gets.
    extend
        Whether values that the model does not know get the numbers after the last one.

    Raises
    ------
    dao.errors.ArgumentError
        If a column is named that the model does not use, or if the numbers of covariates differ.
    """
    for key in (keys.batch, keys.labels, keys.sample):
        if key is not None:
            stores[0].column_info(key)
    batch = _named("batch", keys.batch, reference)
    labels = _named("labels", keys.labels, reference)
    sample = _named("sample", keys.sample, reference)
    names = [c.key for c in reference.categorical]
    names = _paired("categorical", keys.categorical, names)
    covariates = tuple(map(_renamed, reference.categorical, names))
    continuous = _paired("continuous", keys.continuous, reference.continuous)
    if extend:
        batch, sample = (c and c.extended(stores) for c in (batch, sample))
        covariates = tuple(c.extended(stores) for c in covariates)
        # The classifier of SCANVI has as many classes as it was made with.
        if labels is not None and reference.model_name != "SCANVI":
            labels = _extended_labels(labels, reference.unlabeled or "Unknown", stores)
    layer = reference.layer if keys.layer is None else keys.layer
    return ScviFields(
        None if layer == "X" else layer, batch, labels, sample, covariates, tuple(continuous)
    )


def _extended_labels(labels: Categories, unlabeled: str, stores: Sequence[Store]) -> Categories:
    labels = labels.extended(stores)
    is_new = labels.missing < 0 and any(missing_cells(labels.key, store) for store in stores)
    return labels.with_unlabeled(unlabeled) if is_new else labels


def _named(what: str, key: str | None, reference: Reference) -> Categories | None:
    known = reference.one[what]
    if known is not None:
        return _renamed(known, key)
    if key is not None:
        msg = f"{what}_key={key!r}: the model was set up without one. Leave it out."
        raise ArgumentError(msg)
    return None


def _renamed(known: Categories, key: str | None) -> Categories:
    return known if key is None else replace(known, key=key)


def _paired(kind: str, given: Sequence[str], known: Sequence[str]) -> list[str]:
    if given and len(given) != len(known):
        msg = (
            f"{kind}_covariate_keys={list(given)!r}: the model was set up with {len(known)}: "
            f"{list(known)!r}. Pass as many, in this order, or leave the argument out."
        )
        raise ArgumentError(msg)
    return list(given or known)
