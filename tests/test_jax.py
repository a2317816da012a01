"""jax: the values of the generator, memory that is shared and kept, and a jitted training loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from dao import buffers
from dao.errors import ArgumentError

jax = pytest.importorskip("jax")

if TYPE_CHECKING:
    from collections.abc import Callable

    import anndata as ad

    import dao

N_OBS = 6_000


@pytest.fixture
def store(write: Callable[..., dao.Store], make_study: Callable[..., ad.AnnData]) -> dao.Store:
    """A store of two studies, 150 cells."""
    return write(
        {"a": make_study(0, 100), "b": make_study(1, 50)}, layers=["doubled"], obsm=["X_pca"]
    )


@pytest.fixture
def large(write: Callable[..., dao.Store]) -> dao.Store:
    """A store whose batches lie in recycled memory; the label of a cell is its first gene."""
    import anndata

    random = np.random.default_rng(0)
    counts = sp.csr_matrix(random.poisson(0.5, (N_OBS, 64)).astype(np.float32))
    label = pd.Categorical(np.where(counts[:, [0]].toarray().ravel() > 0, "on", "off"))
    obs = pd.DataFrame({"label": label}, index=[f"c{i}" for i in range(N_OBS)])
    return write(anndata.AnnData(counts, obs=obs))


def as_numpy(matrix: Any) -> np.ndarray[Any, Any]:
    """Return a matrix of jax or scipy as a dense array."""
    if isinstance(matrix, jax.experimental.sparse.BCSR):
        parts = (np.asarray(part) for part in (matrix.data, matrix.indices, matrix.indptr))
        matrix = sp.csr_matrix(tuple(parts), matrix.shape)
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


@pytest.mark.parametrize("x_format", ["csr", "dense"])
def test_values_are_those_of_the_generator(store: dao.Store, x_format: str) -> None:
    """Two passes over the batches are two epochs of the generator."""
    arguments: dict[str, Any] = {
        "batch_size": 37,
        "obs_keys": ["cell_type", "n_genes", "doublet", "score", "batch"],
        "var_names": list(store.var_names[::-3]),
        "layers": ["doubled"],
        "obsm": ["X_pca"],
        "x_format": x_format,
    }
    generator, batches = store.generator(**arguments), store.jax(**arguments)
    assert len(batches) == len(generator) == 5
    assert batches.categories == generator.categories
    for _ in range(2):
        for theirs, mine in zip(generator, batches, strict=True):
            assert mine["index"].dtype == mine["obs"]["cell_type"].dtype == np.int32
            assert mine["X"].dtype == np.float32
            np.testing.assert_array_equal(mine["index"], theirs["index"])
            np.testing.assert_array_equal(as_numpy(mine["X"]), as_numpy(theirs["X"]))
            for kind, name in (("layers", "doubled"), ("obsm", "X_pca")):
                np.testing.assert_array_equal(
                    as_numpy(mine[kind][name]), as_numpy(theirs[kind][name])
                )
            codes = theirs["obs"]["cell_type"].cat.codes
            np.testing.assert_array_equal(mine["obs"]["cell_type"], codes)
            np.testing.assert_array_equal(mine["obs"]["n_genes"], theirs["obs"]["n_genes"])
            np.testing.assert_array_equal(mine["obs"]["doublet"], theirs["obs"]["doublet"])
            assert mine["obs"]["doublet"].dtype == bool
            for name in ("score", "batch"):
                numbers = theirs["obs"][name].astype("Float64").to_numpy(float, na_value=np.nan)
                np.testing.assert_allclose(mine["obs"][name], numbers.astype(np.float32))


@pytest.mark.parametrize("x_format", ["csr", "dense"])
def test_no_copy_of_large_arrays(large: dao.Store, x_format: str) -> None:
    """What jax holds is the memory that dao decoded into, for every batch."""
    from dao.batches.jax import to_jax

    seen: list[tuple[int, int]] = []

    def convert(batch: Any) -> Any:
        matrix, mine = batch.matrices["X"], to_jax(batch)["X"]
        if x_format == "csr":
            matrix, mine = matrix.data, mine.data
        seen.append((matrix.ctypes.data, mine.unsafe_buffer_pointer()))
        return batch

    generator = large.generator(2_048, x_format=x_format)
    list(generator.iterate(convert, generator.begin()))
    assert len(seen) == 3
    if x_format == "csr":  # the first batch of a stretch begins where its memory begins
        seen = seen[:1]
    assert all(ours == theirs for ours, theirs in seen)


def test_memory_is_kept_while_jax_needs_it(large: dao.Store) -> None:
    """Memory is not used again under an array, or under a computation that has not run yet."""
    buffers.keep(large, 64 << 20)
    whole = large.to_anndata().X.toarray()
    step = jax.jit(lambda x: (x * 2).sum(axis=1))
    held, sums = [], []
    for _ in range(4):
        for batch in large.jax(batch_size=512, x_format="dense"):
            sums.append((np.asarray(batch["index"]), step(batch["X"])))
            if len(held) < 10:
                held.append(batch)
    for index, result in sums:
        np.testing.assert_array_equal(result, whole[index].sum(axis=1) * 2)
    for batch in held:
        np.testing.assert_array_equal(batch["X"], whole[batch["index"]])


def test_a_jitted_model_learns(large: dao.Store) -> None:
    """A whole batch goes into a jitted function, and the loss falls."""

    def loss(weights: Any, batch: Any) -> Any:
        scores = batch["X"] @ weights[0] + weights[1]
        target = batch["obs"]["label"] == 1
        return -jax.nn.log_sigmoid(jax.numpy.where(target, scores, -scores)).mean()

    step = jax.jit(jax.value_and_grad(loss))
    weights = (np.zeros(64, np.float32), np.float32(0))
    batches = large.jax(batch_size=3_000, obs_keys=["label"], x_format="dense")
    assert batches.categories["label"] == large.categories("label")
    losses = []
    for _ in range(4):
        for batch in batches:
            value, gradient = step(weights, batch)
            weights = jax.tree.map(lambda w, g: w - 2 * g, weights, gradient)
            losses.append(float(value))
    assert losses[0] == pytest.approx(np.log(2), rel=1e-5)
    assert losses[-1] < 0.8 * losses[0]


def test_sparse_batches_multiply(large: dao.Store) -> None:
    """A sparse batch goes into a jitted function as well, and multiplies."""
    weights = np.arange(128, dtype=np.float32).reshape(64, 2)
    batch = next(iter(large.jax(batch_size=1_000)))
    product = jax.jit(lambda b: b["X"] @ weights)(batch)
    expected = large.to_anndata().X[np.asarray(batch["index"])] @ weights
    np.testing.assert_allclose(product, expected, rtol=1e-5)


def test_epochs_and_resuming(store: dao.Store) -> None:
    """A state continues with the next batch; set_epoch asks for an epoch again."""
    batches = store.jax(batch_size=20, seed=3)
    epochs = [[b["index"].tolist() for b in batches] for _ in range(2)]
    assert epochs[0] != epochs[1]
    batches.set_epoch(1)
    assert [b["index"].tolist() for b in batches] == epochs[1]
    batches.set_epoch(0)
    iterator = iter(batches)
    seen = [next(iterator)["index"].tolist() for _ in range(3)]
    other = store.jax(batch_size=20, seed=3)
    other.load_state_dict(batches.state_dict())
    assert seen + [b["index"].tolist() for b in other] == epochs[0]


def test_what_needs_64_bits_is_refused(
    write: Callable[..., dao.Store], make_study: Callable[..., ad.AnnData]
) -> None:
    """jax would cut numbers off where it is set to 32 bits; dao says how to change that."""
    study = make_study()
    study.obs["id"] = np.arange(study.n_obs) + 2**40
    study.obs["small"] = np.arange(study.n_obs) - 2**31 + 1
    store = write(study)
    with pytest.raises(ArgumentError, match=r"'id'.*jax_enable_x64"):
        store.jax(obs_keys=["id"])
    with pytest.raises(ArgumentError, match=r"float64.*jax_enable_x64"):
        store.jax(dtype="float64")
    batch = next(iter(store.jax(batch_size=50, obs_keys=["small"], sampler="sequential")))
    np.testing.assert_array_equal(batch["obs"]["small"], store.obs["small"])
    jax.config.update("jax_enable_x64", True)
    try:
        batches = store.jax(batch_size=50, obs_keys=["id"], dtype="float64", sampler="sequential")
        batch = next(iter(batches))
        assert batch["X"].dtype == np.float64
        np.testing.assert_array_equal(batch["obs"]["id"], store.obs["id"])
    finally:
        jax.config.update("jax_enable_x64", False)


def test_transform_gets_jax_arrays(large: dao.Store) -> None:
    """A transform works on arrays of jax, ahead of the consumer."""
    batches = large.jax(x_format="dense", transform=lambda b: jax.numpy.log1p(b["X"]).sum())
    expected = np.log1p(large.to_anndata().X.toarray()).sum()
    assert float(sum(batches)) == pytest.approx(expected, rel=1e-4)


def test_numbers_with_missing_ones_are_not_rounded(
    write: Callable[..., dao.Store], make_study: Callable[..., ad.AnnData]
) -> None:
    """jax of 32 bits refuses whole numbers that float32 would round, and gives others."""
    study = make_study(n_obs=3)
    for value, fits in ((2**24, True), (2**24 + 1, False)):
        study.obs["n"] = pd.array([value, None, 3], dtype="Int64")
        store = write({"a": study}, mode="overwrite")
        if fits:
            [batch] = store.jax(batch_size=3, obs_keys=["n"])
            assert np.nanmax(batch["obs"]["n"]) == value
        else:
            with pytest.raises(ArgumentError, match=f"'n'.*float32.*{value}"):
                store.jax(batch_size=3, obs_keys=["n"])
