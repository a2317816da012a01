"""torch: training, DataLoader workers, distributed ranks, and iterators that are dropped."""

from __future__ import annotations

import threading
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import dao
from dao.errors import ArgumentError, DaoWarning

torch = pytest.importorskip("torch")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import anndata as ad

N_OBS = 1_037


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two studies with 1,037 cells whose label can be read off their counts."""
    import anndata
    import pandas as pd
    import scipy.sparse as sp

    random = np.random.default_rng(0)
    studies = {}
    for name, n_obs in (("a", 700), ("b", 337)):
        label = random.integers(0, 3, n_obs)
        rates = np.full((n_obs, 30), 0.5)
        rates[np.arange(n_obs), label] = 6
        obs = pd.DataFrame({"label": pd.Categorical([f"type {v}" for v in label])})
        obs["half"] = pd.Categorical(np.where(random.random(n_obs) < 0.5, None, "yes"))
        obs["depth"] = rates.sum(axis=1)
        obs.index = [f"{name}{i}" for i in range(n_obs)]
        x = sp.csr_matrix(random.poisson(rates).astype(np.float32))
        studies[name] = anndata.AnnData(x, obs=obs, obsm={"pca": x[:, :2].toarray()})
        studies[name].layers["raw"] = x.copy()
    target = tmp_path_factory.mktemp("torch") / "store.dao"
    dao.write_store(target, studies, layers=["raw"], obsm=["pca"], progress=False)
    return target


@pytest.fixture
def store(path: Path) -> dao.Store:
    """The store, opened."""
    return dao.load_store(path)


def indices(batches: Any) -> list[int]:
    """Return the index of every row of an epoch."""
    return [i for batch in batches for i in batch["index"].tolist()]


def test_a_model_learns_from_the_stream(store: dao.Store) -> None:
    """A linear model trained on batches of the store names the labels of held-out cells."""
    torch.manual_seed(0)
    train, test = store.subset("_source_row >= 100"), store.subset("_source_row < 100")
    model = torch.nn.Linear(store.n_vars, 3)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    batches = train.torch(batch_size=64, obs_keys=["label"], x_format="dense")
    losses = []
    for _ in range(8):
        for batch in batches:
            loss = torch.nn.functional.cross_entropy(model(batch["X"]), batch["obs"]["label"])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
    held_out = next(iter(test.torch(batch_size=500, obs_keys=["label"], x_format="dense")))
    accuracy = (model(held_out["X"]).argmax(1) == held_out["obs"]["label"]).float().mean()
    assert accuracy > 0.9
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) / 2


@pytest.mark.parametrize("x_format", ["csr", "dense"])
def test_tensors_equal_the_numpy_batches(store: dao.Store, x_format: str) -> None:
    """The torch batches hold what the generator's batches hold, in torch's types."""
    arguments: dict[str, Any] = {
        "batch_size": 100,
        "obs_keys": ["label", "half", "depth", "dataset"],
        "layers": ["raw"],
        "obsm": ["pca"],
        "x_format": x_format,
    }
    generator = store.generator(**arguments)
    batches = store.torch(**arguments)
    assert len(batches) == len(generator) == 11
    for theirs, mine in zip(generator, batches, strict=True):
        for left, right in (
            (mine["X"], theirs["X"]),
            (mine["layers"]["raw"], theirs["layers"]["raw"]),
        ):
            assert left.layout == (torch.sparse_csr if x_format == "csr" else torch.strided)
            assert left.dtype == torch.float32
            dense = right.toarray() if x_format == "csr" else right
            np.testing.assert_array_equal(left.to_dense().numpy(), dense)
        np.testing.assert_array_equal(mine["obsm"]["pca"].numpy(), theirs["obsm"]["pca"])
        for key in ("label", "half", "dataset"):
            codes = mine["obs"][key]
            assert codes.dtype == torch.int64
            names = np.array([*batches.categories[key], None], object)[codes.numpy()]
            expected = theirs["obs"][key].astype(object)
            assert list(names) == list(expected.where(expected.notna(), None))
        np.testing.assert_array_equal(mine["obs"]["depth"].numpy(), theirs["obs"]["depth"])
        assert mine["index"].tolist() == theirs["index"].tolist()
    assert -1 in mine["obs"]["half"]


@pytest.mark.parametrize("x_format", ["csr", "dense"])
@pytest.mark.parametrize(("workers", "context"), [(0, None), (2, "fork"), (2, "spawn")])
def test_data_loader_gives_every_row_once(
    store: dao.Store, workers: int, context: str | None, x_format: str
) -> None:
    """Under workers, however they are started, each epoch has every row once, in a new order."""
    dataset = store.torch(batch_size=64, obs_keys=["label"], x_format=x_format)
    next(iter(dataset))  # zarrs has been used in this process before the workers start
    dataset.set_epoch(0)
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=None, num_workers=workers, multiprocessing_context=context
    )
    epochs = []
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            batches = list(loader)
        assert len(batches) == len(dataset)
        epochs.append(indices(batches))
        assert sorted(epochs[-1]) == list(range(N_OBS))
    assert epochs[0] != epochs[1]
    whole = store.to_anndata().X
    for batch in batches:
        np.testing.assert_array_equal(
            batch["X"].to_dense().numpy(), whole[batch["index"].numpy()].toarray()
        )


def test_persistent_workers_go_on_to_the_next_epoch(store: dao.Store) -> None:
    """Workers that stay alive visit every row once per epoch too, and set_epoch reaches them."""
    dataset = store.torch(batch_size=50)
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_size=None,
        num_workers=2,
        multiprocessing_context="spawn",
        persistent_workers=True,
    )
    epochs = [indices(loader) for _ in range(3)]
    assert all(sorted(e) == list(range(N_OBS)) for e in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    dataset.set_epoch(1)
    assert indices(loader) == epochs[1]


@pytest.mark.parametrize(("backend", "n_warnings"), [("local", 0), ("zarrs", 1)])
def test_forked_workers_are_warned_about(path: Path, backend: str, n_warnings: int) -> None:
    """Where forked processes are slower the warning names the remedy, and comes once."""
    import multiprocessing

    store = dao.load_store(path, backend=backend)
    next(iter(store.generator(10)))
    queue: Any = multiprocessing.get_context("fork").Queue()
    process = multiprocessing.get_context("fork").Process(target=_warnings_of, args=(store, queue))
    process.start()
    messages = queue.get(timeout=60)
    process.join(10)
    assert len(messages) == n_warnings
    assert all("multiprocessing_context='spawn'" in message for message in messages)


def _warnings_of(store: dao.Store, queue: Any) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            list(store.generator(100))
    queue.put([str(w.message) for w in caught if issubclass(w.category, DaoWarning)])


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("drop_last", [False, True])
def test_ranks_share_an_epoch(path: Path, tmp_path: Path, world_size: int, drop_last: bool) -> None:
    """Real processes over gloo: equal numbers of batches, every row once, the rest as said."""
    context = torch.multiprocessing.get_context("spawn")
    queue = context.Queue()
    arguments = (world_size, str(path), str(tmp_path / "rendezvous"), drop_last, queue)
    processes = [context.Process(target=_rank, args=(r, *arguments)) for r in range(world_size)]
    for process in processes:
        process.start()
    results = [queue.get(timeout=120) for _ in processes]
    for process in processes:
        process.join(20)
        assert process.exitcode == 0
    lengths = {len(batches) for _, batches in results}
    assert len(lengths) == 1
    rows = [i for _, batches in results for batch in batches for i in batch]
    if drop_last:
        assert len(rows) == len(set(rows))
        assert all(len(batch) == 40 for _, batches in results for batch in batches)
    else:
        assert set(rows) == set(range(N_OBS))
        assert len(rows) == -(-N_OBS // world_size) * world_size


def _rank(
    rank: int, world_size: int, path: str, rendezvous: str, drop_last: bool, queue: Any
) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world_size
    )
    dataset = dao.load_store(path).torch(batch_size=40, drop_last=drop_last)
    batches = [batch["index"].tolist() for batch in dataset]
    assert len(batches) == len(dataset)
    total = torch.tensor([len(batches)])
    torch.distributed.all_reduce(total)
    queue.put((rank, batches))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def test_dropped_iterators_leave_no_thread(store: dao.Store) -> None:
    """An iterator that is dropped half way ends its thread."""
    for _ in range(5):
        iterator = iter(store.torch(batch_size=10))
        next(iterator)
        del iterator
    alive = [t for t in threading.enumerate() if t.name == "dao-prefetch"]
    for thread in alive:
        thread.join(5)
    assert not [t for t in threading.enumerate() if t.name == "dao-prefetch"]


def test_error_in_transform_arrives_as_it_is(store: dao.Store) -> None:
    """What a transform raises is raised where the batch was asked for."""

    def fail(batch: dict[str, Any]) -> dict[str, Any]:
        message = "no such layer in my model"
        raise LookupError(message)

    with pytest.raises(LookupError, match="my model"):
        next(iter(store.torch(batch_size=10, transform=fail)))


def test_transform_gets_tensors(store: dao.Store) -> None:
    """A transform of a torch stream works on tensors, ahead of the consumer."""
    batches = store.torch(
        batch_size=64, x_format="dense", transform=lambda b: torch.log1p(b["X"]).sum().item()
    )
    expected = np.log1p(store.to_anndata().X.toarray()).sum()
    assert abs(sum(batches) - expected) < 1e-2 * expected


def test_resume_in_the_middle(store: dao.Store, make_study: Callable[..., ad.AnnData]) -> None:
    """A state taken after some batches continues with the next one, in a new dataset."""
    whole = [b["index"].tolist() for b in store.torch(batch_size=64, seed=3)]
    first = store.torch(batch_size=64, seed=3)
    iterator = iter(first)
    seen = [next(iterator)["index"].tolist() for _ in range(5)]
    state = first.state_dict()
    second = store.torch(batch_size=64, seed=3)
    second.load_state_dict(state)
    rest = [b["index"].tolist() for b in second]
    assert seen + rest == whole


def test_devices(path: Path) -> None:
    """A device that is not there is refused; the processor is where batches are anyway."""
    store = dao.load_store(path)
    with pytest.raises(ArgumentError, match=r"device='tpu'"):
        store.torch(device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ArgumentError, match=r"device='cuda'"):
            store.torch(device="cuda")
    batch = next(iter(store.torch(batch_size=20, device="cpu")))
    assert batch["X"].device.type == "cpu"


@pytest.mark.parametrize("x_format", ["csr", "dense"])
def test_dense_is_made_on_the_device(path: Path, x_format: str) -> None:
    """What reaches an accelerator sparse equals what was made dense before, in any gene order."""
    from dao.batches.device import mover, sparse_spec
    from dao.batches.torch import to_torch

    store = dao.load_store(path)
    genes = list(store.var_names[::-3])
    arguments: dict[str, Any] = {"batch_size": 30, "obs_keys": ["label"], "var_names": genes}
    expected = store.generator(x_format=x_format, **arguments)
    spec = sparse_spec(expected.spec, {"X": True})
    assert not spec.matrices["X"].dense
    move = mover(torch.device("cpu"), expected.spec)
    sparse = expected.iterate(to_torch, expected.course(0), spec=spec)
    for moved, batch in zip(map(move, sparse), expected, strict=True):
        x = moved["X"].to_dense().numpy()
        wanted = batch["X"] if x_format == "dense" else batch["X"].toarray()
        np.testing.assert_array_equal(x, wanted)
        assert moved["X"].layout is (torch.strided if x_format == "dense" else torch.sparse_csr)
        np.testing.assert_array_equal(moved["index"].numpy(), batch["index"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("x_format", ["csr", "dense"])
def test_batches_on_a_gpu(path: Path, x_format: str) -> None:
    """Everything of a batch is on the GPU and equals what the processor has."""
    store = dao.load_store(path)
    arguments: dict[str, Any] = {"batch_size": 30, "obs_keys": ["label"], "x_format": x_format}
    there = store.torch(device="cuda", **arguments)
    for moved, batch in zip(there, store.torch(**arguments), strict=True):
        assert moved["X"].device.type == moved["obs"]["label"].device.type == "cuda"
        assert torch.equal(moved["X"].to_dense().cpu(), batch["X"].to_dense())
        assert torch.equal(moved["index"].cpu(), batch["index"])
    loader = torch.utils.data.DataLoader(there, batch_size=None, num_workers=1)
    with pytest.raises(ArgumentError, match="workers"):
        list(loader)


@pytest.mark.parametrize("x_format", ["csr", "dense"])
@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true but:UserWarning")
def test_data_loader_pins_batches(store: dao.Store, x_format: str) -> None:
    """pin_memory=True reaches every tensor of a batch, sparse ones included, where it can."""
    dataset = store.torch(batch_size=100, obs_keys=["label"], x_format=x_format)
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, pin_memory=True)
    for batch in loader:
        assert batch["X"].to_dense().shape == (len(batch["index"]), store.n_vars)
        if torch.cuda.is_available():
            x = batch["X"].values() if x_format == "csr" else batch["X"]
            assert x.is_pinned()
            assert batch["obs"]["label"].is_pinned()
            assert batch["index"].is_pinned()
    # Without an accelerator nothing is pinned; torch can, where it has this for sparse tensors.
    assert torch._C._dispatch_has_kernel_for_dispatch_key("aten::_pin_memory", "SparseCsrCPU")


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("arguments", [{}, {"batch_size": 64}])
def test_loader_that_would_stack_batches(
    store: dao.Store, num_workers: int, arguments: dict[str, Any]
) -> None:
    """A DataLoader that batches batches is refused, whatever a transform returns."""
    for transform in (None, lambda batch: (batch["X"], batch["index"])):
        dataset = store.torch(16, x_format="dense", transform=transform)
        loader = torch.utils.data.DataLoader(dataset, num_workers=num_workers, **arguments)
        with pytest.raises(ArgumentError, match="batch_size=None"):
            next(iter(loader))


def test_loader_with_a_function_of_the_user(store: dao.Store) -> None:
    """Who puts items together knows what they are."""
    loader = torch.utils.data.DataLoader(
        store.torch(16, x_format="dense"), batch_size=1, collate_fn=lambda b: b[0]
    )
    assert next(iter(loader))["X"].shape[0] == 16


def test_device_by_habit(store: dao.Store) -> None:
    """What tensorflow calls a GPU is not what torch calls one."""
    with pytest.raises(ArgumentError, match="'cuda'"):
        store.torch(16, device="gpu")
