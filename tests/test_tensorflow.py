"""tensorflow: static types, the values of the generator, and a real Keras fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

if TYPE_CHECKING:
    from collections.abc import Callable

    import anndata as ad

    import dao


@pytest.fixture
def store(write: Callable[..., dao.Store], make_study: Callable[..., ad.AnnData]) -> dao.Store:
    """A store of two studies, 150 cells."""
    return write(
        {"a": make_study(0, 100), "b": make_study(1, 50)}, layers=["doubled"], obsm=["X_pca"]
    )


def test_element_spec_is_static(store: dao.Store) -> None:
    """Dtypes and widths are known before the first batch; batch lengths where all are full."""
    spec = store.tensorflow(batch_size=40, obs_keys=["cell_type"], x_format="dense").element_spec
    assert spec["X"].shape.as_list() == [None, 40]
    assert spec["X"].dtype == tf.float32
    assert spec["obs"]["cell_type"].dtype == tf.int64
    full = store.tensorflow(batch_size=50, x_format="dense")
    assert full.element_spec["X"].shape.as_list() == [50, 40]
    assert int(full.cardinality()) == 3
    sparse = store.tensorflow(batch_size=40)
    assert isinstance(sparse.element_spec["X"], tf.SparseTensorSpec)
    assert sparse.element_spec["X"].shape.as_list() == [None, 40]


@pytest.mark.parametrize("x_format", ["csr", "dense"])
def test_values_are_those_of_the_generator(store: dao.Store, x_format: str) -> None:
    """Two passes over the dataset are two epochs of the generator."""
    arguments: dict[str, Any] = {
        "batch_size": 37,
        "obs_keys": ["cell_type", "n_genes", "doublet", "score", "batch", "barcode"],
        "layers": ["doubled"],
        "obsm": ["X_pca"],
        "x_format": x_format,
    }
    generator, dataset = store.generator(**arguments), store.tensorflow(**arguments)
    for _ in range(2):
        for theirs, mine in zip(generator, dataset, strict=True):
            np.testing.assert_array_equal(mine["index"], theirs["index"])
            for left, right in (
                (mine["X"], theirs["X"]),
                (mine["layers"]["doubled"], theirs["layers"]["doubled"]),
            ):
                dense = tf.sparse.to_dense(left) if x_format == "csr" else left
                expected = right.toarray() if x_format == "csr" else right
                np.testing.assert_array_equal(dense, expected)
            np.testing.assert_array_equal(mine["obsm"]["X_pca"], theirs["obsm"]["X_pca"])
            codes = theirs["obs"]["cell_type"].cat.codes
            np.testing.assert_array_equal(mine["obs"]["cell_type"], codes)
            np.testing.assert_array_equal(mine["obs"]["score"], theirs["obs"]["score"])
            np.testing.assert_array_equal(mine["obs"]["doublet"], theirs["obs"]["doublet"])
            numbers = theirs["obs"]["batch"].astype("Float64").to_numpy(float, na_value=np.nan)
            np.testing.assert_array_equal(mine["obs"]["batch"], numbers)
            barcodes = np.array(generator.categories["barcode"])[mine["obs"]["barcode"].numpy()]
            np.testing.assert_array_equal(barcodes, theirs["obs"]["barcode"].to_numpy(str))


@pytest.mark.filterwarnings("ignore")
def test_keras_fits_on_the_dataset(store: dao.Store) -> None:
    """model.fit over the dataset lowers the loss from epoch to epoch."""
    tf.keras.utils.set_random_seed(0)
    dataset = store.tensorflow(batch_size=25, obs_keys=["cell_type"], x_format="dense")
    pairs = dataset.map(lambda batch: (tf.math.log1p(batch["X"]), batch["obs"]["cell_type"]))
    model = tf.keras.Sequential([tf.keras.layers.Dense(32, "relu"), tf.keras.layers.Dense(3)])
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    history = model.fit(pairs, epochs=6, verbose=0).history
    assert len(history["loss"]) == 6
    assert history["loss"][-1] < history["loss"][0]
