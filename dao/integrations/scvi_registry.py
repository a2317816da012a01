"""The registry that models of scvi-tools are made from, as its own data modules write it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dao.integrations.scvi_categories import Categories
    from dao.integrations.scvi_fields import ScviFields

__all__ = ["registry"]


def registry(
    fields: ScviFields,
    *,
    model_name: str,
    var_names: NDArray[Any],
    n_obs: int,
    per_sample: Sequence[int],
    unlabeled_category: str,
    version: str,
) -> dict[str, Any]:
    """Return what models of scvi-tools read as ``registry=``.

    Parameters
    ----------
    fields
        The columns.
    model_name
        The class of the model.
    var_names
        The features.
    n_obs
        Cells to train and to validate on.
    per_sample
        Cells of each sample; empty for models that do not know samples.
    unlabeled_category
        What cells without a label are.
    version
        Of scvi-tools.

    Notes
    -----
    The form is that of ``scvi.dataloaders.TileDBDataModule.registry`` in scvi-tools 1.4.2. Models
    find fields by their names and add up all ``summary_stats``.
    """
    labels = _category("labels", fields.labels)
    labels["state_registry"]["unlabeled_category"] = unlabeled_category
    sample = {} if fields.sample is None else {"sample": _sample(fields.sample, per_sample)}
    return {
        "scvi_version": version,
        "model_name": model_name,
        "setup_method_name": "setup_datamodule",
        "setup_args": {
            "layer": fields.layer,
            "batch_key": fields.batch and fields.batch.key,
            "labels_key": fields.labels and fields.labels.key,
            "samples_key": fields.sample and fields.sample.key,
            "size_factor_key": None,
            "categorical_covariate_keys": [c.key for c in fields.categorical] or None,
            "continuous_covariate_keys": list(fields.continuous) or None,
        },
        "field_registries": {
            "X": _field(
                {"attr_name": "layers" if fields.layer else "X", "attr_key": fields.layer},
                {"n_obs": n_obs, "n_vars": len(var_names), "column_names": var_names},
                {"n_vars": len(var_names), "n_cells": n_obs},
            ),
            "batch": _category("batch", fields.batch),
            "labels": labels,
            "ind_x": _field({"attr_name": "obs", "attr_key": "_indices"}),
            "size_factor": _field(),
            "extra_categorical_covs": _categorical_covariates(fields.categorical),
            "extra_continuous_covs": _continuous_covariates(fields.continuous),
            **sample,
        },
    }


def _field(
    data: dict[str, Any] | None = None,
    state: dict[str, Any] | None = None,
    summary: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "data_registry": data or {},
        "state_registry": state or {},
        "summary_stats": summary or {},
    }


def _category(name: str, categories: Categories | None) -> dict[str, Any]:
    key = f"_scvi_{name}"
    names = (0,) if categories is None else categories.names
    return _field(
        {"attr_name": "obs", "attr_key": key},
        {
            "categorical_mapping": np.array(names, dtype=object),
            "original_key": key if categories is None else categories.key,
        },
        {f"n_{name}": len(names)},
    )


def _sample(sample: Categories, per_sample: Sequence[int]) -> dict[str, Any]:
    field = _category("sample", sample)
    counts = torch.tensor(per_sample, dtype=torch.float32)
    return {**field, "n_obs_per_sample": {"n_obs_per_sample": counts}}


def _categorical_covariates(covariates: Sequence[Categories]) -> dict[str, Any]:
    n_covariates = {"n_extra_categorical_covs": len(covariates)}
    if not covariates:
        return _field(summary=n_covariates)
    return _field(
        {"attr_name": "obsm", "attr_key": "_scvi_extra_categorical_covs"},
        {
            "field_keys": [c.key for c in covariates],
            "mappings": {c.key: np.array(c.names, dtype=object) for c in covariates},
            "n_cats_per_key": [len(c.names) for c in covariates],
        },
        n_covariates,
    )


def _continuous_covariates(keys: Sequence[str]) -> dict[str, Any]:
    n_covariates = {"n_extra_continuous_covs": len(keys)}
    if not keys:
        return _field(summary=n_covariates)
    return _field(
        {"attr_name": "obsm", "attr_key": "_scvi_extra_continuous_covs"},
        {"columns": np.array(keys, dtype=object)},
        n_covariates,
    )
