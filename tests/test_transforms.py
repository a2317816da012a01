"""Transforms: what dao does to X is what scanpy does to the same cells."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

import dao
from dao import errors, transforms

if TYPE_CHECKING:
    from collections.abc import Callable

FORMATS = ["csr", "dense"]


@pytest.fixture
def store(write: Callable[..., dao.Store], make_study: Any) -> dao.Store:
    """Two studies, 130 cells, some without counts."""
    study = make_study(0, 80)
    counts = study.X.toarray() * (np.arange(80) % 9 > 0)[:, None]
    counts[:, 3] = 0  # a gene that no cell has
    study.X = sp.csr_matrix(counts)
    study.obs["total"] = np.arange(1.0, 81.0)
    other = make_study(1, 50)
    counts = other.X.toarray()
    counts[:, 3] = 0
    other.X = sp.csr_matrix(counts)
    other.obs["total"] = np.arange(1.0, 51.0)
    return write({"a": study, "b": other})


def streamed(store: dao.Store, **arguments: Any) -> Any:
    """Return X of all cells as a stream in store order gives it, as an array."""
    found = []
    for batch in store.generator(33, sampler="sequential", **arguments):
        X = batch["X"]
        assert X.dtype == np.dtype(arguments.get("dtype", "float32"))
        found.append(X if isinstance(X, np.ndarray) else X.toarray())
    return np.concatenate(found)


def normalized(X: Any, target: float = 1e4) -> Any:
    """Return rows with the same total, in float64."""
    totals = X.sum(axis=1, keepdims=True)
    return X * target / np.where(totals == 0, 1, totals)


@pytest.mark.parametrize("x_format", FORMATS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normalize_and_log(store: dao.Store, x_format: str, dtype: str) -> None:
    """The names of scanpy's functions do what these do."""
    X = store.to_anndata().X.toarray().astype(np.float64)
    assert (X.sum(axis=1) == 0).any()
    found = streamed(store, x_format=x_format, dtype=dtype, transform="normalize_total")
    np.testing.assert_allclose(found, normalized(X), rtol=1e-6)
    both = ["normalize_total", "log1p"]
    found = streamed(store, x_format=x_format, dtype=dtype, transform=both)
    np.testing.assert_allclose(found, np.log1p(normalized(X)), rtol=1e-6)
    log2 = transforms.Log1p(base=2)
    found = streamed(store, x_format=x_format, dtype=dtype, transform=log2)
    np.testing.assert_allclose(found, np.log2(1 + X), rtol=1e-6)
    # What is read is not changed: the next epoch begins with counts again.
    np.testing.assert_array_equal(streamed(store, x_format=x_format), X)


def test_totals_of_chosen_genes_and_of_a_column(store: dao.Store) -> None:
    """Without a column the genes of the batch are added up; with one its totals hold."""
    genes = list(store.var_names[::3])
    X = store[store.organisms[0]].select_features(genes).to_anndata().X.toarray().astype(float)
    step = transforms.NormalizeTotal(100.0)
    np.testing.assert_allclose(
        streamed(store, var_names=genes, transform=step), normalized(X, 100), rtol=1e-6
    )
    step = transforms.NormalizeTotal(100.0, totals="total")
    expected = X * 100 / store.obs["total"].to_numpy()[:, None]
    for x_format in FORMATS:
        found = streamed(store, var_names=genes, transform=step, x_format=x_format)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("max_value", [None, 1.5])
def test_scale(store: dao.Store, max_value: float | None) -> None:
    """Fitted in one pass over the training cells, as if these were in memory."""
    X = np.log1p(store.to_anndata().X.toarray().astype(np.float64))
    mean, std = X.mean(axis=0), X.std(axis=0, ddof=1)
    assert (std == 0).any()
    std[std == 0] = 1
    for x_format in FORMATS:
        generator = store.generator(17, x_format=x_format, transform="log1p", dtype="float64")
        scale = transforms.Scale.fit(generator, max_value=max_value)
        np.testing.assert_allclose(scale.mean, mean, rtol=1e-9)
        np.testing.assert_allclose(scale.std, std, rtol=1e-6)
    found = streamed(store, x_format="dense", transform=["log1p", scale])
    expected = (X - mean) / std
    if max_value is not None:
        expected = np.clip(expected, -max_value, max_value)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    generator = store.generator(17, transform="log1p")
    scale = transforms.Scale.fit(generator, zero_center=False, max_value=max_value)
    expected = np.minimum(X / std, np.inf if max_value is None else max_value)
    for x_format in FORMATS:
        found = streamed(store, x_format=x_format, transform=["log1p", scale])
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Some cells have zero counts")
def test_equal_to_scanpy(store: dao.Store) -> None:
    """The pipeline that everybody runs, beside scanpy itself."""
    sc = pytest.importorskip("scanpy")
    adata = store.to_anndata()
    adata = ad.AnnData(sp.csr_matrix(adata.X, dtype=np.float32))
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    steps: list[Any] = ["normalize_total", "log1p"]
    np.testing.assert_allclose(streamed(store, transform=steps), adata.X.toarray(), rtol=2e-6)
    scale = transforms.Scale.fit(store.generator(50, transform=steps), max_value=10)
    adata.X = adata.X.toarray()
    sc.pp.scale(adata, max_value=10)
    found = streamed(store, x_format="dense", transform=[*steps, scale])
    np.testing.assert_allclose(found, adata.X, atol=2e-5)


