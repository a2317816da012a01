"""DDP over gloo in real processes, and going on with another number of them."""

from __future__ import annotations

import json
import multiprocessing
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import dao

torch = pytest.importorskip("torch")

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

# Every rank is a process of its own, forked from a server that has imported what all of them need.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "torch._dynamo.aot_compile",
        "dao.batches.torch",
        "dao_backends.local",
        "dao_backends.zarr",
        "pytest",
    ]
)

# What is left each time divides among the ranks that go on.
N_OBS, SIZE, STEPS = 1_080, 15, 6


@pytest.fixture
def path(write: Callable[..., dao.Store], make_study: Any) -> Path:
    """Two studies, 1,080 cells."""
    store: Any = write({"a": make_study(0, 700), "b": make_study(1, 380)})
    return store.path


def train(rank: int, world_size: int, folder: str, path: str, task: Mapping[str, Any]) -> None:
    """Train a model in DDP; write down the cells of each step, the state, and the weights."""
    torch.set_num_threads(1)
    rendezvous = f"file://{folder}/rendezvous-{task['name']}"
    torch.distributed.init_process_group(
        "gloo", init_method=rendezvous, rank=rank, world_size=world_size
    )
    store = dao.load_store(path, backend=task["backend"])
    dataset = store.torch(batch_size=SIZE, obs_keys=["cell_type"], x_format="dense", seed=5)
    if "state" in task:
        dataset.load_state_dict(task["state"])
    torch.manual_seed(0)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(store.n_vars, 3))
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4)
    epochs: list[list[int]] = []
    state = None
    for _ in range(task["epochs"]):
        epochs.append([])
        for number, batch in enumerate(dataset, start=1):
            optimiser.zero_grad()
            # Would wait for ever if one rank had a batch more than the others.
            torch.nn.functional.cross_entropy(
                model(batch["X"]), batch["obs"]["cell_type"]
            ).backward()
            optimiser.step()
            epochs[-1] += batch["index"].tolist()
            if number == task.get("stop"):
                state = dataset.state_dict()
                break
    weights = [float(v) for p in model.parameters() for v in p.detach().ravel()]
    with open(f"{folder}/{task['name']}-{rank}.json", "w") as file:  # noqa: PTH123
        json.dump({"epochs": epochs, "state": state, "weights": weights}, file)
    torch.distributed.barrier()
    # The end of a group may wait for ever, as torch 2.13 waits there with the GIL held for a thread
    # of gloo that may need it to let go of the last gradients.
    os._exit(0)


def guesses(batch: Mapping[str, Any]) -> Any:
    """Return which cells a model that only adds up genes gets right."""
    sums = [batch["X"][:, i::3].sum(dim=1) for i in range(3)]
    return torch.stack(sums, dim=1).argmax(dim=1) == batch["obs"]["cell_type"]


def evaluate(rank: int, world_size: int, folder: str, path: str, task: Mapping[str, Any]) -> None:
    """Count over all ranks what was right, without the repeats; write down all counts."""
    torch.set_num_threads(1)
    rendezvous = f"file://{folder}/rendezvous-{task['name']}"
    torch.distributed.init_process_group(
        "gloo", init_method=rendezvous, rank=rank, world_size=world_size
    )
    found = {}
    for n_obs in task["sizes"]:
        for sampler in ("sequential", "shuffle"):
            for pad in (True, False):
                counts = counted(dao.load_store(path).take(range(n_obs)), sampler=sampler, pad=pad)
                torch.distributed.all_reduce(counts)
                found[f"{n_obs} {sampler} {pad}"] = counts.tolist()
    with open(f"{folder}/{task['name']}-{rank}.json", "w") as file:  # noqa: PTH123
        json.dump(found, file)
    torch.distributed.barrier()
    os._exit(0)


def counted(store: dao.Store, **arguments: Any) -> Any:
    """Return how many cells are right, how many there are, and how many came."""
    counts = torch.zeros(3, dtype=torch.int64)
    loader = store.torch(batch_size=SIZE, obs_keys=["cell_type"], x_format="dense", **arguments)
    for batch in loader:
        right = guesses(batch)
        padding = batch.get("is_padding", torch.zeros(len(right), dtype=torch.bool))
        counts += torch.stack(
            [(right & ~padding).sum(), (~padding).sum(), torch.tensor(len(right))]
        )
    return counts


def run(
    world_size: int,
    folder: Path,
    path: Path,
    task: Mapping[str, Any],
    target: Callable[..., None] = train,
) -> list[Any]:
    """Run a task in processes of its own, and return what each rank wrote down."""
    arguments = (world_size, str(folder), str(path), task)
    ranks = [CONTEXT.Process(target=target, args=(r, *arguments)) for r in range(world_size)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(300)
        assert process.exitcode == 0
    files = [folder / f"{task['name']}-{rank}.json" for rank in range(world_size)]
    return [json.loads(file.read_text()) for file in files]


def test_other_processes_go_on(path: Path, tmp_path: Path) -> None:
    """Two ranks, then three, then two on another backend: together one epoch, and then the next."""
    steps = {"backend": "local", "epochs": 1, "stop": STEPS}
    two = run(2, tmp_path, path, {"name": "two", **steps})
    three = run(3, tmp_path, path, {"name": "three", "state": two[0]["state"], **steps})
    last = {"name": "last", "state": three[2]["state"], "backend": "zarr", "epochs": 2}
    again = run(2, tmp_path, path, last)
    for results in (two, three, again):  # the ranks saw other cells and have the same model
        assert all(found["state"] == results[0]["state"] for found in results)
        for found in results:
            np.testing.assert_allclose(found["weights"], results[0]["weights"], rtol=1e-5)
    seen = [i for found in (*two, *three, *again) for i in found["epochs"][0]]
    assert sorted(seen) == list(range(N_OBS))
    following = [i for found in again for i in found["epochs"][1]]
    assert sorted(following) == list(range(N_OBS))


def test_a_metric_of_three_processes_is_that_of_one(path: Path, tmp_path: Path) -> None:
    """Without repeats, or with pad=False, as many cells are right as in one process."""
    sizes = [1_000, 1_001, 2, 45]
    for found in run(3, tmp_path, path, {"name": "metric", "sizes": sizes}, evaluate):
        for name, (right, n, came) in found.items():
            n_obs, pad = int(name.split()[0]), name.endswith("True")
            alone = counted(dao.load_store(path).take(range(n_obs)), sampler="sequential")
            assert [right, n] == alone[:2].tolist(), name
            assert came == (-(-n_obs // 3) * 3 if pad else n_obs), name
