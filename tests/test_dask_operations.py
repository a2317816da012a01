"""Computations on `to_dask` arrays give what NumPy and scanpy give in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

import dao  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.once

N, GENES = 260, 50
FORMS = ["csr", "dense"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> dao.Store:
    """A store of two studies of different genes; some cells have no counts."""
    random = np.random.default_rng(0)
    studies = {}
    for name, n in {"a": 150, "b": 110}.items():
        counts = random.poisson(0.4, (n, GENES - 5)).astype(np.float32)
        counts[:3] = 0
        genes = [f"g{i}" for i in range(GENES)][5:] if name == "b" else range(GENES - 5)
        obs = pd.DataFrame(
            {"kind": pd.Categorical(random.choice(["x", "y"], n))},
            index=[f"{name}{i}" for i in range(n)],
        )
        var = pd.DataFrame(index=[g if isinstance(g, str) else f"g{g}" for g in genes])
        studies[name] = ad.AnnData(sp.csr_matrix(counts), obs, var)
    path = tmp_path_factory.mktemp("dask") / "store.dao"
    return dao.write_store(path, studies, organism="human", progress=False)


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    """The form of the blocks."""
    return str(request.param)


def dense(value: Any) -> Any:
    """Return what was computed as an array."""
    value = value.compute(scheduler="threads") if isinstance(value, da.Array) else value
    return value.toarray() if sp.issparse(value) else np.asarray(value)


MASK = np.arange(N) % 3 == 0
ORDER = np.random.default_rng(1).permutation(N)
REDUCED: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: x.sum(),
    "sum of columns": lambda x: x.sum(axis=0),
    "sum of rows": lambda x: x.sum(axis=1),
    "last axis": lambda x: x.sum(axis=-1),
    "kept axis": lambda x: x.sum(axis=1, keepdims=True),
    "float64": lambda x: x.sum(axis=0, dtype="float64"),
    "of numpy": lambda x: np.sum(x, axis=0),
    "mean": lambda x: x.mean(),
    "mean of columns": lambda x: x.mean(axis=0),
    "mean of rows": lambda x: np.mean(x, axis=1),
    "max": lambda x: x.max(),
    "max of rows": lambda x: x.max(axis=1),
    "min of columns": lambda x: x.min(axis=0),
    "variance": lambda x: x.var(axis=0),
    "deviation": lambda x: x.std(),
    "place of the largest": lambda x: x.argmax(axis=1),
    "any": lambda x: (x > 1).any(axis=0),
    "all": lambda x: (x >= 0).all(),
    "product": lambda x: (x + 1).prod(axis=1),
    "nansum": lambda x: np.nansum(x, axis=0),
    "cells per gene": lambda x: (x > 0).sum(axis=0),
    "cells not zero": lambda x: (x != 0).mean(axis=1),
    "of chosen rows": lambda x: x[MASK].sum(axis=0),
    "of a permutation": lambda x: x[ORDER].mean(axis=1),
    "of chosen columns": lambda x: x[:, ::7].sum(axis=1),
    "of the transpose": lambda x: x.T.sum(axis=1),
    "of both": lambda x: np.concatenate([x, 2 * x]).sum(axis=0),
    "of logarithms": lambda x: np.log1p(x).mean(axis=0),
}
ELEMENTS: dict[str, Callable[[Any], Any]] = {
    "slice": lambda x: x[100:200, 3:9],
    "step": lambda x: x[::-7],
    "mask": lambda x: x[MASK],
    "list": lambda x: x[[3, 200, 1]],
    "columns": lambda x: x[:, [40, 2, 7]],
    "one row": lambda x: x[3],
    "one column": lambda x: x[:, -1],
    "one element": lambda x: x[150, 4],
    "times a number": lambda x: 3 * x,
    "divided by a number": lambda x: x / 7,
    "negative": lambda x: -x,
    "squares": lambda x: x**2,
    "times itself": lambda x: x * x,
    "plus itself": lambda x: x + x / 2,
    "plus a number": lambda x: x + 1,
    "one less": lambda x: 1 - x,
    "times rows": lambda x: x * np.arange(N)[:, None],
    "times columns": lambda x: np.arange(GENES) * x,
    "above": lambda x: x > 1,
    "equal": lambda x: x == 0,
    "logarithm": np.log1p,
    "exponential": np.exp,
    "largest": lambda x: np.maximum(x, 1),
    "clipped": lambda x: x.clip(0, 1),
    "chosen": lambda x: np.where(x > 0, x, -1),
    "float64": lambda x: x.astype("float64"),
    "transposed": lambda x: x.T,
    "in a line": lambda x: x.reshape(-1),
    "product": lambda x: x @ np.arange(GENES * 2.0).reshape(GENES, 2),
    "product of both": lambda x: x.T @ x,
    "tensordot": lambda x: np.tensordot(x, np.ones((GENES, 2)), axes=1),
}
SPARSE = {
    "slice",
    "step",
    "mask",
    "list",
    "columns",
    "times a number",
    "squares",
    "times itself",
    "above",
}
SPARSE |= {"logarithm", "times rows", "float64", "plus itself", "transposed"}


@pytest.mark.parametrize("rows", [50, 1000], ids=["several blocks", "one block"])
def test_reductions(store: dao.Store, form: str, rows: int) -> None:
    """Reductions of arrays, of parts of them and of functions of them are those of NumPy."""
    x, plain = store.to_dask(x_format=form, rows_per_block=rows), dense(store.to_anndata().X)
    for name, function in REDUCED.items():
        got, expected = function(x), function(plain)
        assert got.shape == expected.shape, name
        assert got.dtype == expected.dtype, name
        values = got.compute(scheduler="threads")
        assert isinstance(values, np.ndarray | np.generic), name
        assert values.dtype == expected.dtype, name
        np.testing.assert_allclose(values, expected, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("rows", [50, 1000], ids=["several blocks", "one block"])
def test_elements(store: dao.Store, form: str, rows: int) -> None:
    """Slices and functions of each element are those of NumPy, sparse where zeros stay zeros."""
    x, plain = store.to_dask(x_format=form, rows_per_block=rows), dense(store.to_anndata().X)
    for name, function in ELEMENTS.items():
        got = function(x).compute(scheduler="threads")
        np.testing.assert_allclose(dense(got), function(plain), rtol=1e-6, err_msg=name)
        if form == "csr" and name in SPARSE:  # a class of scipy itself, also of one block
            assert type(got) in (sp.csr_matrix, sp.csc_matrix), name


def test_rows_divided_by_their_sums(store: dao.Store) -> None:
    """A cell without counts stays one, as in scipy."""
    x, plain = store.to_dask(rows_per_block=50), store.to_anndata().X
    got = (x / x.sum(axis=1, keepdims=True)).compute(scheduler="threads")
    sums = np.asarray(plain.sum(axis=1))
    expected = plain.toarray() / np.where(sums == 0, 1, sums)
    np.testing.assert_allclose(got.toarray(), expected, rtol=1e-6)


def test_square_blocks_are_multiplied_by_element(store: dao.Store) -> None:
    """Blocks that have as many rows as columns are not taken for matrices to be multiplied."""
    x = store.subset(dataset="a").to_dask(rows_per_block=GENES)
    assert GENES in x.chunks[0]
    plain = dense(store.subset(dataset="a").to_anndata().X)
    assert (dense(x * x) == plain * plain).all()


def test_sums_are_exact(tmp_path: Path) -> None:
    """A block is summed in float64: what is added beyond 2**24 is not lost."""
    x = np.ones((301, 2), np.float32)
    x[0] = 2**24
    path = tmp_path / "s.dao"
    store = dao.write_store(path, {"a": ad.AnnData(x)}, organism="human", progress=False)
    assert store.to_dask().sum(axis=0).compute(scheduler="threads").tolist() == [2**24 + 300] * 2


def test_other_blocks(store: dao.Store, form: str) -> None:
    """Arrays that were cut in another way, and layers in other dtypes, give the same sums."""
    plain = dense(store.to_anndata().X)
    x = store.to_dask(x_format=form, dtype="int32", rows_per_block=40)
    for other in (x.rechunk((101, -1)), x.rechunk((60, 20)), x.persist(scheduler="threads")):
        np.testing.assert_array_equal(dense(other.sum(axis=0)), plain.sum(axis=0))
        assert other.sum().dtype == np.int64
    empty = store.take([]).to_dask(x_format=form)
    assert dense(empty.sum(axis=0)).tolist() == [0] * GENES


# --- in an AnnData ------------------------------------------------------------------------------


def pair(store: dao.Store, form: str) -> tuple[ad.AnnData, ad.AnnData]:
    """Return the cells as an AnnData of a dask array, and in memory."""
    memory = store.to_anndata()
    memory.X = memory.X.toarray() if form == "dense" else memory.X
    x = store.to_dask(x_format=form, rows_per_block=60)
    return ad.AnnData(x, memory.obs.copy(), memory.var.copy()), memory


@pytest.mark.filterwarnings("ignore")
def test_scanpy(store: dao.Store, form: str) -> None:
    """Functions of scanpy that take dask arrays give what they give in memory."""
    sc: Any = pytest.importorskip("scanpy")
    lazy, memory = pair(store, form)
    steps: list[Callable[[ad.AnnData], Any]] = [
        lambda a: sc.pp.calculate_qc_metrics(a, inplace=True, percent_top=(10,)),
        lambda a: sc.pp.filter_cells(a, min_counts=5),
        lambda a: sc.pp.filter_genes(a, min_cells=3),
        lambda a: sc.pp.normalize_total(a, target_sum=1e4),
        sc.pp.log1p,
        lambda a: sc.pp.highly_variable_genes(a, n_top_genes=20),
        lambda a: sc.pp.pca(a, n_comps=5, svd_solver="covariance_eigh"),
        lambda a: sc.pp.scale(a, zero_center=False),
    ]
    with dask.config.set(scheduler="threads"):
        for step in steps:
            step(lazy)
            step(memory)
            assert isinstance(lazy.X, da.Array)
            np.testing.assert_allclose(dense(lazy.X), dense(memory.X), rtol=1e-4)
        loadings = [np.abs(dense(a.obsm["X_pca"])) for a in (lazy, memory)]
        np.testing.assert_allclose(*loadings, atol=1e-3)
        for mine, theirs in ((lazy.obs, memory.obs), (lazy.var, memory.var)):
            assert set(mine) == set(theirs)
            numbers = theirs.select_dtypes(["number", "bool"]).columns
            pd.testing.assert_frame_equal(
                mine[numbers].apply(dense).astype(float), theirs[numbers].astype(float), rtol=1e-4
            )


def test_anndata_views_joins_and_files(store: dao.Store, form: str, tmp_path: Path) -> None:
    """Views and joins of an AnnData have sums too, and files hold what was computed."""
    lazy, memory = pair(store, form)
    chosen = (memory.obs["kind"] == "x").to_numpy()
    with dask.config.set(scheduler="threads"):
        for part in (lazy[chosen], lazy[chosen].copy(), lazy[:, ::3], lazy[5:9]):
            np.testing.assert_allclose(dense(part.X.sum(axis=0)), dense(part.X).sum(axis=0))
        both = ad.concat([lazy[:, :30], lazy[:, 20:]], join="outer", index_unique="-", fill_value=0)
        np.testing.assert_allclose(dense(both.X.sum(axis=1)), dense(both.X).sum(axis=1))
        assert dense(both.X).sum() == dense(memory.X)[:, :30].sum() + dense(memory.X)[:, 20:].sum()
        lazy.write_h5ad(tmp_path / "all.h5ad")
        lazy[chosen].write_h5ad(tmp_path / "view.h5ad")
        lazy[chosen].copy().write_zarr(tmp_path / "copy.zarr")
        assert type(lazy[:9].to_memory().X) is {"csr": sp.csr_matrix, "dense": np.ndarray}[form]
    for name, read in {
        "all.h5ad": ad.read_h5ad,
        "view.h5ad": ad.read_h5ad,
        "copy.zarr": ad.read_zarr,
    }.items():
        found = read(tmp_path / name)
        np.testing.assert_array_equal(dense(found.X), dense(memory[found.obs_names].X))
