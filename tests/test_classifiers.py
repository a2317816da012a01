"""A linear classifier learns from each framework's stream what sklearn's learns in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pytest

import dao

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

EPOCHS, BATCH_SIZE, RATE = 60, 64, 0.004

# All minimise what sklearn does: the cross entropy and half the squares of the weights.
# A model: features of cells -> a score for each label.
Model = Any


@pytest.fixture(scope="module", params=["pbmc68k_reduced", "scp1884_gut"])
def parts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[str], dict[str, dao.Store], float]:
    """Real cells in a store: label, transforms, parts to train and test on, sklearn's accuracy."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    if request.param == "scp1884_gut":
        folder: Path = request.getfixturevalue("shared_data")
        study, label = ad.read_h5ad(folder / "scp1884_gut.h5ad"), "Celltype"
        steps = ["normalize_total", "log1p"]
    else:
        study, label = pytest.importorskip("scanpy").datasets.pbmc68k_reduced(), "bulk_labels"
        del study.raw, study.uns
        steps = []
    counts = study.obs[label].value_counts()
    study = study[study.obs[label].isin(counts.index[counts >= 15])].copy()
    study.obs_names_make_unique()
    path = tmp_path_factory.mktemp(request.param) / "store.dao"
    store = dao.write_store(path, study, organism="human", progress=False)
    if store.n_vars > 2_000:
        variance = np.asarray(store.to_anndata().to_df().var()).argsort()
        store = store.select_features(store.var_names[np.sort(variance[-1_000:])])
    found = store.split({"train": 0.7, "test": 0.3}, stratify_by=label, seed=1)
    (x, y), (held_out, expected) = (arrays(found[n], label, steps) for n in ("train", "test"))
    accuracy = linear_model.LogisticRegression(max_iter=500).fit(x, y).score(held_out, expected)
    assert accuracy > 2 * np.bincount(expected).max() / len(expected)
    return label, steps, found, float(accuracy)


def arrays(store: dao.Store, label: str, steps: list[str]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the cells in memory, normalised by scanpy where that is asked for."""
    cells = store.to_anndata()
    if steps:
        scanpy = pytest.importorskip("scanpy")
        cells.X = cells.X.astype(np.float32)
        scanpy.pp.normalize_total(cells, target_sum=1e4)  # what dao adds up to
        scanpy.pp.log1p(cells)
    x = cells.X.toarray() if hasattr(cells.X, "toarray") else np.asarray(cells.X)
    codes = cells.obs[label].cat.set_categories(store.categories(label)).cat.codes
    return x, codes.to_numpy(np.int64)


def train_torch(store: dao.Store, label: str, n_labels: int, arguments: dict[str, Any]) -> Model:
    """Train with torch."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Linear(store.n_vars, n_labels)
    torch.nn.init.zeros_(model.weight)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    batches = store.torch(**arguments)
    for _ in range(EPOCHS):
        for batch in batches:
            loss = torch.nn.functional.cross_entropy(model(batch["X"]), batch["obs"][label])
            loss += 0.5 / store.n_obs * (model.weight**2).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return lambda x: model(torch.from_numpy(x)).detach().numpy()


def train_tensorflow(
    store: dao.Store, label: str, n_labels: int, arguments: dict[str, Any]
) -> Model:
    """Train with Keras."""
    tf = pytest.importorskip("tensorflow")
    tf.keras.utils.set_random_seed(0)
    pairs = store.tensorflow(**arguments).map(lambda batch: (batch["X"], batch["obs"][label]))
    penalty = tf.keras.regularizers.L2(0.5 / store.n_obs)
    layer = tf.keras.layers.Dense(n_labels, kernel_initializer="zeros", kernel_regularizer=penalty)
    model = tf.keras.Sequential([tf.keras.Input((store.n_vars,)), layer])
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.Adam(RATE), loss)
    model.fit(pairs.prefetch(2), epochs=EPOCHS, verbose=0)
    return lambda x: model.predict(x, verbose=0)


def train_jax(store: dao.Store, label: str, n_labels: int, arguments: dict[str, Any]) -> Model:
    """Train with jax, and Adam written out."""
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def loss(weights: Any, batch: Any) -> Any:
        scores = jax.nn.log_softmax(batch["X"] @ weights["w"] + weights["b"])
        found = -jnp.take_along_axis(scores, batch["obs"][label][:, None], axis=1).mean()
        return found + 0.5 / store.n_obs * (weights["w"] ** 2).sum()

    @jax.jit
    def step(weights: Any, first: Any, second: Any, number: Any, batch: Any) -> Any:
        slope = jax.grad(loss)(weights, batch)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, slope)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, slope)
        rate = RATE * jnp.sqrt(1 - 0.999**number) / (1 - 0.9**number)
        weights = jax.tree.map(
            lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-8), weights, first, second
        )
        return weights, first, second

    weights: Any = {"w": jnp.zeros((store.n_vars, n_labels)), "b": jnp.zeros(n_labels)}
    first = second = jax.tree.map(jnp.zeros_like, weights)
    batches = store.jax(**arguments, drop_last=True)  # one shape: compiled once
    number = 0
    for _ in range(EPOCHS):
        for batch in batches:
            number += 1
            weights, first, second = step(weights, first, second, number, batch)
    return lambda x: x @ np.asarray(weights["w"]) + np.asarray(weights["b"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("train", [train_torch, train_tensorflow, train_jax])
def test_as_good_as_in_memory(
    parts: tuple[str, list[str], dict[str, dao.Store], float], train: Callable[..., Model]
) -> None:
    """Streamed batches of the same cells give the accuracy of logistic regression in memory."""
    label, steps, stores, in_memory = parts
    arguments: dict[str, Any] = {
        "batch_size": BATCH_SIZE,
        "obs_keys": [label],
        "x_format": "dense",
        "transform": steps,
    }
    n_labels = len(stores["train"].categories(label))
    model = train(stores["train"], label, n_labels, arguments)
    x, expected = arrays(stores["test"], label, steps)
    accuracy = float((np.asarray(model(x)).argmax(axis=1) == expected).mean())
    # An accuracy that is measured on some 200 cells is not known better than this.
    margin = 2 * np.sqrt(in_memory * (1 - in_memory) / len(expected))
    assert accuracy > in_memory - margin, (accuracy, in_memory)
