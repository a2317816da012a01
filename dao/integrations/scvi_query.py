"""Query mapping: a trained model of scvi-tools goes on with cells of other batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import scvi

from dao.errors import ArgumentError
from dao.integrations.scvi_reference import read_reference

if TYPE_CHECKING:
    from dao.integrations.scvi import ScviStore
    from dao.integrations.scvi_fields import ScviFields
    from dao.integrations.scvi_reference import Reference

__all__ = ["query_model"]


def query_model(data: ScviStore, reference_model: Any, **arguments: Any) -> Any:
    """Return a model of other cells that continues a trained one.

    Parameters
    ----------
    data
        The cells.
    reference_model
        The trained model, or the folder in which it was saved.
    **arguments
        As of ``load_query_data`` of scvi-tools.

    Raises
    ------
    dao.errors.ArgumentError
        If the categories are not those of the model, continued.

    Notes
    -----
    scvi-tools 1.4.2 makes the module of a query anew if the registry names the method
    ``setup_datamodule``, and then with the number of batches of the reference. Under another name
    it makes the module that the registry asks for, and adds the weights that are missing.
    """
    reference = read_reference(reference_model)
    _check_order(data.fields, reference)
    registry = data.registry
    is_model = isinstance(reference_model, scvi.model.base.BaseModelClass)
    kind = type(reference_model) if is_model else _model_class(reference.model_name)
    if data.is_semisupervised:
        arguments["datamodule"] = data
    model = kind.load_query_data(
        reference_model=reference_model if is_model else str(reference_model),
        registry={**registry, "setup_method_name": "setup_query"},
        **arguments,
    )
    model.registry_ = registry
    # Lightning trains a module in the mode that it is in, and scvi-tools leaves it in that of use.
    model.module.train()
    return model


def _model_class(name: str) -> Any:
    for module in (scvi.model, scvi.external):
        if name in module.__all__:
            return getattr(module, name)
    msg = f"There is no model {name!r} in scvi-tools {scvi.__version__}. Pass the model itself."
    raise ArgumentError(msg)


def _check_order(fields: ScviFields, reference: Reference) -> None:
    """Refuse what scvi-tools would mix up: it adds all new weights after the last covariate."""
    known = [reference.one["batch"], *reference.categorical]
    pairs = [
        (old, new)
        for old, new in zip(known, (fields.batch, *fields.categorical), strict=True)
        if old is not None and new is not None
    ]
    for old, new in pairs:
        if new.names[: len(old.names)] != old.names:
            msg = (
                f"The codes of {new.key!r} are not those of the model. Make the data with "
                "ScviStore(..., registry=reference_model, extend_categories=True)."
            )
            raise ArgumentError(msg)
    for old, new in pairs[:-1]:
        if len(new.names) > len(old.names):
            msg = (
                f"{new.key!r} has {len(new.names) - len(old.names)} new values, first "
                f"{new.names[len(old.names)]!r}, and the model has covariates after it. "
                "scvi-tools would take their weights for those of the new values. Leave these "
                "cells out, or train a model without categorical covariates."
            )
            raise ArgumentError(msg)
