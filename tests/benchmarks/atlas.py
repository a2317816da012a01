"""Write a synthetic single-cell atlas: several h5ad files shaped like CELLxGENE Census studies.

Sizes, count values, gene detection, labels and row order follow what was measured on real files:
60 % of the genes are expressed, with log-normal weights; library sizes are log-normal; categories
are Zipf-distributed; rows are sorted by study, then cell type; every study lacks a few genes and
lists the others in an order of its own; integer counts are stored as float32.

    python tests/benchmarks/atlas.py FOLDER --cells 200000 --genes 30000
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import write_elem
from counts import Statistics, draw_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUMMARY = "atlas.json"  # written last: a folder that has it is complete
CATEGORICALS = {
    "tissue": 30,
    "assay": 8,
    "disease": 25,
    "sex": 3,
    "development_stage": 40,
    "self_reported_ethnicity": 12,
    "suspension_type": 2,
}


@dataclass(frozen=True)
class Atlas:
    """Everything that decides the content of an atlas."""

    cells: int = 50_000
    genes: int = 30_000
    studies: int = 5
    cell_types: int = 60
    median_umis: float = 6_000.0  # about 2,000 expressed genes per cell at 30,000 genes
    seed: int = 0
    layout: int = 1  # raise it when the generator changes, so that cached atlases are written anew


def zipf(n: int) -> NDArray[Any]:
    """Return n probabilities that fall as 1/rank."""
    weights = 1.0 / np.arange(1, n + 1)
    shares: NDArray[Any] = weights / weights.sum()
    return shares


def gene_weights(atlas: Atlas, rng: np.random.Generator) -> NDArray[Any]:
    """Return each gene's share of the transcripts, for every cell type."""
    weights = np.exp(2.3 * rng.standard_normal(atlas.genes))
    weights[rng.random(atlas.genes) > 0.60] = 0.0
    # MALAT1 and the mitochondrial genes, which give real data its counts above 10,000.
    hottest = rng.choice(np.flatnonzero(weights), 4, replace=False)
    weights[hottest] = 50.0 * np.quantile(weights[weights > 0], 0.98)
    shape = atlas.cell_types, atlas.genes
    fold = np.where(rng.random(shape) < 0.10, 0.8 * rng.standard_normal(shape), 0.0)
    by_type = weights * np.exp(fold)
    shares: NDArray[Any] = by_type / by_type.sum(axis=1, keepdims=True)
    return shares.astype(np.float32)


