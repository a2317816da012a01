"""Statistics out of core equal those of scanpy and numpy on the same cells in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import dao
from dao.errors import ArgumentError, UnknownColumnError
from dao.stats.run import over_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def study(seed: int, n_obs: int) -> ad.AnnData:
    """Return counts of genes of all means and dispersions, of which some are never detected."""
    random = np.random.default_rng(seed)
    mean = np.random.default_rng(0).gamma(0.3, 2.0, 400)
    mean[::40] = 0
    spread = random.gamma(2.0, 0.5, (n_obs, 400))
    x = sp.csr_matrix(random.poisson(mean * spread).astype(np.float32))
    adata = ad.AnnData(x, var=pd.DataFrame(index=[f"g{i}" for i in range(400)]))
    adata.obs_names = [f"{seed}-{i}" for i in range(n_obs)]
    donor = random.choice(["d1", "d2", "d3", None], n_obs)
    adata.obs["donor"] = pd.Categorical(donor)
    adata.obs["type"] = pd.Categorical(
        random.choice(["T", "B"], n_obs), categories=["T", "B", "NK"]
    )
    adata.obs["batch"] = random.integers(0, 3, n_obs)
    adata.layers["half"] = x / 2
    return adata


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two studies."""
    path = tmp_path_factory.mktemp("stats") / "store.dao"
    studies = {"a": study(1, 500), "b": study(2, 300)}
    dao.write_store(path, studies, layers=["half"], progress=False)
    return path


@pytest.fixture(params=["local", "dask"])
def store(
    request: pytest.FixtureRequest, path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dao.Store]:
    """The store, in small blocks, here and on the threads of dask."""
    if request.param == "dask":
        pytest.importorskip("dask")
    monkeypatch.setattr("dao.lazy.source._BLOCK_BYTES", 1 << 18)
    return dao.load_store(path, backend=request.param)


def test_several_blocks_are_added_up(store: dao.Store) -> None:
    """The other tests would show little if all cells were in one block."""
    from dao.lazy.source import matrix_source

    source = matrix_source(store, dtype="float64")
    n = over_blocks(store, source, _one, _add)
    assert n > 3


def _one(matrix: Any, labels: Any) -> int:
    return 1


def _add(one: int, other: int) -> int:
    return one + other


