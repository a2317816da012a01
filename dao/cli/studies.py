"""The demo's studies: real cells, as three laboratories might have published them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anndata
import numpy as np
import pandas as pd

from dao.samplers.rng import permutation

with warnings.catch_warnings():
    # What scanpy and its own dependencies announce to each other is no news to the user.
    warnings.simplefilter("ignore")
    import scanpy

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

__all__ = ["StudyFile", "read_in_memory", "write_studies"]

# Name -> how the study calls its labels, and which share of the genes it did not measure.
_STUDIES = {"north": ("bulk_labels", 1 / 7), "south": ("celltype", 1 / 5), "west": ("Label", 1 / 3)}
_SEED = 0


@dataclass(frozen=True)
class StudyFile:
    """One study on disk: where, and what it calls its cell types."""

    name: str
    path: Path
    label: str
    n_obs: int
    n_vars: int


def write_studies(folder: Path) -> list[StudyFile]:
    """Deal the cells of `scanpy.datasets.pbmc68k_reduced` to three ``.h5ad`` files.

    The studies have other genes in another order, and another name for the cell types. The
    cells come in random order, so that any stretch of a file is a fair sample.

    Parameters
    ----------
    folder
        Where the files go.

    Returns
    -------
    The files, in the order of the studies.
    """
    cells = _real_cells()
    order = permutation(cells.n_obs, _SEED, "cells")
    files = []
    for number, (name, (label, lacking)) in enumerate(_STUDIES.items()):
        genes = permutation(cells.n_vars, _SEED, name)[int(lacking * cells.n_vars) :]
        study = cells[order[number :: len(_STUDIES)], genes].copy()
        study.obs = study.obs.rename(columns={"bulk_labels": label})
        path = folder / f"{name}.h5ad"
        study.write_h5ad(path)
        files.append(StudyFile(name, path, label, *study.shape))
    return files


def read_in_memory(files: list[StudyFile]) -> AnnData:
    """Return all cells of the files at once, united by anndata and without dao.

    Genes that a study lacks are zero. ``obs["row"]`` is the row that a cell had in its file.
    """
    studies = []
    for file in files:
        study = anndata.read_h5ad(file.path)
        study.obs = study.obs.rename(columns={file.label: "cell_type"})
        study.obs["row"] = np.arange(study.n_obs)
        studies.append(study)
    return anndata.concat(studies, join="outer", fill_value=0)


def _real_cells() -> AnnData:
    with warnings.catch_warnings():
        # The file in scanpy's wheel is an old one, which newer anndata remarks on.
        warnings.simplefilter("ignore")
        published = scanpy.datasets.pbmc68k_reduced()
        # `raw` holds the log-normalised values of all genes, X scaled ones of both signs.
        cells = published.raw.to_adata()
    obs = pd.DataFrame(published.obs)[["bulk_labels", "n_genes", "percent_mito"]]
    return anndata.AnnData(cells.X, obs=obs.copy(), var=pd.DataFrame(index=cells.var_names))