def test_functions_come_after(store: dao.Store) -> None:
    """A function of the user sees what the steps before it have made."""

    def total(batch: dict[str, Any]) -> float:
        return float(batch["X"].sum())

    generator = store.generator(130, transform=["normalize_total", total])
    n_counted = int((store.to_anndata().X.sum(axis=1) > 0).sum())
    assert next(iter(generator)) == pytest.approx(1e4 * n_counted)
    twice = store.generator(130, transform=[total, lambda x: x / 1e4])
    assert isinstance(next(iter(twice)), float)
    assert pickle.loads(pickle.dumps(store.generator(130, transform=[str, len]).transform))(7) == 1


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"transform": "log1"}, "Did you mean 'log1p'"),
        ({"transform": transforms.Log1p}, "is a class"),
        ({"transform": [len, "log1p"]}, "after a function"),
        ({"transform": "log1p", "dtype": "int32"}, "float32"),
        ({"transform": transforms.Scale([0.0], [1.0])}, "x_format='dense'"),
        ({"transform": transforms.Scale([0.0], [1.0]), "x_format": "dense"}, "1 genes"),
        ({"transform": transforms.NormalizeTotal(totals="cell_type")}, "no numbers"),
        ({"transform": transforms.NormalizeTotal(totals="totl")}, "total"),
    ],
)
def test_what_does_not_fit(store: dao.Store, arguments: dict[str, Any], match: str) -> None:
    """Said when the generator is made."""
    with pytest.raises(errors.DaoError, match=match):
        store.generator(**arguments)


@pytest.mark.parametrize(
    "make",
    [
        lambda: transforms.NormalizeTotal(0),
        lambda: transforms.NormalizeTotal(np.nan),
        lambda: transforms.Log1p(1),
        lambda: transforms.Scale([1.0], [1.0, 2.0]),
        lambda: transforms.Scale([np.nan], [1.0]),
        lambda: transforms.Scale([1.0], [-1.0]),
        lambda: transforms.Scale.fit([]),
    ],
)
def test_what_makes_no_sense(make: Callable[[], Any]) -> None:
    """Refused at once."""
    with pytest.raises(errors.ArgumentError):
        make()


def test_missing_totals(write: Callable[..., dao.Store], make_study: Any) -> None:
    """A cell without a total cannot be normalized: an error, not a number."""
    study = make_study(0, 20)
    study.obs["total"] = [np.nan, *range(1, 20)]
    store = write({"a": study})
    step = transforms.NormalizeTotal(totals="total")
    with pytest.raises(errors.ArgumentError, match="no total for some cells"):
        list(store.generator(7, transform=step))


def bulk(n_obs: int, n_vars: int) -> ad.AnnData:
    """Return cells whose totals float32 cannot add up."""
    counts = np.random.default_rng(5).integers(0, 60_000, (n_obs, n_vars)).astype(np.float32)
    adata = ad.AnnData(counts)
    adata.obs_names = [f"c{i}" for i in range(n_obs)]
    adata.var_names = [f"g{i}" for i in range(n_vars)]
    return adata


@pytest.mark.parametrize("x_format", FORMATS)
def test_large_totals_are_exact(write: Callable[..., dao.Store], x_format: str) -> None:
    """Totals are added up in float64: every value is the nearest float32, or next to it."""
    store = write({"a": bulk(3, 30_000)})
    X = np.asarray(store.to_anndata().X, np.float64)
    found = streamed(store, x_format=x_format, transform="normalize_total")
    np.testing.assert_allclose(found, normalized(X), rtol=1.2e-7)


