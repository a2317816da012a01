"""Stores that released versions wrote, each with what it holds: readable for ever.

`tests/golden/make.py` has written them, and the content beside them before dao saw it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import dao

GOLDEN = sorted((Path(__file__).parent / "golden").glob("v*"))
BACKENDS = ["local", "zarrs", "zarr", "memory", "dask", "cloud"]
STAGES = ["late", "never", "early"]
DTYPES = {"n_genes": "int64", "score": "float64", "batch": "Int64", "doublet": "bool"}


@pytest.fixture(params=GOLDEN, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    """A golden store with its content, as committed."""
    return Path(request.param)


@pytest.fixture
def golden(folder: Path, tmp_path: Path) -> Path:
    """A copy of the store."""
    return shutil.copytree(folder / "store.dao", tmp_path / "store.dao")


@pytest.fixture
def exact(folder: Path) -> dict[str, Any]:
    """Dataset id -> what it was made of."""
    return json.loads((folder / "content.json").read_text(encoding="utf-8"))


def opened(path: Path, backend: str, request: pytest.FixtureRequest, **options: Any) -> dao.Store:
    """Return the store, through a web server where the backend is for URLs."""
    if backend != "cloud":
        if backend == "dask":
            pytest.importorskip("dask")
        return dao.load_store(path, backend, **options)
    url = request.getfixturevalue("web_server").url(str(path))
    return dao.load_store(url, cache_dir=str(path.parent / "cache"), **options)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_reads_it_exactly(
    golden: Path, exact: dict[str, Any], backend: str, request: pytest.FixtureRequest
) -> None:
    """X, layers, obsm, obs, genes and uns of each study, with their dtypes."""
    store = opened(golden, backend, request)
    assert store.datasets == list(exact)
    assert store.organisms == ("Homo sapiens", "Mus musculus")
    for name, expected in exact.items():
        check(store.subset(dataset=name), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_streams_it(
    golden: Path, exact: dict[str, Any], backend: str, request: pytest.FixtureRequest
) -> None:
    """Each cell once, with its own row of X."""
    for name, expected in exact.items():
        store = opened(golden, backend, request).subset(dataset=name)
        store = store.select_features(expected["var_names"])
        batches = list(store.generator(batch_size=7, obs_keys=["_source_row"], x_format="dense"))
        rows = np.concatenate([b["obs"]["_source_row"] for b in batches])
        assert sorted(rows) == list(range(store.n_obs))
        np.testing.assert_array_equal(
            np.concatenate([b["X"] for b in batches]), np.array(expected["X"])[rows]
        )


def check(store: dao.Store, expected: dict[str, Any]) -> None:
    """Compare everything in one study with its content."""
    adata = store.to_anndata()
    adata = adata[np.argsort(adata.obs["_source_row"].to_numpy())]
    # A new space has its genes in the order of how many cells show them.
    assert sorted(adata.var_names) == sorted(expected["var_names"])
    adata = adata[:, expected["var_names"]]
    assert adata.obs_names.tolist() == expected["obs_names"]
    assert sp.issparse(adata.X)
    matrices = {"X": adata.X, "halved": adata.layers["halved"]}
    for name, matrix in matrices.items():
        assert matrix.dtype == np.float32
        np.testing.assert_array_equal(matrix.toarray(), np.array(expected[name]))
    np.testing.assert_array_equal(
        adata.obsm["X_pca"], np.array(expected["X_pca"], np.float32), strict=True
    )
    for name, values in expected["obs"].items():
        column = adata.obs[name]
        assert column.isna().tolist() == [v is None for v in values], name
        assert column.dropna().tolist() == [v for v in values if v is not None], name
        assert name not in DTYPES or str(column.dtype) == DTYPES[name]
    assert isinstance(adata.obs["cell_type"].dtype, pd.CategoricalDtype)
    assert adata.obs["stage"].cat.ordered
    assert store.categories("stage") == STAGES
    assert list(store.uns.values()) == [expected["uns"]]


def test_its_ontology_and_generations(golden: Path, exact: dict[str, Any]) -> None:
    """A branch is found, earlier generations open, and the store is sound."""
    store = dao.load_store(golden)
    types = [t for study in exact.values() for t in study["obs"]["cell_type"]]
    below = store.subset("cell_type in descendants('lymphocyte')")
    assert below.n_obs == sum(t in {"T cell", "B cell"} for t in types)
    kept = {g: dao.load_store(golden, generation=g).datasets for g in (1, 2, 3)}
    assert kept == {1: ["human-1"], 2: ["human-1", "mouse 2"], 3: ["human-1", "mouse 2"]}
    assert store.history["action"].tolist() == ["create", "append", "ontology"]
    report = dao.validate_store(golden)
    assert report.ok
    assert not report.garbage


def test_it_can_grow_and_shrink(golden: Path, exact: dict[str, Any]) -> None:
    """What was there stays exact beside a new study with a new gene, which goes after them."""
    before = dao.load_store(golden)["human"].var_names
    x = np.eye(3, dtype=np.float32)
    more = ad.AnnData(x, var=pd.DataFrame(index=["NEW", "G3", "G20"]))
    more.obs_names = ["m0", "m1", "m2"]
    grown = dao.write_store(golden, {"more": more}, organism="human", mode="append", progress=False)
    assert grown.datasets == ["human-1", "mouse 2", "more"]
    human = grown["human"]
    assert human.var_names.tolist() == [*before, "NEW"]
    new = human.subset(dataset="more").to_anndata()
    rows = new.obs["_source_row"].to_numpy()
    np.testing.assert_array_equal(new[:, ["NEW", "G3", "G20"]].X.toarray(), x[rows])
    check(grown["mouse"], exact["mouse 2"])
    left = grown.remove(["more", "human-1"])
    check(left, exact["mouse 2"])
    report = dao.validate_store(golden, repair=True, old_generations=True)
    assert report.ok


def test_the_files_are_those_that_were_committed(folder: Path) -> None:
    """Nothing has translated their line ends: each has the checksum that its manifest names."""
    assert dao.validate_store(folder / "store.dao").ok
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) < 200_000