def draw_obs(atlas: Atlas, study: int, cells: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return the labels of one study's cells, sorted by cell type and donor."""
    columns: dict[str, Any] = {}
    for name, size in {"cell_type": atlas.cell_types, "donor_id": 24, **CATEGORICALS}.items():
        seen = rng.choice(size, max(2, size // 2), replace=False)
        codes = rng.choice(seen, cells, p=zipf(len(seen)))
        prefix = f"study {study} donor" if name == "donor_id" else name.replace("_", " ")
        labels = pd.Index([f"{prefix} {i:03d}" for i in range(size)])
        columns[name] = pd.Categorical.from_codes(codes, labels)
    columns["development_stage"][rng.random(cells) < 0.02] = np.nan  # real labels have gaps
    columns["age"] = np.where(rng.random(cells) < 0.1, np.nan, rng.integers(1, 95, cells))
    columns["pct_mito"] = rng.beta(2, 30, cells).astype(np.float32)
    columns["doublet_score"] = rng.beta(1, 12, cells).astype(np.float32)
    columns["is_primary_data"] = rng.random(cells) < 0.8
    obs = pd.DataFrame(columns).sort_values(["cell_type", "donor_id"], kind="stable")
    for name in obs.columns[obs.dtypes == "category"]:
        obs[name] = obs[name].cat.remove_unused_categories()
    obs.index = pd.Index([f"study{study}-{i:08d}" for i in range(cells)])
    return obs


def write_study(
    file: Path,
    atlas: Atlas,
    *,
    study: int,
    cells: int,
    weights: NDArray[Any],
    seen: Statistics,
) -> None:
    """Write one h5ad file, slab by slab, and add its counts to `seen`."""
    rng = np.random.default_rng([atlas.seed, 1, study])
    genes = rng.permutation(atlas.genes)[: round(atlas.genes * rng.uniform(0.93, 0.99))]
    obs = draw_obs(atlas, study, cells, rng)
    kinds = obs["cell_type"].str.slice(-3).astype(np.int64).to_numpy()
    library = np.exp(np.log(atlas.median_umis) + 0.75 * rng.standard_normal(cells))
    columns = np.flatnonzero(weights[0, genes]).astype(np.int32)
    own_weights = np.ascontiguousarray(weights[:, genes[columns]])
    var = pd.DataFrame(
        {"feature_name": [f"GENE{g}" for g in genes]},
        index=pd.Index([f"ENSG{g:011d}" for g in genes]),
    )
    n_genes, n_counts = [], []
    with h5py.File(file, "w") as f:
        f.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        x = f.create_group("X")
        x.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        x.attrs["shape"] = (cells, len(genes))
        how: dict[str, Any] = {"shape": (0,), "maxshape": (None,), "chunks": (1 << 16,)}
        how |= {"compression": "lzf", "shuffle": True}
        stored = {"indices": x.create_dataset("indices", dtype="i4", **how)}
        stored["data"] = x.create_dataset("data", dtype="f4", **how)
        seed = int(rng.integers(1 << 62))
        for indices, data, nnz in draw_counts(seed, library, kinds, own_weights, columns):
            for name, values in (("indices", indices), ("data", data)):
                size = stored[name].shape[0]
                stored[name].resize((size + len(values),))
                stored[name][size:] = values
            seen.add(genes[indices], data)
            n_genes.append(nnz)
            running = np.concatenate([[0.0], np.cumsum(data, dtype=np.float64)])
            n_counts.append(np.diff(running[np.cumsum(nnz)], prepend=0.0))
        nnz = np.concatenate(n_genes)
        x["indptr"] = np.concatenate([[0], np.cumsum(nnz)])
        obs["n_genes"] = nnz.astype(np.int32)
        obs["n_counts"] = np.concatenate(n_counts).astype(np.float32)
        write_elem(f, "obs", obs)
        write_elem(f, "var", var)
        for name in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
            write_elem(f, name, {})


def write_atlas(folder: Path, atlas: Atlas) -> dict[str, Any]:
    """Write the atlas, unless the folder holds it already; return its summary."""
    if (folder / SUMMARY).exists():
        summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text())
        if summary["atlas"] == asdict(atlas):
            return summary
        (folder / SUMMARY).unlink()
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([atlas.seed, 0])
    weights = gene_weights(atlas, rng)
    cuts = np.round(np.cumsum(zipf(atlas.studies)) * atlas.cells).astype(int)
    seen = Statistics(atlas.genes)
    files = []
    for study, cells in enumerate(np.diff(cuts, prepend=0)):
        files.append(f"study{study}.h5ad")
        file = folder / files[-1]
        write_study(file, atlas, study=study, cells=int(cells), weights=weights, seen=seen)
    # Like highly variable genes: some of the well detected ones, in no particular order.
    ranked = np.argsort(-seen.detected)[: atlas.genes // 5]
    chosen = rng.choice(ranked, min(2000, atlas.genes // 10), replace=False)
    summary = {"atlas": asdict(atlas), "files": files, **seen.summary(atlas.cells)}
    summary["chosen_total"] = int(seen.totals[chosen].sum())
    summary["chosen"] = [f"ENSG{g:011d}" for g in chosen]
    partial = folder / f"{SUMMARY}.{os.getpid()}"
    partial.write_text(json.dumps(summary))
    partial.replace(folder / SUMMARY)
    return summary


def main() -> None:
    """Write an atlas and print what it looks like."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cells", type=int, default=Atlas.cells)
    parser.add_argument("--genes", type=int, default=Atlas.genes)
    parser.add_argument("--seed", type=int, default=Atlas.seed)
    args = parser.parse_args()
    summary = write_atlas(args.folder, Atlas(args.cells, args.genes, seed=args.seed))
    del summary["chosen"]
    sys.stdout.write(json.dumps(summary) + "\n")


if __name__ == "__main__":
    main()
