"""Casts: values are exact in the dtype asked for, rounded if they are fractions, or refused."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import dao
from dao.errors import ArgumentError, SourceError
from dao.format.casts import Verdict, always_fits, misfit, verdict
from dao.testing.contract import _cast

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = [
    *(0, 1, -1, 255, 256, -128, -129, 2**24, 2**24 + 1, 2**25, 2**31, 2**53, 2**53 + 1),
    *(2**53 + 2, -(2**53) - 1, 2**62 + 2**40, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**63 + 2**11),
    *(0.5, -0.25, 0.1, 1e-60, 2.0**24 + 0.5, 2.0**40, 1e30, 3.4028235e38, 3.4028236e38, 1.5e39),
    *(float("nan"), float("inf"), -float("inf"), -0.0, 9.3e18, 1.9e19),
]
DTYPES = [np.dtype(f"{k}{n}") for k in "iu" for n in (1, 2, 4, 8)] + [
    np.dtype("f4"),
    np.dtype("f8"),
]


def held(dtype: np.dtype[Any]) -> list[Any]:
    """Return the numbers that a dtype holds as they are, as Python's."""
    if dtype.kind == "f":
        some = [n for n in NUMBERS if isinstance(n, float) or abs(n) < 2**53]
        with np.errstate(over="ignore"):
            return np.array(some, dtype).tolist()
    info = np.iinfo(dtype)
    return [n for n in NUMBERS if isinstance(n, int) and info.min <= n <= info.max]


@pytest.mark.parametrize("stored", DTYPES, ids=str)
def test_every_pair_of_dtypes(stored: np.dtype[Any]) -> None:
    """One value after another, the rule says what exact arithmetic says."""
    for wanted in DTYPES:
        for number in held(stored):
            fits = _cast(number, wanted) is not None
            found = misfit(np.array([0, number, 0], stored), wanted)
            assert (found is None) == fits, (number, wanted)
            if not fits:
                assert not always_fits(stored, wanted), (number, wanted)
            if np.isfinite(number):
                known = verdict(stored, min(0, number), max(0, number), wanted)
                assert known is not (Verdict.LOST if fits else Verdict.FITS), (number, wanted)


def study(x: Any, **obsm: Any) -> ad.AnnData:
    """Return a study of so many cells."""
    cells, genes = ([f"{n}{i}" for i in range(x.shape[a])] for a, n in enumerate("cg"))
    adata = ad.AnnData(x, obs=pd.DataFrame(index=cells), var=pd.DataFrame(index=genes))
    adata.obsm.update(obsm)
    return adata


def repeated(dtype: str, *given: float) -> sp.csr_matrix:
    """Return a matrix whose second cell has one entry several times."""
    x = sp.csr_matrix((3, 4), dtype=dtype)
    x.data, x.indices = np.array(given, dtype), np.full(len(given), 2, np.int32)
    x.indptr = np.array([0, 0, len(given), len(given)], np.int32)
    return x


def opened(tmp_path: Path, adata: ad.AnnData, kind: str, **arguments: Any) -> dao.Store:
    """Return a study as a store, as a file, or one of them in memory."""
    if kind.startswith("store"):
        path = tmp_path / "store.dao"
        found = dao.write_store(path, {"a": adata}, shuffle=False, progress=False, **arguments)
    else:
        adata.write_h5ad(tmp_path / "a.h5ad")
        found = dao.load_store(tmp_path / "a.h5ad", backend="h5ad", **arguments)
    found = found.select_features(list(adata.var_names))  # in the order of the study
    return found.to_memory() if "memory" in kind else found


KINDS = ["store", "store in memory", "h5ad", "h5ad in memory"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("dtype", "given"),
    [("u1", (200, 100)), ("i1", (-100, -100)), ("?", (1, 1, 1)), ("f4", (2**24, 1))],
)
def test_repeated_entries_add_up(
    tmp_path: Path, kind: str, dtype: str, given: tuple[float, ...]
) -> None:
    """Entries of one place are added up beyond their dtype, also for AnnData."""
    total = sum(map(int, given))
    store = opened(tmp_path, study(repeated(dtype, *given)), kind)
    for x_format in ("csr", "dense"):
        X = next(iter(store.generator(3, sampler="sequential", dtype="float64", x_format=x_format)))
        dense = X["X"] if x_format == "dense" else X["X"].toarray()
        assert dense[1].tolist() == [0, 0, total, 0]
    assert store.to_anndata().X.toarray()[1].tolist() == [0, 0, total, 0]
    assert store.gene_stats().loc["g2", "total"] == total
    if total > 2**24:
        with pytest.raises(ArgumentError, match=r"dtype='(float64|uint32)'"):
            next(iter(store.generator(3)))


@pytest.mark.parametrize("form", ["csr", "csc"])
@pytest.mark.parametrize(
    ("dtype", "given"),
    [
        ("i8", (2**62, 2**62)),
        ("u8", (2**63, 2**63)),
        ("i8", (-(2**63), -1)),
        ("f8", (1e308, 1e308)),
    ],
)
def test_sums_that_no_dtype_holds_are_refused(
    tmp_path: Path, form: str, dtype: str, given: tuple[float, ...]
) -> None:
    """A write does not wrap around, and makes nothing infinite."""
    x = repeated(dtype, *given)
    if form == "csc":
        turned = sp.csc_matrix((4, 3), dtype=dtype)
        turned.data, turned.indices, turned.indptr = x.data, x.indices, x.indptr
        x = turned
    with pytest.raises(SourceError, match="add up to more than"):
        opened(tmp_path, study(x), "store")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [2.0**24 + 1, 1.5e39, -(2.0**31) - 1])