def test_mean_and_variance(store: dao.Store) -> None:
    """Of all cells, of some with chosen genes, of a layer, and after a transform."""
    for chosen in (store, store.subset(type="B").select_features(store.var_names[::-3])):
        dense = chosen.to_anndata().X.toarray().astype(np.float64)
        table = chosen.gene_stats()
        assert list(table.index) == list(chosen.var_names)
        np.testing.assert_array_equal(table["n_cells"], (dense != 0).sum(axis=0))
        np.testing.assert_array_equal(table["total"], dense.sum(axis=0))
        np.testing.assert_allclose(table["mean"], dense.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(table["var"], dense.var(axis=0, ddof=1), rtol=1e-9, atol=1e-12)
    half, whole = store.gene_stats(layer="half"), store.gene_stats()
    np.testing.assert_allclose(half["var"], whole["var"] / 4)
    logs = np.log1p(store.to_anndata().X.toarray().astype(np.float64))
    np.testing.assert_allclose(store.gene_stats(transform="log1p")["mean"], logs.mean(axis=0))


@pytest.mark.parametrize("by", ["type", ["donor", "type"], ["batch"]])
@pytest.mark.parametrize("func", ["sum", "mean"])
def test_pseudobulk(store: dao.Store, by: Any, func: str) -> None:
    """Groups, their order, numbers and sums are those of `scanpy.get.aggregate`."""
    scanpy = pytest.importorskip("scanpy")
    names = [by] if isinstance(by, str) else by
    adata = store.to_anndata()
    for name in names:
        adata.obs[name] = pd.Categorical(adata.obs[name])
    kept = adata[adata.obs[names].notna().all(axis=1)]
    theirs = scanpy.get.aggregate(kept, by, func)
    mine = store.pseudobulk(by, func=func)
    assert list(mine.obs_names) == list(theirs.obs_names)
    expected = theirs.layers[func]
    expected = expected.toarray() if sp.issparse(expected) else expected
    np.testing.assert_allclose(mine.X.toarray(), expected, rtol=1e-6)
    counts = kept.obs.groupby(names, observed=True).size()
    assert mine.obs["n_obs_aggregated"].sum() == counts.sum()
    assert list(mine.var_names) == list(store.var_names)


@pytest.mark.parametrize("flavor", ["seurat", "cell_ranger"])
@pytest.mark.parametrize("some", [None, "T"])
def test_highly_variable_genes(store: dao.Store, flavor: str, some: str | None) -> None:
    """The same genes as scanpy, with the same dispersions."""
    scanpy = pytest.importorskip("scanpy")
    pytest.importorskip("statsmodels")
    chosen = store if some is None else store.subset(type=some)
    adata = chosen.to_anndata()
    scanpy.pp.normalize_total(adata, target_sum=1e4)
    scanpy.pp.log1p(adata)
    theirs = scanpy.pp.highly_variable_genes(adata, n_top_genes=60, flavor=flavor, inplace=False)
    theirs = theirs.set_index(chosen.var_names) if len(theirs) else theirs
    mine = chosen.highly_variable_genes(60, flavor=flavor)
    assert list(mine["highly_variable"]) == list(theirs["highly_variable"])
    assert mine["highly_variable"].sum() == 60
    for column in ("means", "dispersions", "dispersions_norm"):
        np.testing.assert_allclose(mine[column], theirs[column], rtol=2e-4, atol=2e-5)


def test_what_cannot_be(store: dao.Store) -> None:
    """Wrong arguments are errors, few cells are none."""
    with pytest.raises(UnknownColumnError, match="donor"):
        store.pseudobulk("doner")
    with pytest.raises(ArgumentError, match="by="):
        store.pseudobulk([])
    with pytest.raises(ArgumentError, match="median"):
        store.pseudobulk("donor", func="median")
    with pytest.raises(ArgumentError, match="flavor"):
        store.highly_variable_genes(flavor="seurat_v4")
    with pytest.raises(ArgumentError, match="does not vary"):
        store.head(1).highly_variable_genes()
    with pytest.warns(dao.errors.DaoWarning, match="No cell"):
        empty = store.take([]).gene_stats()
    assert empty["mean"].isna().all()
    assert empty["total"].sum() == 0
    with pytest.warns(dao.errors.DaoWarning, match="No cell"):
        assert store.take([]).pseudobulk("donor").shape == (0, 400)
    assert np.isnan(store.head(1).gene_stats()["var"]).all()


@pytest.mark.parametrize("backend", ["local", "dask"])
@pytest.mark.parametrize("rows_per_block", [1, 13, 10_000])
def test_variance_of_large_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, rows_per_block: int
) -> None:
    """The variance does not depend on how large the mean is, nor on how rows are cut."""
    if backend == "dask":
        pytest.importorskip("dask")
    random = np.random.default_rng(0)
    X = np.column_stack(
        [
            1e8 + random.normal(size=200),
            1e12 + random.normal(size=200),
            np.full(200, 0.1),
            random.poisson(0.05, 200) * 1e6,
            np.zeros(200),
        ]
    )
    adata = ad.AnnData(X)
    adata.obs_names, adata.var_names = [f"c{i}" for i in range(200)], list("abcde")
    dao.write_store(tmp_path / "s.dao", {"a": adata}, progress=False)
    store = dao.load_store(tmp_path / "s.dao", backend=backend)
    monkeypatch.setattr("dao.lazy.source._BLOCK_BYTES", 5 * 12 * rows_per_block)
    found = store.gene_stats().loc[list("abcde")]
    exact = X.astype(np.longdouble)
    expected = np.asarray(exact.var(axis=0, ddof=1), np.float64)
    np.testing.assert_allclose(found["mean"], np.asarray(exact.mean(axis=0)).astype(float), 1e-14)
    np.testing.assert_allclose(found["var"].iloc[[0, 3, 4]], expected[[0, 3, 4]], rtol=1e-7)
    np.testing.assert_allclose(found["var"].iloc[1], expected[1], rtol=1e-3)  # of 1e-4 in float64
    assert found["var"].iloc[2] < 1e-30


def of_obs(obs: dict[str, Any], x: Any = None) -> ad.AnnData:
    """Return a study of six cells and three genes."""
    x = np.arange(18.0, dtype=np.float32).reshape(6, 3) if x is None else x
    frame = pd.DataFrame(obs, index=[f"c{i}" for i in range(6)])
    return ad.AnnData(x, frame, pd.DataFrame(index=["A", "B", "C"]))


