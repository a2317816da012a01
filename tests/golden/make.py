"""Write a golden store and its exact content: run once per version of the format.

    python tests/golden/make.py tests/golden/v1

The store is what every later version has to read, and the content is taken from the studies
before dao has seen them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

import dao

OBO = """format-version: 1.2
data-version: golden-1
ontology: cl

[Term]
id: CL:0000542
name: lymphocyte

[Term]
id: CL:0000084
name: T cell
is_a: CL:0000542

[Term]
id: CL:0000236
name: B cell
is_a: CL:0000542
"""


def study(seed: int, n_obs: int, genes: list[str]) -> ad.AnnData:
    """Return a study with obs of every kind, missing values among them."""
    random = np.random.default_rng(seed)
    counts = sp.random(n_obs, len(genes), 0.3, "csr", np.float32, rng=random)
    counts.data[:] = random.integers(1, 300 + 70_000 * seed, counts.nnz)
    missing = random.random(n_obs) < 0.25
    types = random.choice(["T cell", "B cell", "späte «Zelle»"], n_obs)
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(np.where(missing, None, types)),
            "stage": pd.Categorical(
                random.choice(["early", "late"], n_obs),
                categories=["late", "never", "early"],
                ordered=True,
            ),
            "n_genes": np.diff(counts.indptr).astype(np.int64),
            "score": np.where(missing, np.nan, random.random(n_obs)),
            "batch": pd.array(np.where(missing, None, seed), dtype="Int64"),
            "doublet": random.random(n_obs) < 0.2,
            "barcode": [f"AC{i:04d}-{seed}" for i in range(n_obs)],
        },
        index=[f"s{seed}c{i}" for i in range(n_obs)],
    )
    made = ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=genes))
    made.layers["halved"] = counts * np.float32(0.5)
    made.obsm["X_pca"] = random.normal(size=(n_obs, 3)).astype(np.float32)
    made.uns = {"title": f"study {seed}", "numbers": [1, 2.5], "nested": {"text": "naïve"}}
    return made


def content(made: ad.AnnData) -> dict[str, Any]:
    """Return a study as JSON, cells in the order of the source; None is missing."""
    obs = {
        name: [None if v is pd.NA or v != v else v for v in column.astype(object)]  # noqa: PLR0124
        for name, column in made.obs.items()
    }
    return {
        "X": made.X.toarray().tolist(),
        "halved": made.layers["halved"].toarray().tolist(),
        "X_pca": made.obsm["X_pca"].tolist(),
        "obs": {name: [getattr(v, "item", lambda v=v: v)() for v in o] for name, o in obs.items()},
        "obs_names": made.obs_names.tolist(),
        "var_names": made.var_names.tolist(),
        "uns": dict(made.uns),
    }


def main(folder: Path) -> None:
    """Write the store in three generations: a study, one of another organism, an ontology."""
    genes = [f"G{i}" for i in range(30)]
    studies = {"human-1": study(0, 24, genes), "mouse 2": study(1, 16, genes[5:25])}
    exact = {name: content(made) for name, made in studies.items()}
    (folder / "content.json").write_text(json.dumps(exact, ensure_ascii=False) + "\n")
    path, options = folder / "store.dao", {"layers": ["halved"], "obsm": ["X_pca"]}
    for (name, made), organism, mode in zip(
        studies.items(), ("human", "mouse"), ("create", "append"), strict=True
    ):
        dao.write_store(path, {name: made}, organism=organism, mode=mode, **options)
    (folder / "terms.obo").write_text(OBO)
    dao.load_store(path).add_ontology("cell_type", folder / "terms.obo")
    (folder / "terms.obo").unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
