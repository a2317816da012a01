"""Every kind of source, every place that X can be in."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import dao
from dao.errors import DaoWarning

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Make = Any


def counts_by_source_row(store: dao.Store, genes: list[str]) -> np.ndarray[Any, Any]:
    """Return X over some genes with the rows as in the source."""
    adata = store.to_anndata()
    x = adata[:, genes].X
    dense = x.toarray() if sp.issparse(x) else np.asarray(x)
    return dense[np.argsort(adata.obs["_source_row"].to_numpy())]


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
@pytest.mark.parametrize("layer", [None, "doubled", "raw"])
def test_files(
    tmp_path: Path, make_study: Make, assert_holds: Any, suffix: str, form: str, layer: str | None
) -> None:
    """X, a layer or raw, sparse by rows or columns or dense, in HDF5 or zarr."""
    study = make_study()
    dense = study.X.toarray()
    convert: Any = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": np.asarray}[form]
    study.X = convert(dense)
    study.layers["doubled"] = convert(dense * 2)
    study.raw = ad.AnnData(convert(dense * 3), obs=study.obs, var=study.var)
    path = tmp_path / f"study.{suffix}"
    getattr(study, {"h5ad": "write_h5ad", "zarr": "write_zarr"}[suffix])(path)
    store = dao.write_store(tmp_path / "s.dao", path, layer=layer, progress=False)
    assert store.datasets == ["study"]
    factor = {None: 1, "doubled": 2, "raw": 3}[layer]
    np.testing.assert_array_equal(
        counts_by_source_row(store, list(study.var_names)), dense * factor
    )
    if layer is None:
        assert_holds(store, {"study": study})


def test_backed_and_views(tmp_path: Path, make_study: Make) -> None:
    """A backed AnnData is read from its file, a view as what it shows."""
    study = make_study()
    study.write_h5ad(tmp_path / "b.h5ad")
    backed = ad.read_h5ad(tmp_path / "b.h5ad", backed="r")
    store = dao.write_store(tmp_path / "b.dao", {"b": backed}, progress=False)
    np.testing.assert_array_equal(
        counts_by_source_row(store, list(study.var_names)), study.X.toarray()
    )
    view = study[5:25, ["G3", "G1"]]
    store = dao.write_store(tmp_path / "v.dao", {"v": view}, progress=False)
    assert store.shape == (20, 2)
    np.testing.assert_array_equal(counts_by_source_row(store, ["G3", "G1"]), view.X.toarray())


def test_ids_come_from_dict_file_or_source(tmp_path: Path, make_study: Make) -> None:
    """The dict, the Source or the file name gives the id, in this order."""
    make_study().write_h5ad(tmp_path / "my file.v2.h5ad")
    path = tmp_path / "my file.v2.h5ad"
    sources = [path, dao.Source(path, id="mine"), make_study(2)]
    store = dao.write_store(tmp_path / "s.dao", sources, progress=False)
    assert store.datasets == ["my file.v2", "mine", "dataset_2"]
    store = dao.write_store(tmp_path / "t.dao", {"x": dao.Source(path)}, progress=False)
    assert store.datasets == ["x"]


def test_source_renames_constants_and_subset(tmp_path: Path, make_study: Make) -> None:
    """Renames, constants and a filter of a Source are applied before anything is stored."""
    study = make_study()
    source = dao.Source(
        study,
        id="s",
        organism="mouse",
        obs={"type": "cell_type"},
        constants={"tissue": "gut", "year": 2021, "paired": True},
        subset="type == 'B' and tissue == 'gut'",
    )
    store = dao.write_store(tmp_path / "s.dao", source, progress=False)
    chosen = (study.obs["cell_type"] == "B").to_numpy()
    assert sorted(store.obs["_source_row"]) == list(np.flatnonzero(chosen))
    assert "cell_type" not in store.obs_columns
    assert set(store.obs["tissue"]) == {"gut"}
    assert store.obs["year"].dtype == np.int64
    assert store.organisms == ("Mus musculus",)
    np.testing.assert_array_equal(
        store.to_anndata()[:, study.var_names].X.toarray(),
        study.X.toarray()[store.obs["_source_row"].to_numpy()],
    )


def test_reserved_names_are_kept_beside(tmp_path: Path, make_study: Make) -> None:
    """A source's own columns called like dao's are stored under another name, with a warning."""
    study = make_study()
    study.obs["dataset"] = "theirs"
    study.obs["organism"] = "Mus musculus"
    with pytest.warns(DaoWarning, match="_original"):
        store = dao.write_store(tmp_path / "s.dao", {"mine": study}, progress=False)
    assert store.organisms == ("Mus musculus",)
    assert set(store.obs["dataset"]) == {"mine"}
    assert set(store.obs["dataset_original"]) == {"theirs"}


def test_feature_key_and_versions(tmp_path: Path, make_study: Make) -> None:
    """Ids from a column of var, versions cut; text columns of var are lifted to the store."""
    a, b = make_study(0, n_vars=4), make_study(1, n_vars=4)
    for study, version in ((a, 3), (b, 12)):
        study.var["gene_ids"] = [f"ENSG0000000000{i}.{version}" for i in range(4)]
        study.var["symbol"] = list(study.var_names)
        study.var["mean"] = np.arange(4.0) * version
    store = dao.write_store(
        tmp_path / "s.dao", {"a": a, "b": b}, feature_key="gene_ids", progress=False
    )
    assert store.n_vars == 4
    assert dict(zip(store.var_names, store.var["symbol"], strict=True)) == {
        f"ENSG0000000000{i}": f"G{i}" for i in range(4)
    }
    assert "mean" not in store.var
    assert store.select_features(["ENSG00000000002.99"]).n_vars == 1


def test_features_outer_inner_and_listed(tmp_path: Path, make_study: Make) -> None:
    """All genes, the shared ones, or a list in its own order; what was measured is kept."""
    a = make_study(0, n_vars=6, genes=list("ABCDEF"))
    b = make_study(1, n_vars=4, genes=list("EFGH"))
    sources = {"a": a, "b": b}
    outer = dao.write_store(tmp_path / "o.dao", sources, progress=False)
    assert set(outer.var_names) == set("ABCDEFGH")
    assert [d.n_measured for d in outer.manifest.datasets] == [6, 4]
    inner = dao.write_store(tmp_path / "i.dao", sources, features="inner", progress=False)
    assert set(inner.var_names) == set("EF")
    listed = dao.write_store(
        tmp_path / "l.dao", sources, features=["H", "new", "A", "E"], progress=False
    )
    assert list(listed.var_names) == ["H", "new", "A", "E"]
    table = listed.reader.table(listed.manifest.datasets[0].features.path).to_pandas()
    assert list(table["position"]) == [2, 3]
    whole = listed.to_anndata()
    rows = whole.obs["_source_row"].to_numpy()
    is_a = (whole.obs["dataset"] == "a").to_numpy()
    np.testing.assert_array_equal(
        whole[is_a].X.toarray(),
        np.column_stack([np.zeros(50), np.zeros(50), a.X.toarray()[:, [0, 4]]])[rows[is_a]],
    )


def test_layers_obsm_and_uns(tmp_path: Path, make_study: Make) -> None:
    """Further matrices are aligned like X and stream with it; uns is JSON."""
    study = make_study()
    study.obsm["frame"] = pd.DataFrame(
        {"p": np.arange(50), "q": np.arange(50) * 2}, index=study.obs_names
    )
    study.uns.update(
        {"list": np.arange(3), "nested": {"x": np.float32(1.5)}, "bad": pd.DataFrame()}
    )
    study.write_h5ad(tmp_path / "s.h5ad")
    with pytest.warns(DaoWarning, match="bad"):
        store = dao.write_store(
            tmp_path / "s.dao",
            tmp_path / "s.h5ad",
            layers=["doubled"],
            obsm=["X_pca", "frame"],
            progress=False,
        )
    adata = store.to_anndata()
    rows = adata.obs["_source_row"].to_numpy()
    np.testing.assert_array_equal(adata.layers["doubled"].toarray(), 2 * adata.X.toarray())
    np.testing.assert_array_equal(adata.obsm["X_pca"], study.obsm["X_pca"][rows])
    assert list(adata.obsm["frame"].columns) == ["p", "q"]
    assert adata.obsm["frame"]["q"].tolist() == (2 * rows).tolist()
    assert adata.uns["list"] == [0, 1, 2]
    assert adata.uns["nested"] == {"x": 1.5}
    assert store.uns["s"]["title"] == "study 0"
    for batch in store.generator(16, layers=["doubled"], obsm=["X_pca"], var_names=["G4", "G2"]):
        np.testing.assert_array_equal(
            batch["layers"]["doubled"].toarray(), 2 * batch["X"].toarray()
        )
        np.testing.assert_array_equal(batch["obsm"]["X_pca"], adata.obsm["X_pca"][batch["index"]])


def test_row_order(tmp_path: Path, make_study: Make) -> None:
    """Unshuffled rows stay, clustered ones lie together, shuffled ones can be put back."""
    study = make_study(n_obs=300)
    plain = dao.write_store(tmp_path / "p.dao", study, shuffle=False, progress=False)
    assert list(plain.obs["_source_row"]) == list(range(300))
    assert list(plain.obs_names if hasattr(plain, "obs_names") else plain.obs.index) == list(
        study.obs_names
    )
    grouped = dao.write_store(
        tmp_path / "c.dao", study, cluster_by=["cell_type", "stage"], progress=False
    )
    keys = list(zip(grouped.obs["cell_type"], grouped.obs["stage"], strict=True))
    runs = sum(a != b for a, b in itertools.pairwise(keys)) + 1
    assert runs == len(set(keys))
    rows = grouped.obs["_source_row"].to_numpy()
    assert sorted(rows) == list(range(300))
    assert (np.diff(rows) < 0).sum() > 100


def test_anndata_reads_the_store_as_it_is(tmp_path: Path, make_study: Make) -> None:
    """X is an element that anndata and zarr read without dao."""
    import zarr

    study = make_study(n_obs=200)
    store = dao.write_store(tmp_path / "s.dao", {"a": study}, layers=["doubled"], progress=False)
    group: Any = zarr.open_group(str(tmp_path / "s.dao" / "datasets" / "a"), mode="r")
    x = ad.io.read_elem(group["X"])
    np.testing.assert_array_equal(x.toarray(), store.to_anndata().X.toarray())
    assert x.dtype == np.uint16
    lazy = ad.io.sparse_dataset(group["layers/doubled"])
    np.testing.assert_array_equal(lazy[3:9].toarray(), 2 * x[3:9].toarray())


def test_ten_x_layouts(tmp_path: Path) -> None:
    """Cell Ranger 2, and 3 with antibodies beside the genes."""
    x = np.array([[1, 0, 5], [0, 2, 7]], np.int32)
    by_cell = sp.csr_matrix(x)
    for name in ("v2", "v3"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            group = file.create_group("matrix" if name == "v3" else "GRCh38")
            for key in ("data", "indices", "indptr"):
                group[key] = getattr(by_cell, key)
            group["shape"] = [3, 2]
            group["barcodes"] = np.array([b"AA-1", b"CC-1"])
            if name == "v2":
                group["genes"] = np.array([b"ENSG1", b"ENSG2", b"ENSG3"])
                group["gene_names"] = np.array([b"A", b"B", b"C"])
                continue
            features = group.create_group("features")
            features["id"] = np.array([b"ENSG1", b"ENSG2", b"P"])
            features["name"] = np.array([b"A", b"B", b"CD3"])
            features["feature_type"] = np.array([b"Gene Expression"] * 2 + [b"Antibody Capture"])
    old = dao.write_store(tmp_path / "o.dao", tmp_path / "v2.h5", progress=False)
    np.testing.assert_array_equal(counts_by_source_row(old, ["A", "B", "C"]), x)
    new = dao.write_store(tmp_path / "n.dao", tmp_path / "v3.h5", progress=False)
    assert set(new.var_names) == {"A", "B"}
    np.testing.assert_array_equal(counts_by_source_row(new, ["A", "B"]), x[:, :2])
    assert list(new.var.loc[["A", "B"], "gene_ids"]) == ["ENSG1", "ENSG2"]


def test_profiles(tmp_path: Path, make_study: Make, assert_holds: Any) -> None:
    """The compact profile holds the same cells in fewer bytes."""
    study = make_study(n_obs=3_000, n_vars=300)
    sizes = {}
    for profile in ("fast", "compact"):
        path = tmp_path / f"{profile}.dao"
        store = dao.write_store(path, {"a": study}, profile=profile, progress=False)
        assert_holds(store, {"a": study})
        sizes[profile] = sum(
            f.stat().st_size for f in (path / "datasets/a/X").rglob("*") if f.is_file()
        )
    assert sizes["compact"] < sizes["fast"]


def test_memory_is_bounded(tmp_path: Path, write: Callable[..., dao.Store]) -> None:
    """Writing a file of 100 MB within 30 MB does not read it whole."""
    import subprocess
    import sys

    x = sp.random(60_000, 500, 0.4, "csr", np.float32, rng=np.random.default_rng(0))
    ad.AnnData(x).write_h5ad(tmp_path / "large.h5ad")
    code = (
        "import anndata, dao, numpy as np, resource, sys\n"
        "small = anndata.AnnData(np.eye(3, dtype='f4'))\n"
        "dao.write_store(sys.argv[2] + '0', small, memory='30MB', progress=False)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "dao.write_store(sys.argv[2], sys.argv[1], memory='30MB', progress=False)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "large.h5ad"), str(tmp_path / "s.dao")],
        capture_output=True,
        text=True,
        check=True,
    )
    grown = int(result.stdout.split()[-1])
    assert grown < 160, f"{grown} MB for a source of 96 MB with memory='30MB'"