GROUPS: dict[str, dict[str, Any]] = {
    "midnights": {"by": pd.to_datetime(["2024-01-02", "2024-01-01"] * 3)},
    "times": {"by": pd.to_datetime(["2024-01-02 03:04", "2024-01-01 00:00"] * 3)},
    "unused": {"by": pd.Categorical(list("aabbaa"), categories=["c", "b", "a"], ordered=True)},
    "numbers": {"by": np.array([0.1, 0.1, 2, 3, 3, 3], np.float32)},
    "nullable": {"by": pd.array([1, 2, None, 2, 1, 1], dtype="Int64")},
    "flags": {"by": [True, False, True] * 2},
    "two": {"by": pd.to_datetime(["2024-01-02", "2024-01-01"] * 3), "and": list("aabbaa")},
}


@pytest.mark.parametrize("case", GROUPS)
def test_names_of_groups(tmp_path: Path, case: str) -> None:
    """Names, categories and sums are those of scanpy, for every type of column."""
    scanpy = pytest.importorskip("scanpy")
    obs = GROUPS[case]
    store = dao.write_store(tmp_path / "g.dao", of_obs(obs), progress=False, shuffle=False)
    adata = of_obs({name: pd.Categorical(values) for name, values in obs.items()})
    theirs = scanpy.get.aggregate(adata[adata.obs.notna().all(axis=1)], list(obs), "sum")
    mine = store.select_features(list("ABC")).pseudobulk(list(obs))
    assert mine.obs_names.tolist() == theirs.obs_names.tolist()
    np.testing.assert_array_equal(mine.X.toarray(), theirs.layers["sum"])
    for name in obs:
        assert mine.obs[name].astype(str).tolist() == theirs.obs[name].astype(str).tolist()
        assert len(mine.obs[name].cat.categories) == mine.obs[name].nunique()
        assert mine.obs[name].cat.ordered == (case == "unused")


def test_names_that_join_to_one(tmp_path: Path) -> None:
    """Groups of other values have other names."""
    obs = {"p": ["a_b", "a", "a_b"] * 2, "q": ["c", "b_c", "d"] * 2}
    store = dao.write_store(tmp_path / "g.dao", of_obs(obs), progress=False)
    found = store.select_features(list("ABC")).pseudobulk(["p", "q"])
    assert found.obs_names.tolist() == ["a_b_c", "a_b_c-1", "a_b_d"]
    expected = pd.DataFrame(of_obs(obs).X).groupby([obs["p"], obs["q"]]).sum()
    np.testing.assert_array_equal(found.X.toarray(), expected)


def test_numbers_that_float64_cannot_square(tmp_path: Path) -> None:
    """A constant does not vary; where squares overflow the variance is NaN, with a warning."""
    for sparse in (False, True):
        x = np.column_stack([np.full(6, 2.0**900), [1e300, -1e300] * 3, [0, 2e200] * 3])
        given = sp.csr_matrix(x) if sparse else x
        path = tmp_path / f"{sparse}.dao"
        store = dao.write_store(path, of_obs({}, given), progress=False)
        with pytest.warns(dao.errors.DaoWarning, match="variance of 2 features, as 'B', is NaN"):
            table = store.gene_stats().loc[["A", "B", "C"]]
        np.testing.assert_allclose(table["mean"], [2.0**900, 0, 1e200])
        np.testing.assert_array_equal(table["var"], [0, np.nan, np.nan])


@pytest.mark.parametrize("what", ["gene_stats", "pseudobulk", "highly_variable_genes"])
def test_whole_numbers_beyond_float64(tmp_path: Path, what: str) -> None:
    """They are refused, and the advice is one that can be followed."""
    x = np.full((6, 3), 2**60 + 1, np.int64)
    store = dao.write_store(tmp_path / "x.dao", of_obs({"k": list("aabbaa")}, x), progress=False)
    with pytest.raises(ArgumentError, match=r"calculated in float64: .*to_anndata") as caught:
        getattr(store, what)(*["k"] * (what == "pseudobulk"))
    assert "dtype=" not in str(caught.value)
    assert store.to_anndata().X.dtype == np.int64
