"""tensorflow: static types, the values of the generator, and a real Keras fit."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp

from dao.errors import ArgumentError
from dao.testing import FaultyReader

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


def test_ragged_rows(store: dao.Store) -> None:
    """Genes and values of each cell as ragged tensors, of static types."""
    arguments: dict[str, Any] = {"batch_size": 37, "layers": ["doubled"], "seed": 2}
    generator = store.generator(**arguments)
    dataset = store.tensorflow(ragged=True, **arguments)
    for name, dtype in (("indices", tf.int32), ("values", tf.float32)):
        spec = dataset.element_spec["X"][name]
        assert isinstance(spec, tf.RaggedTensorSpec)
        assert (spec.shape.as_list(), spec.dtype) == ([None, None], dtype)
    for theirs, mine in zip(generator, dataset, strict=True):
        for left, right in (
            (mine["X"], theirs["X"]),
            (mine["layers"]["doubled"], theirs["layers"]["doubled"]),
        ):
            np.testing.assert_array_equal(left["indices"].flat_values, right.indices)
            np.testing.assert_array_equal(left["values"].flat_values, right.data)
            np.testing.assert_array_equal(left["values"].row_splits, right.indptr)
    with pytest.raises(ArgumentError, match="x_format='csr'"):
        store.tensorflow(ragged=True, x_format="dense")


def test_embeddings_of_ragged_rows(store: dao.Store) -> None:
    """Ragged rows go through map and into an embedding of genes: a weighted sum is a product."""
    weights = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    dataset = store.tensorflow(batch_size=50, ragged=True, sampler="sequential")

    def embed(batch: Any) -> Any:
        rows = tf.gather(weights, batch["X"]["indices"])
        return tf.reduce_sum(rows * tf.expand_dims(batch["X"]["values"], -1), axis=1)

    found = np.concatenate(list(dataset.map(embed).as_numpy_iterator()))
    np.testing.assert_allclose(found, store.to_anndata().X @ weights, rtol=1e-4)


@pytest.mark.parametrize("ragged", [False, True])
def test_tensors_of_large_batches_keep_their_memory(
    write: Callable[..., dao.Store], make_study: Any, *, ragged: bool
) -> None:
    """Tensors that share memory with arrays are not written over while somebody holds them."""
    large = write(make_study(3, 3_000, 64))
    whole = large.to_anndata().X.toarray()
    for x_format in ("csr",) if ragged else ("csr", "dense"):
        held = []
        dataset = large.tensorflow(batch_size=512, x_format=x_format, ragged=ragged, layers=[])
        for _ in range(4):
            held += list(dataset)
        for batch in held:
            x = batch["X"]
            if ragged:
                parts = x["values"].flat_values, x["indices"].flat_values, x["values"].row_splits
                x = sp.csr_matrix(
                    tuple(map(np.asarray, parts)), (len(batch["index"]), 64)
                ).toarray()
            elif x_format == "csr":
                x = tf.sparse.to_dense(x)
            np.testing.assert_array_equal(x, whole[batch["index"].numpy()])


@pytest.mark.parametrize("x_format", ["csr", "dense"])
def test_transforms(store: dao.Store, x_format: str) -> None:
    """What dao does to X itself arrives; a function is for the dataset's own map."""
    arguments: dict[str, Any] = {"x_format": x_format, "transform": ["normalize_total", "log1p"]}
    (mine,), (theirs,) = store.tensorflow(**arguments), store.generator(**arguments)
    x = tf.sparse.to_dense(mine["X"]) if x_format == "csr" else mine["X"]
    expected = theirs["X"].toarray() if x_format == "csr" else theirs["X"]
    np.testing.assert_array_equal(x, expected)
    with pytest.raises(ArgumentError, match=r"dataset.map"):
        store.tensorflow(transform=lambda batch: batch)


def test_resume(store: dao.Store) -> None:
    """A state counted in steps continues, whatever tf.data has read ahead."""
    whole = [b["index"].numpy().tolist() for b in store.tensorflow(batch_size=16, seed=3)]
    generator = store.generator(batch_size=16, seed=3)
    iterator = iter(generator.tensorflow().prefetch(3))
    seen = [next(iterator)["index"].numpy().tolist() for _ in range(4)]
    state = json.loads(json.dumps(generator.state_dict(4)))
    with pytest.raises(ArgumentError, match="n_batches=99"):
        generator.state_dict(99)
    other = store.generator(batch_size=16, seed=3)
    other.load_state_dict(state)
    rest = other.tensorflow()
    assert int(rest.cardinality()) == len(whole) - 4
    next(iter(rest))  # as Keras does under a strategy, to see what a batch looks like
    assert other.state_dict(0) == state
    found = [b["index"].numpy().tolist() for b in rest]
    assert seen + found == whole
    assert [b["index"].numpy().tolist() for b in rest] == found
    following = other.tensorflow()
    assert int(following.cardinality()) == len(whole)
    assert sorted(i for b in following for i in b["index"].numpy()) == list(range(150))


