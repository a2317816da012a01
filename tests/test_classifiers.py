"""A linear classifier learns from each framework's stream what sklearn's learns in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pytest
from scipy import special

import dao
from dao import transforms

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

# The rate falls evenly to zero: with one that stays as it is Adam never comes to rest.
EPOCHS, BATCH_SIZE, RATE = 60, 128, 0.1
# How sklearn weighs the cross entropy of all cells against half the squares of the weights.
C = 0.03

# All minimise what sklearn does, so all must find what it finds.
# A model: weights (features x labels) and intercepts.
Model = tuple[Any, Any]


@dataclass(frozen=True)
class Task:
    """What is learned: the cells streamed and in memory, and what sklearn made of them."""

    label: str
    steps: list[Any]
    train: dao.Store
    cells: tuple[NDArray[Any], NDArray[Any]]
    held_out: tuple[NDArray[Any], NDArray[Any]]
    in_memory: Any

    def cost(self, scores: NDArray[Any], weights: NDArray[Any]) -> float:
        """Return what was minimised, of the scores of the training cells."""
        expected = self.cells[1]
        losses = special.logsumexp(scores, axis=1) - scores[np.arange(len(expected)), expected]
        return float(losses.mean() + 0.5 / C / len(expected) * (weights**2).sum())


@pytest.fixture(scope="module", params=["pbmc68k_reduced", "scp1884_gut"])
def task(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Task:
    """Real cells in a store; those of scp1884 are counts, which are normalised and scaled."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    if request.param == "scp1884_gut":
        folder: Path = request.getfixturevalue("shared_data")
        study, label = ad.read_h5ad(folder / "scp1884_gut.h5ad"), "Celltype"
    else:
        study, label = pytest.importorskip("scanpy").datasets.pbmc68k_reduced(), "bulk_labels"
        del study.raw, study.uns
    counts = study.obs[label].value_counts()
    study = study[study.obs[label].isin(counts.index[counts >= 15])].copy()
    study.obs_names_make_unique()
    path = tmp_path_factory.mktemp(request.param) / "store.dao"
    store = dao.write_store(path, study, organism="human", progress=False)
    if store.n_vars > 2_000:
        variance = np.asarray(store.to_anndata().to_df().var()).argsort()
        store = store.select_features(store.var_names[np.sort(variance[-500:])])
    parts = store.split({"train": 0.7, "test": 0.3}, stratify_by=label, seed=1, method="exact")
    are_counts = request.param == "scp1884_gut"
    (x, y), (other, expected) = (arrays(parts[n], label, are_counts) for n in ("train", "test"))
    steps: list[Any] = []
    if are_counts:
        scale = transforms.Scale(x.mean(axis=0), x.std(axis=0, ddof=1), max_value=10)
        steps = ["normalize_total", "log1p", scale]
        x, other = ((v - scale.mean) / scale.std for v in (x, other))
        x, other = (np.clip(v, -10, 10).astype(np.float32) for v in (x, other))
    model = linear_model.LogisticRegression(C=C, max_iter=5_000, tol=1e-4).fit(x, y)
    assert model.score(other, expected) > 2 * np.bincount(expected).max() / len(expected)
    return Task(label, steps, parts["train"], (x, y), (other, expected), model)


def arrays(store: dao.Store, label: str, are_counts: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the cells in memory, counts normalised by scanpy."""
    cells = store.to_anndata()
    if are_counts:
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
    n_steps = EPOCHS * len(batches)
    rate = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, n_steps)
    for _ in range(EPOCHS):
        for batch in batches:
            loss = torch.nn.functional.cross_entropy(model(batch["X"]), batch["obs"][label])
            loss += 0.5 / C / store.n_obs * (model.weight**2).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
    return model.weight.detach().numpy().T, model.bias.detach().numpy()


def train_tensorflow(
    store: dao.Store, label: str, n_labels: int, arguments: dict[str, Any]
) -> Model:
    """Train with Keras."""
    tf = pytest.importorskip("tensorflow")
    tf.keras.utils.set_random_seed(0)
    pairs = store.tensorflow(**arguments).map(lambda batch: (batch["X"], batch["obs"][label]))
    penalty = tf.keras.regularizers.L2(0.5 / C / store.n_obs)
    layer = tf.keras.layers.Dense(n_labels, kernel_initializer="zeros", kernel_regularizer=penalty)
    model = tf.keras.Sequential([tf.keras.Input((store.n_vars,)), layer])
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    n_steps = EPOCHS * int(pairs.cardinality())
    rate = tf.keras.optimizers.schedules.PolynomialDecay(RATE, n_steps, 0.0)
    model.compile(tf.keras.optimizers.Adam(rate), loss)
    model.fit(pairs.prefetch(2), epochs=EPOCHS, verbose=0)
    weights, intercepts = layer.get_weights()
    return weights, intercepts


def train_jax(store: dao.Store, label: str, n_labels: int, arguments: dict[str, Any]) -> Model:
    """Train with jax, and Adam written out."""
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def loss(weights: Any, batch: Any) -> Any:
        scores = jax.nn.log_softmax(batch["X"] @ weights["w"] + weights["b"])
        found = -jnp.take_along_axis(scores, batch["obs"][label][:, None], axis=1).mean()
        return found + 0.5 / C / store.n_obs * (weights["w"] ** 2).sum()

    @jax.jit
    def step(weights: Any, first: Any, second: Any, number: Any, batch: Any) -> Any:
        slope = jax.grad(loss)(weights, batch)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, slope)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, slope)
        rate = RATE * (1 - number / n_steps) * jnp.sqrt(1 - 0.999**number) / (1 - 0.9**number)
        weights = jax.tree.map(
            lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-8), weights, first, second
        )
        return weights, first, second

    weights: Any = {"w": jnp.zeros((store.n_vars, n_labels)), "b": jnp.zeros(n_labels)}
    first = second = jax.tree.map(jnp.zeros_like, weights)
    batches = store.jax(**arguments)
    number, n_steps = 0, EPOCHS * len(batches)
    for _ in range(EPOCHS):
        for batch in batches:
            number += 1
            weights, first, second = step(weights, first, second, number, batch)
    return np.asarray(weights["w"]), np.asarray(weights["b"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("train", [train_torch, train_tensorflow, train_jax])
def test_as_good_as_in_memory(task: Task, train: Callable[..., Model]) -> None:
    """Streamed batches of the same cells lead to the logistic regression of sklearn."""
    arguments: dict[str, Any] = {
        "batch_size": BATCH_SIZE,
        "obs_keys": [task.label],
        "x_format": "dense",
        "transform": task.steps,
    }
    n_labels = len(task.train.categories(task.label))
    weights, intercepts = train(task.train, task.label, n_labels, arguments)
    x, (other, expected), found = task.cells[0], task.held_out, task.in_memory
    best = task.cost(found.decision_function(x), found.coef_)
    assert task.cost(x @ weights + intercepts, weights) < 1.02 * best
    right = ((other @ weights + intercepts).argmax(axis=1) == expected).sum()
    assert right >= (found.predict(other) == expected).sum() - 2
