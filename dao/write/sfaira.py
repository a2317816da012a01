"""Datasets that sfaira wrote (0.3.0 to 0.3.13): dense Zarr v2, Parquet and a pickle.

The layout is that of ``write_dao`` in sfaira (theislab/sfaira, sfaira/data/store/io/io_dao.py): a
store is a folder of datasets, each with ``zarr/X``, ``parquet/obs.parquet``,
``parquet/var.parquet`` and ``pickle/uns.pickle``. A chunk without a file holds the fill value, as
Zarr says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import zarr
from zarr.storage import LocalStore

from dao.errors import SourceError
from dao.write.matrix import SourceMatrix, dense_matrix
from dao.write.unpickle import unpickle

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["dataset_id", "datasets_of", "is_dataset", "open_dataset"]

# In uns: the values are in a column of obs (0.3.0).
_PER_CELL = "__obs__"
# The inverse of the permutation that shuffled the rows; in 0.3.10 only 0, 1, 2 and so on.
_PERMUTATION = "permutation_original_data"
# What sfaira chooses cells by, be it in obs or, for a whole dataset, in uns.
_OF_CELLS = (
    "annotated", "assay_differentiation", "assay_sc", "assay_type_differentiation", "author",
    "bio_sample", "cell_line", "cell_type", "default_embedding", "development_stage", "disease",
    "doi", "doi_journal", "doi_preprint", "ethnicity", "gm", "individual", "organ", "primary_data",
    "sample_source", "sex", "source_doi", "state_exact", "suspension_type", "tech_sample", "title",
    "treatment", "year",
)  # fmt: skip


def is_dataset(path: Path) -> bool:
    """Whether a folder is one dataset of sfaira's."""
    return (path / "parquet" / "obs.parquet").is_file() and (path / "zarr" / "X").is_dir()


def datasets_of(path: Path) -> list[Path]:
    """Return the datasets in a folder, by name; other things that lie there are left alone."""
    return sorted(p for p in path.iterdir() if not p.name.startswith(".") and is_dataset(p))


def dataset_id(path: Path) -> str:
    """Return the id of a dataset; up to 0.3.12 its folder has another name.

    Raises
    ------
    dao.errors.SourceError
        If its uns cannot be read.
    """
    named = _single(_read_uns(path).get("id"))
    return named if isinstance(named, str) else path.name


def open_dataset(path: Path) -> tuple[pd.DataFrame, pd.DataFrame, SourceMatrix, dict[str, Any]]:
    """Return (obs, var, X, uns) of a dataset; X is read in pieces.

    What uns says of the whole dataset, and sfaira's ``subset`` looks for, becomes a column of obs.

    Raises
    ------
    dao.errors.SourceError
        If uns cannot be read, or X is missing.
    """
    obs, var = (_table(path / "parquet" / f"{name}.parquet") for name in ("obs", "var"))
    uns = {k: v for k, v in _read_uns(path).items() if v != _PER_CELL}
    try:
        array = zarr.open_array(LocalStore(path / "zarr" / "X", read_only=True), mode="r")
    except (FileNotFoundError, KeyError) as error:
        msg = f"{path}/zarr/X is no Zarr array: {error}."
        raise SourceError(msg) from error
    obs, organism = _one_organism(obs, _single(uns.pop("organism", None)))
    uns = uns if organism is None else {**uns, "organism": organism}
    obs = _with_constants(_with_original_rows(obs), uns)
    return obs, _with_ids(var), dense_matrix(array, f"X of {path}"), uns


def _table(path: Path) -> pd.DataFrame:
    with path.open("rb") as file:  # pandas would interpret a path
        return pd.read_parquet(file)


def _read_uns(path: Path) -> dict[str, Any]:
    file = path / "pickle" / "uns.pickle"
    if not file.is_file():
        return {}
    uns = unpickle(file.read_bytes(), str(file))
    if not isinstance(uns, dict):
        msg = f"{file} holds no dict but {type(uns).__name__}."
        raise SourceError(msg)
    return uns


def _one_organism(obs: pd.DataFrame, named: Any) -> tuple[pd.DataFrame, Any]:
    """Return obs without its organism, where all cells have the same; and that."""
    if "organism" not in obs.columns:
        return obs, named
    found = obs["organism"].dropna().unique().tolist()
    if len(found) > 1:
        return obs, None
    return obs.drop(columns="organism"), found[0] if found and not isinstance(named, str) else named


def _with_original_rows(obs: pd.DataFrame) -> pd.DataFrame:
    """Say of each cell which row it had before sfaira shuffled, instead of the inverse of that."""
    if _PERMUTATION not in obs.columns:
        return obs
    rows = np.argsort(obs[_PERMUTATION].to_numpy().astype(np.int64), kind="stable")
    obs = obs.drop(columns=_PERMUTATION)
    if (rows == np.arange(len(rows))).all():
        return obs
    return obs.assign(original_row=rows)


def _with_constants(obs: pd.DataFrame, uns: dict[str, Any]) -> pd.DataFrame:
    columns = {}
    for name in _OF_CELLS:
        value = _single(uns.get(name))
        if name not in obs.columns and isinstance(value, str | bool | int | float):
            constant = [value] * len(obs)
            columns[name] = pd.Categorical(constant) if isinstance(value, str) else constant
    return obs.assign(**columns)


def _with_ids(var: pd.DataFrame) -> pd.DataFrame:
    """Index var by Ensembl ids, which 0.3.0 has in a column only."""
    if "ensembl" not in var.columns or var["ensembl"].isna().any():
        return var
    ids = pd.Index([str(i) for i in var["ensembl"]], dtype=object)
    return var if (ids == "nan").any() else var.set_index(ids)


def _single(value: Any) -> Any:
    """Return the only value of a list; uns of a dataset may list its labels."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value