@pytest.mark.filterwarnings("ignore:Some cells have zero counts")
@pytest.mark.parametrize("x_format", FORMATS)
def test_median_of_totals(store: dao.Store, x_format: str) -> None:
    """Without a target cells add up to the median of those with counts, as in scanpy."""
    sc = pytest.importorskip("scanpy")
    some = store.take(np.arange(0, 130, 3))
    for selected in (store, some):
        adata = selected.to_anndata()
        # Of a sparse matrix scanpy counts empty cells, of a dense one it does not.
        adata.X = adata.X.toarray().astype(np.float64)
        assert (adata.X.sum(axis=1) == 0).any()
        sc.pp.normalize_total(adata)
        step = transforms.NormalizeTotal(target_sum=None)
        found = streamed(selected, x_format=x_format, dtype="float64", transform=step)
        np.testing.assert_allclose(found, adata.X, rtol=1e-12)


def test_median_is_the_same_for_all(store: dao.Store) -> None:
    """Ranks, orders, columns of totals and dask agree on it."""
    step = transforms.NormalizeTotal(None)
    targets = {
        repr(
            store.generator(9, transform=step, rank=rank, world_size=3, seed=rank).spec.steps[0][0]
        )
        for rank in range(3)
    }
    assert len(targets) == 1
    totals = store.obs["total"].to_numpy()
    by_column = store.generator(9, transform=transforms.NormalizeTotal(None, totals="total"))
    assert by_column.spec.steps[0][0] == transforms.NormalizeTotal(np.median(totals), "total")
    again = pickle.loads(pickle.dumps(store.generator(9, transform=step)))
    assert repr(again.spec.steps[0][0]) in targets
    pytest.importorskip("dask")
    expected = streamed(store, transform=step)
    assert (store.to_dask(transform=step).compute().toarray() == expected).all()


@pytest.mark.parametrize("target", ["median", 0, -1, np.nan, np.inf, [1e4]])
def test_targets_that_are_none(target: Any) -> None:
    """What cells add up to is a number, or None."""
    with pytest.raises(errors.ArgumentError, match="or None for the median"):
        transforms.NormalizeTotal(target)


def test_arguments_of_scanpy_that_are_not_here() -> None:
    """They are named."""
    with pytest.raises(errors.ArgumentError, match="exclude_highly_expressed"):
        transforms.NormalizeTotal(exclude_highly_expressed=True)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (lambda batch: None, "returned None"),
        (lambda batch: batch.update(X=0), "returned None"),
        ([lambda batch: batch, lambda batch: None], "returned None"),
        (np.log1p, "receives the whole batch"),
        (np.sqrt, "receives the whole batch"),
        (len.__call__, None),
        (transforms.Log1p, r"pass an object of it, as Log1p\(\)"),
        (transforms.Scale, "is a class"),
        ({"X": np.log1p}, "is not a function"),
        ("log2p", "Did you mean 'log1p'"),
    ],
)
def test_transforms_by_habit(store: dao.Store, transform: Any, message: str | None) -> None:
    """Functions that forget to return, or want X alone, are told what they get."""
    if message is None:
        assert next(iter(store.generator(9, transform=transform))) == 5
        return
    with pytest.raises(errors.ArgumentError, match=message):
        next(iter(store.generator(9, transform=transform)))


def test_error_of_a_function_has_a_note(store: dao.Store) -> None:
    """The error of a user's function stays, with a note of what the function got."""
    with pytest.raises(TypeError) as caught:
        next(iter(store.generator(9, transform=lambda batch: np.log1p(batch))))  # noqa: PLW0108
    assert "receives the whole batch" in caught.value.__notes__[0]


@pytest.mark.parametrize("x_format", FORMATS)
def test_scale_of_large_means(write: Callable[..., dao.Store], x_format: str) -> None:
    """A variance of 1 about a mean of 1e8 is found, batch by batch."""
    X = 1e8 + np.random.default_rng(0).normal(size=(300, 4))
    adata = ad.AnnData(X)
    adata.obs_names, adata.var_names = [f"c{i}" for i in range(300)], list("abcd")
    store = write({"a": adata})
    X = np.asarray(store.to_anndata().X)
    scale = transforms.Scale.fit(store.generator(7, dtype="float64", x_format=x_format))
    np.testing.assert_allclose(scale.mean, X.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(scale.std, X.std(axis=0, ddof=1), rtol=1e-7)
    found = streamed(store, dtype="float64", x_format="dense", transform=scale)
    np.testing.assert_allclose(found, (X - scale.mean) / scale.std, rtol=1e-12, atol=1e-12)