def test_a_state_comes_before_its_dataset(store: dao.Store) -> None:
    """The number of batches is part of a dataset, so one that was made before says so."""
    generator = store.generator(batch_size=16)
    dataset = generator.tensorflow()
    next(iter(dataset))
    generator.load_state_dict(generator.state_dict(1))
    with pytest.raises(tf.errors.InvalidArgumentError, match="make another"):
        next(iter(dataset))


def test_dropped_iterators_leave_no_thread(store: dao.Store) -> None:
    """Passes that are dropped half way, or cut by take, end their threads."""
    dataset = store.tensorflow(batch_size=5)
    for _ in range(5):
        iterator = iter(dataset.prefetch(2))
        next(iterator)
        del iterator
        assert len(list(dataset.take(2))) == 2
    deadline = time.monotonic() + 20
    while any(t.name == "dao-prefetch" for t in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_errors_of_reading_arrive(store: dao.Store) -> None:
    """A fault of the store is told with its own words, after what was read before."""
    faulty = replace(store, reader=FaultyReader(store.reader, 1))
    with pytest.raises(tf.errors.OpError, match="request 1 was made to fail"):
        list(faulty.tensorflow(batch_size=10))


STRATEGY = """
import sys
import numpy as np, tensorflow as tf
import dao

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
store = dao.load_store(sys.argv[1])
arguments = dict(batch_size=30, obs_keys=["cell_type"], x_format="dense", seed=1)  # even numbers only

def rows(values):
    return [i for part in strategy.experimental_local_results(values) for i in part.numpy()]

# One pipeline whose batches are divided among the replicas.
both = strategy.experimental_distribute_dataset(store.tensorflow(**arguments))
seen = [rows(b["index"]) for b in both]
assert len(seen) == 5 and sorted(sum(seen, [])) == list(range(150)), seen

# A dataset for each input pipeline.
def pipeline(ctx):
    share = dict(rank=ctx.input_pipeline_id, world_size=ctx.num_input_pipelines)
    size = ctx.get_per_replica_batch_size(30)
    return store.tensorflow(**{**arguments, **share, "batch_size": size})

seen = [rows(b["index"]) for b in strategy.distribute_datasets_from_function(pipeline)]
assert sorted(sum(seen, [])) == list(range(150)), seen

# A real fit, a checkpoint in the middle of its second epoch, and what follows from there.
def pairs(dataset):
    return dataset.map(lambda b: (tf.math.log1p(b["X"]), b["obs"]["cell_type"]))

class Stop(tf.keras.callbacks.Callback):
    def __init__(self, generator, step):
        super().__init__()
        self.generator, self.step, self.n = generator, step, 0

    def on_train_batch_end(self, batch, logs=None):
        self.n += 1
        if self.n == self.step:
            self.state = self.generator.state_dict(batch + 1)
            self.model.stop_training = True

with strategy.scope():
    model = tf.keras.Sequential([tf.keras.layers.Dense(16, "relu"), tf.keras.layers.Dense(3)])
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
generator = store.generator(**arguments)
stop = Stop(generator, 7)
model.fit(pairs(generator.tensorflow()), epochs=3, callbacks=[stop], verbose=0)
assert stop.state["done"] == [2], stop.state
epoch = stop.state["epoch"]

other = store.generator(**arguments)
other.load_state_dict(stop.state)
rest = other.tensorflow()
assert int(rest.cardinality()) == 3
steps = []
class Count(tf.keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        steps.append(batch)
model.fit(pairs(rest), epochs=1, callbacks=[Count()], verbose=0)
assert steps == [0, 1, 2], steps
assert other.state_dict()["epoch"] == epoch
print("fine")
"""


def test_under_a_mirrored_strategy(store: dao.Store) -> None:
    """Two logical devices: every cell once, a fit, and its resume in the middle of an epoch."""
    command = [sys.executable, "-c", STRATEGY, str(store.path)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert found.stdout.strip().endswith("fine"), found.stderr[-3000:]
