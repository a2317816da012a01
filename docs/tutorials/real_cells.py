"""Write the files that the tutorials start from: 700 real blood cells, as three studies.

The cells are `scanpy.datasets.pbmc68k_reduced`, which comes with scanpy, so nothing is downloaded.
Run it in an empty folder: `python real_cells.py`.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from anndata import AnnData

# Study -> what it calls its cell types, and the share of the genes that it did not measure.
STUDIES = {"north": ("cell_type", 0.0), "south": ("celltype", 0.05), "west": ("Label", 0.1)}


def counts() -> AnnData:
    """Return the cells with their counts, which scanpy's file has as logarithms only.

    Its values are log1p of counts per 10,000, and the smallest one of a cell is one count.
    """
    import anndata
    import scanpy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the file is an old one, and anndata remarks on that
        published = scanpy.datasets.pbmc68k_reduced()
        scaled = np.expm1(published.raw.to_adata().X.toarray())
    one = np.where(scaled > 0, scaled, np.inf).min(axis=1, keepdims=True)
    obs = published.obs[["bulk_labels", "phase", "percent_mito"]].copy()
    obs = obs.rename(columns={"bulk_labels": "cell_type"})
    return anndata.AnnData((scaled / one).round().astype("float32"), obs, published.raw.var[[]])


def write_files(folder: str | Path = ".") -> None:
    """Deal the cells to `north.h5ad`, `south.h5ad` and `west.h5ad`: other genes, other labels."""
    cells = counts()
    random = np.random.default_rng(0)
    rows = random.permutation(cells.n_obs)
    for number, (name, (label, lacking)) in enumerate(STUDIES.items()):
        genes = np.sort(random.permutation(cells.n_vars)[int(lacking * cells.n_vars) :])
        study = cells[rows[number :: len(STUDIES)], genes].copy()
        study.obs = study.obs.rename(columns={"cell_type": label})
        study.write_h5ad(Path(folder) / f"{name}.h5ad")


if __name__ == "__main__":
    write_files()
