"""The registry of a model that exists: its features, columns and categories."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dao.errors import ArgumentError
from dao.integrations.scvi_categories import Categories

__all__ = ["Reference", "read_reference"]

# Fields that a store can give to a model.
_GIVEN = {
    "X",
    "batch",
    "labels",
    "sample",
    "ind_x",
    "size_factor",
    "extra_categorical_covs",
    "extra_continuous_covs",
}


@dataclass(frozen=True)
class Reference:
    """What a model was set up with.

    Attributes
    ----------
    model_name
        The class of the model.
    var_names
        Its features.
    layer
        Where the counts were; None for X.
    one
        batch, labels and sample -> their categories; None for a single category.
    unlabeled
        What cells without a label are; None if the registry does not name it.
    categorical, continuous
        Covariates.
    """

    model_name: str
    var_names: pd.Index
    layer: str | None
    one: dict[str, Categories | None]
    unlabeled: str | None
    categorical: tuple[Categories, ...]
    continuous: tuple[str, ...]


def read_reference(given: Any) -> Reference:
    """Return what a model was set up with.

    Parameters
    ----------
    given
        The registry of a model, a model or data module that has one, or the folder of a saved
        model.

    Raises
    ------
    dao.errors.ArgumentError
        If it is none of these, or if a store cannot give the model what it needs.
    """
    registry = _registry(given)
    try:
        return _parsed(registry)
    except (AttributeError, KeyError, TypeError) as error:
        msg = (
            f"registry= is not a registry of scvi-tools that can be read here: {error!r}. Pass "
            "model.registry of a model that was made by scvi-tools 1.1 or later."
        )
        raise ArgumentError(msg) from error


def _registry(given: Any) -> Mapping[str, Any]:
    if isinstance(given, str | os.PathLike):
        return _saved(Path(os.fspath(given)).expanduser())
    registry = given if isinstance(given, Mapping) else getattr(given, "registry", None)
    if not isinstance(registry, Mapping):
        msg = (
            f"registry= is a {type(given).__name__}. Pass the registry of a model, the model, or "
            "the folder in which it was saved."
        )
        raise ArgumentError(msg)
    return registry


def _saved(folder: Path) -> Mapping[str, Any]:
    from scvi.model.base import BaseModelClass

    if not (folder / "model.pt").is_file():
        msg = f"registry={str(folder)!r} is not the folder of a saved model: it has no model.pt."
        raise ArgumentError(msg)
    try:
        registry: Mapping[str, Any] = BaseModelClass.load_registry(str(folder))
    except Exception as error:  # unpickling can raise anything
        msg = f"{folder / 'model.pt'} cannot be read: {error}. Save the model once more."
        raise ArgumentError(msg) from error
    return registry


def _parsed(registry: Mapping[str, Any]) -> Reference:
    fields, arguments = registry["field_registries"], registry["setup_args"]
    _check_fields(fields, arguments)
    names = ("batch", "labels", "sample")
    unlabeled = _state(fields, "labels").get("unlabeled_category")
    one = {name: _category(fields, name) for name in names}
    labels = one["labels"]
    if labels is not None and unlabeled in labels.names:
        place = labels.names.index(unlabeled)
        one["labels"] = Categories(labels.key, labels.names, place)
    return Reference(
        str(registry["model_name"]),
        pd.Index(_state(fields, "X")["column_names"]),
        arguments.get("layer"),
        one,
        unlabeled,
        _covariates(_state(fields, "extra_categorical_covs")),
        tuple(map(str, _state(fields, "extra_continuous_covs").get("columns", ()))),
    )


def _check_fields(fields: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    others = [name for name in fields if name not in _GIVEN and fields[name].get("data_registry")]
    if arguments.get("size_factor_key"):
        others.append("size_factor")
    if others:
        msg = f"The model needs {', '.join(others)}, which a store does not give to scvi-tools."
        raise ArgumentError(msg)


def _state(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    state: Mapping[str, Any] = fields.get(name, {}).get("state_registry", {})
    return state


def _category(fields: Mapping[str, Any], name: str) -> Categories | None:
    state = _state(fields, name)
    key = state.get("original_key")
    # scvi-tools makes a column of this name where none was chosen.
    if key is None or key == f"_scvi_{name}":
        return None
    return Categories(str(key), tuple(state["categorical_mapping"]))


def _covariates(state: Mapping[str, Any]) -> tuple[Categories, ...]:
    keys: Sequence[str] = state.get("field_keys", ())
    return tuple(Categories(str(key), tuple(state["mappings"][key])) for key in keys)
