"""Any matrix in, the same matrix out: hypothesis against plain scipy."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dao

if TYPE_CHECKING:
    from collections.abc import Callable

EDGES = {
    "uint8": [1, 254, 255],
    "uint16": [256, 65_535],
    "uint32": [65_536, 2**32 - 1],
    "int8": [-1, -128, 127],
    "int16": [-129, -32_768, 32_767],
    "int32": [-(2**31), 2**31 - 1],
    "int64": [-(2**63), 2**63 - 1, 2**53 + 1],
    "uint64": [2**64 - 1, 2**53 + 1],
    "float32": [0.5, -1.25, 3.4e38, 2**24, 2**33, np.nan, np.inf, -np.inf, 1e-40],
    "float64": [0.1, 1e300, 2**53, -7.0, np.nan, np.inf],
    "float16": [0.5, 100.0, 65_504.0],
    "bool": [True],
}


@st.composite
def matrices(draw: st.DrawFn, n_vars: int | None = None) -> sp.csr_matrix:
    """Small sparse matrices of any dtype with edge values, empty rows and zero genes."""
    dtype = draw(st.sampled_from(sorted(EDGES)))
    n_obs = draw(st.integers(0, 9))
    width = n_vars if n_vars is not None else draw(st.integers(1, 8))
    values = draw(
        st.lists(
            st.sampled_from([0, 0, 0, *EDGES[dtype]]),
            min_size=n_obs * width,
            max_size=n_obs * width,
        )
    )
    return np.array(values, dtype).reshape(n_obs, width)


def _study(dense: np.ndarray[Any, Any], form: str, genes: list[str] | None = None) -> ad.AnnData:
    # scipy has no half precision, so that can only come dense.
    half = dense.dtype == np.float16
    x = (
        dense
        if half
        else {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": np.asarray}[form](dense)
    )
    names = genes or [f"g{i}" for i in range(dense.shape[1])]
    obs = pd.DataFrame(index=[f"{form}-{i}" for i in range(dense.shape[0])])
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=names))


def _aligned(store: dao.Store, dense: np.ndarray[Any, Any], dataset: str) -> tuple[Any, Any]:
    mine = store.subset(dataset=dataset).to_anndata() if dense.shape[0] else None
    if mine is None:
        return None, None
    x = mine.X.toarray() if sp.issparse(mine.X) else mine.X
    columns = mine.var_names.get_indexer([f"g{i}" for i in range(dense.shape[1])])
    return x[:, columns], dense[mine.obs["_source_row"].to_numpy()]


@given(matrices(), st.sampled_from(["csr", "csc", "dense"]), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_matrix_comes_back(dense: np.ndarray[Any, Any], form: str, shuffle: bool) -> None:
    """Values, dtype and kind of every matrix survive, whatever dtype is on disk."""
    with tempfile.TemporaryDirectory() as folder:
        study = _study(dense, form)
        store = dao.write_store(Path(folder) / "s", {"a": study}, shuffle=shuffle, progress=False)
        assert store.shape == dense.shape
        mine, theirs = _aligned(store, dense, "a")
        if mine is not None:
            np.testing.assert_array_equal(mine, theirs)
            assert mine.dtype == dense.dtype
        assert dao.validate_store(Path(folder) / "s").ok


def _may_need_two_dtypes(*matrices: np.ndarray[Any, Any]) -> bool:
    """Whether no dtype may hold both: whole numbers beyond 2**53 next to another dtype."""
    whole = [m for m in matrices if m.dtype.kind in "iu"]
    large = any(abs(int(value)) > 2**53 for m in whole for value in m.ravel())
    return large and len({m.dtype for m in matrices}) > 1


@given(matrices(n_vars=4), matrices(n_vars=6), st.sampled_from(["outer", "inner"]))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_two_studies_stream_together(
    first: np.ndarray[Any, Any], second: np.ndarray[Any, Any], features: str
) -> None:
    """Studies of different dtypes and genes stream as one, in a dtype that holds both."""
    with tempfile.TemporaryDirectory() as folder:
        sources = {"a": _study(first, "csr"), "b": _study(second, "csc")}
        store = dao.write_store(Path(folder) / "s", sources, features=features, progress=False)
        assert store.n_vars == (6 if features == "outer" else 4)
        for name, dense in (("a", first), ("b", second)):
            mine, theirs = _aligned(store, dense[:, : min(dense.shape[1], store.n_vars)], name)
            if mine is not None:
                np.testing.assert_array_equal(mine, theirs[:, : mine.shape[1]])
        try:
            whole = store.to_anndata()
        except dao.errors.ArgumentError:
            assert _may_need_two_dtypes(first, second)
            return
        x = whole.X.toarray() if sp.issparse(whole.X) else whole.X
        rows = []
        for x_format in ("csr", "dense"):
            for batch in store.generator(3, dtype="native", x_format=x_format):
                got = batch["X"].toarray() if x_format == "csr" else batch["X"]
                np.testing.assert_array_equal(
                    got.astype(np.float64), x[batch["index"]].astype(np.float64)
                )
                rows.extend(batch["index"].tolist())
        assert sorted(rows) == sorted(2 * list(range(store.n_obs)))


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        ([1, 255], "uint8"),
        ([1, 256], "uint16"),
        ([1, 65_536], "uint32"),
        ([-1, 3], "int8"),
        ([0.5, 2], "float32"),
        ([1, np.nan], "float32"),
        ([3e9, 1], "uint32"),
        ([1e300], "float64"),
    ],
)
def test_narrowest_dtype_on_disk(
    write: Callable[..., dao.Store], values: list[float], stored: str
) -> None:
    """Whole numbers shrink to the integers that hold them; other values stay floats."""
    dense = np.zeros((len(values), 9), np.float64)
    dense[:, 4] = values
    store = write(_study(dense, "csr"))
    assert str(store.manifest.datasets[0].matrices["X"].dtype) == stored
    assert store.to_anndata().X.dtype == np.float64


def test_many_features(write: Callable[..., dao.Store]) -> None:
    """70,000 features need wider indices, and the last one is found again."""
    x = sp.random(30, 70_000, 0.001, "lil", np.float32, rng=np.random.default_rng(0))
    x[:, 69_999] = 3
    study = ad.AnnData(x.tocsr(), var=pd.DataFrame(index=[f"g{i}" for i in range(70_000)]))
    store = write(study)
    arrays = store.manifest.datasets[0].matrices["X"].arrays
    assert arrays["indices"].dtype == "uint32"
    mine = store.to_anndata()
    rows = mine.obs["_source_row"].to_numpy()
    assert abs(mine[:, study.var_names].X - study.X[rows]).sum() == 0
    batch = next(iter(store.generator(30, var_names=["g69999", "g0"], x_format="dense")))
    assert (batch["X"][:, 0] == 3).all()


@pytest.mark.parametrize("memory", ["150kB", "2GiB"])
@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_small_memory_takes_the_way_over_the_disk(
    write: Callable[..., dao.Store], form: str, memory: str
) -> None:
    """Sources larger than the budget are shuffled through files, to the same store."""
    random = np.random.default_rng(3)
    dense = random.poisson(1.0, (700, 90)).astype(np.float32)
    store = write(_study(dense, form), memory=memory)
    mine, theirs = _aligned(store, dense, "dataset_0")
    np.testing.assert_array_equal(mine, theirs)
    rows = store.obs["_source_row"].to_numpy()
    again = write(_study(dense, "csr"), name="again")
    np.testing.assert_array_equal(rows, again.obs["_source_row"].to_numpy())


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_repeated_ids_are_summed(write: Callable[..., dao.Store], form: str) -> None:
    """Columns with one id become one, also where narrow integers would overflow."""
    dense = np.array([[200, 100, 7], [0, 255, 1], [0, 0, 0]], np.uint8)
    store = write(_study(dense, form, ["ENSG00000000003.1", "ENSG00000000003.14", "B"]))
    mine = store.to_anndata()
    rows = mine.obs["_source_row"].to_numpy()
    x = mine[:, ["ENSG00000000003", "B"]].X
    x = x.toarray() if sp.issparse(x) else x
    np.testing.assert_array_equal(x, np.array([[300, 7], [255, 1], [0, 0]])[rows])


def test_unsorted_and_repeated_entries(write: Callable[..., dao.Store]) -> None:
    """CSR with unsorted, repeated and stored zero entries means what scipy says it means."""
    parts = (
        np.array([1, 2, 3, 0, 5], np.float32),
        np.array([2, 0, 2, 1, 1]),
        np.array([0, 3, 4, 5]),
    )
    x = sp.csr_matrix(parts, shape=(3, 3))
    store = write(ad.AnnData(x.copy(), var=pd.DataFrame(index=["g0", "g1", "g2"])))
    mine = store.to_anndata()
    rows = mine.obs["_source_row"].to_numpy()
    np.testing.assert_array_equal(mine[:, ["g0", "g1", "g2"]].X.toarray(), x.toarray()[rows])
    assert store.manifest.datasets[0].matrices["X"].nnz == 3


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_sources_in_memory_are_not_touched(
    write: Callable[..., dao.Store], make_study: Callable[..., ad.AnnData], form: str
) -> None:
    """Writing an AnnData leaves every array of it as it was, also where genes are reordered."""
    study = make_study(n_vars=6)
    dense = study.X.toarray()
    study.X = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": np.asarray}[form](dense)
    before = study.copy()
    write({"a": study}, features=[f"G{i}" for i in range(5, -1, -1)], layers=["doubled"])
    np.testing.assert_array_equal(
        study.X.toarray() if form != "dense" else study.X, dense, strict=True
    )
    pd.testing.assert_frame_equal(study.obs, before.obs)
    assert abs(study.layers["doubled"] - before.layers["doubled"]).sum() == 0
    assert study.X is not before.X
