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


def write_sfaira_store(folder: str | Path = "old_store") -> None:
    """Write the north study as sfaira would have: a dense Zarr array, Parquet, and a pickle."""
    import pickle

    import anndata
    import zarr

    study = anndata.read_h5ad("north.h5ad")
    dataset = Path(folder) / "north"
    for part in ("parquet", "pickle"):
        (dataset / part).mkdir(parents=True)
    group = zarr.open_group(dataset / "zarr", mode="w", zarr_format=2)
    group.create_array("X", data=np.asarray(study.X), chunks=(128, study.n_vars))
    study.obs.astype(str).astype("category").to_parquet(dataset / "parquet" / "obs.parquet")
    var = study.var.assign(gene_symbol=study.var_names, ensembl=study.var_names)
    var.to_parquet(dataset / "parquet" / "var.parquet")
    uns = {"id": "north", "organism": "Homo sapiens", "organ": "blood", "year": 2017}
    (dataset / "pickle" / "uns.pickle").write_bytes(pickle.dumps(uns))


def write_collection(path: str | Path = "out.zarr") -> None:
    """Write two studies as annbatch 0.3 would have: joined, and in one order of all cells."""
    import anndata
    import zarr

    studies = [anndata.read_h5ad(f"{name}.h5ad") for name in ("north", "south")]
    studies[1].obs = studies[1].obs.rename(columns={"celltype": "cell_type"})
    joined = anndata.concat(studies, label="src_path", keys=["north.h5ad", "south.h5ad"])
    order = np.random.default_rng(0).permutation(joined.n_obs)
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.attrs.update({"encoding-type": "annbatch-preshuffled", "encoding-version": "0.1.0"})
    anndata.io.write_elem(group, "dataset_0", joined[order].copy())


if __name__ == "__main__":
    write_files()