def test_what_float32_cannot_hold_is_refused(tmp_path: Path, kind: str, value: float) -> None:
    """A value that would change names a dtype in which it does not, however it is asked for."""
    x = np.array([[0.5, 0, 0.1], [value, 0, 0]])
    store = opened(tmp_path, study(sp.csr_matrix(x)), kind)
    streams: list[Any] = [lambda **kw: next(iter(store.generator(2, **kw)))["X"]]
    if find_spec("dask"):
        streams.append(lambda **kw: store.to_dask(**kw).compute(scheduler="synchronous"))
    for stream in streams:
        with pytest.raises(ArgumentError, match="dtype='float64'"):
            stream()
        assert stream(dtype="float64").sum() == x.sum()
    # Values of features that are not shown do not matter where values are looked at.
    assert store.to_anndata().X.toarray().tolist() == x.tolist()


@pytest.mark.parametrize("kind", ["store", "h5ad"])
def test_fractions_round(tmp_path: Path, kind: str) -> None:
    """Log-normalised float64 streams as float32, each value the nearest one; small ones are 0."""
    x = np.random.default_rng(0).lognormal(0, 3, (20, 5))
    x[0, 0] = 1e-300
    found = next(iter(opened(tmp_path, study(x), kind).generator(20, sampler="sequential")))["X"]
    assert (found.toarray() == x.astype(np.float32)).all()


@pytest.mark.parametrize("kind", ["store", "h5ad"])
def test_obsm_keeps_its_values(tmp_path: Path, kind: str) -> None:
    """obsm has a dtype that holds the tables of all datasets."""
    jax = pytest.importorskip("jax")
    x = sp.csr_matrix((2, 3), dtype=np.float32)
    table = np.array([[2**53 + 1, -1], [3, 2**62]])
    store = opened(tmp_path, study(x, long=table), kind, obsm=["long"])
    batch = next(iter(store.generator(2, sampler="sequential", obsm=["long"])))
    assert batch["obsm"]["long"].tolist() == table.tolist()
    if not jax.config.read("jax_enable_x64"):
        with pytest.raises(ArgumentError, match="obsm/long"):
            next(iter(store.jax(2, obsm=["long"])))


def test_datasets_of_several_dtypes(tmp_path: Path) -> None:
    """The common dtype of datasets holds all of them, or they are refused together."""
    studies = {
        "long": study(sp.csr_matrix(np.array([[2**60 + 1, 0, 0]]))),
        "signed": study(sp.csr_matrix(np.array([[-5, 0, 0]], np.int8))),
        "unsigned": study(sp.csr_matrix(np.array([[2**40, 0, 0]], np.uint64))),
        "fraction": study(sp.csr_matrix(np.array([[0.5, 0, 0]]))),
    }
    for name, one in studies.items():
        one.obs_names = [name]
    store = dao.write_store(tmp_path / "s.dao", studies, progress=False)
    store = store.select_features(["g0", "g1", "g2"])
    whole = store.subset(dataset=["long", "signed", "unsigned"])
    expected = [2**60 + 1, -5, 2**40]
    batch = next(iter(whole.generator(3, dtype="native", sampler="sequential")))
    assert batch["X"].toarray()[:, 0].tolist() == expected
    assert whole.to_anndata().X.toarray()[:, 0].tolist() == expected
    for refused in (
        store.to_anndata,
        lambda: next(iter(store.generator(4, dtype="native"))),
        lambda: next(iter(store.generator(4, dtype="float64"))),
    ):
        with pytest.raises(ArgumentError, match=r"dtype holds all|cannot hold"):
            refused()


@pytest.mark.parametrize(
    "dtype", ["float16", "half", "bool", ">f4", None, "longdouble", "bfloat16"]
)
def test_dtypes_that_batches_do_not_have(tmp_path: Path, dtype: Any) -> None:
    """Half precision, booleans and the like are refused in words."""
    store = opened(tmp_path, study(sp.csr_matrix(np.eye(3, dtype=np.float32))), "store")
    with pytest.raises(ArgumentError, match="float32"):
        store.generator(2, dtype=dtype)


@pytest.mark.parametrize("dense", [False, True])
def test_matrix_that_is_larger_than_its_sample(tmp_path: Path, dense: bool) -> None:
    """A file in memory has room for all values, where their number was estimated too low."""
    x = np.zeros((6_000, 30), np.float32)
    x[256:700] = np.arange(30)
    store = opened(tmp_path, study(x if dense else sp.csr_matrix(x)), "h5ad in memory")
    found = store.to_anndata().X
    assert ((found if dense else found.toarray()) == x).all()


@pytest.mark.parametrize(
    ("values", "dtype", "remedy"),
    [
        (np.array([[0.1, 1e-9]]), "int32", "Pass dtype='float32'."),
        (np.array([[0.5, 3.0]], np.float32), "int32", "Pass dtype='float32', which holds it exactly."),
        (np.array([[2**20, 7]]), "uint8", "Pass dtype='float32', which holds them exactly."),
        (np.array([[2**40 + 1, 7]]), "uint8", "Pass dtype='float64', which holds them exactly."),
    ],
)  # fmt: skip
def test_a_remedy_is_true(tmp_path: Path, values: Any, dtype: str, remedy: str) -> None:
    """The error of a dtype calls another one exact only where it rounds nothing."""
    store = opened(tmp_path, study(values), "store")
    with pytest.raises(ArgumentError) as caught:
        for _ in store.generator(1, dtype=dtype):
            pass
    assert str(caught.value).endswith(remedy)
