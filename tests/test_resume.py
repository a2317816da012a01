"""Resuming: in new processes, on other backends, with other ranks and workers, each cell once."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import dao
from dao import samplers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

N_OBS = 330


@pytest.fixture
def path(write: Callable[..., dao.Store], make_study: Any) -> Path:
    """Two studies, 330 cells."""
    store: Any = write({"a": make_study(0, 200), "b": make_study(1, 130)})
    return store.path


def indices(batches: Iterable[dict[str, Any]]) -> list[int]:
    """Return the index of every cell in order."""
    return [i for batch in batches for i in batch["index"].tolist()]


def part(generator: Any, n_batches: int) -> list[int]:
    """Return the cells of the first batches of the next epoch."""
    iterator = iter(generator)
    return indices([next(iterator) for _ in range(n_batches)])


SAMPLERS = [
    samplers.Shuffle(8, 64),
    samplers.Random(50),
    samplers.Grouped("cell_type", 8, 64),
    samplers.Weighted("n_genes", 300, block=8, window=64),
    samplers.Balanced("cell_type", 300, block=8, window=64),
    samplers.Paired("cell_type", "B", block=8, window=64),
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
def test_every_sampler_resumes(path: Path, sampler: Any) -> None:
    """A state in the middle of an epoch continues exactly, on another backend and budget."""
    arguments: dict[str, Any] = {"batch_size": 16, "sampler": sampler, "seed": 4}
    whole = indices(dao.load_store(path).generator(**arguments))
    first = dao.load_store(path).generator(**arguments)
    seen = part(first, 5)
    state = json.loads(json.dumps(first.state_dict()))
    second = dao.load_store(path, backend="zarr", memory=100_000).generator(**arguments)
    second.load_state_dict(state)
    assert seen + indices(second) == whole
    assert second.state_dict()["epoch"] == 0
    assert indices(second) != whole


@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 1), (1, 2)])
def test_another_world_size(path: Path, before: int, after: int) -> None:
    """Other ranks divide what is left of the epoch; every cell still comes once."""
    store = dao.load_store(path)
    arguments: dict[str, Any] = {"batch_size": 16, "seed": 1}
    seen: list[int] = []
    states = []
    for rank in range(before):
        generator = store.generator(rank=rank, world_size=before, **arguments)
        seen += part(generator, 4)
        states.append(generator.state_dict())
    assert all(state == states[0] for state in states)
    rest: list[int] = []
    lengths = set()
    for rank in range(after):
        generator = store.generator(rank=rank, world_size=after, **arguments)
        generator.load_state_dict(states[0])
        batches = list(generator)
        lengths.add(len(batches))
        rest += indices(batches)
    assert len(lengths) == 1
    assert len(seen) == len(set(seen)) == 64 * before
    assert not set(seen) & set(rest)
    assert set(seen) | set(rest) == set(range(N_OBS))
    assert len(rest) - len(set(rest)) < after


def test_in_a_new_process(path: Path, tmp_path: Path) -> None:
    """A state written to a file is understood by another interpreter."""
    generator = dao.load_store(path).generator(16, seed=2)
    seen = part(generator, 7)
    (tmp_path / "state.json").write_text(json.dumps(generator.state_dict()))
    program = (
        "import dao, json, sys\n"
        "generator = dao.load_store(sys.argv[1]).generator(16, seed=2)\n"
        "generator.load_state_dict(json.load(open(sys.argv[2])))\n"
        "print(json.dumps([i for b in generator for i in b['index'].tolist()]))\n"
    )
    command = [sys.executable, "-c", program, str(path), str(tmp_path / "state.json")]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    rest = json.loads(found.stdout)
    assert seen + rest == indices(dao.load_store(path).generator(16, seed=2))


def test_a_state_before_the_first_batch(path: Path) -> None:
    """An iterator that has given nothing yet is at the begin of its own epoch."""
    generator = dao.load_store(path).generator(64)
    iterator = iter(generator)
    assert generator.state_dict()["epoch"] == 0
    expected = indices(iterator)
    assert generator.state_dict()["epoch"] == 0
    other = dao.load_store(path).generator(64)
    other.load_state_dict(generator.state_dict())
    assert indices(other) != expected  # that epoch was at its end
    assert other.state_dict()["epoch"] == 1


@pytest.mark.filterwarnings("ignore:.set_vital. is deprecated")
@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker")
@pytest.mark.parametrize(("before", "after"), [(2, 0), (2, 2), (3, 2)])
def test_workers_of_a_stateful_loader(path: Path, before: int, after: int) -> None:
    """torchdata's loader saves the states of workers; others take over, on another backend."""
    pytest.importorskip("torch")
    stateful = pytest.importorskip("torchdata.stateful_dataloader")

    def loader(n_workers: int, backend: str) -> Any:
        dataset = dao.load_store(path, backend=backend).torch(batch_size=16, seed=6)
        # What zarr holds in threads does not survive a fork.
        context = {"local": "fork", "zarr": "spawn"}[backend] if n_workers else None
        return stateful.StatefulDataLoader(
            dataset, batch_size=None, num_workers=n_workers, multiprocessing_context=context
        )

    first = loader(before, "local")
    iterator = iter(first)
    seen = indices([next(iterator) for _ in range(7)])
    state = first.state_dict()
    del iterator
    second = loader(after, "zarr")
    if after == before:
        second.load_state_dict(state)
    else:
        second.dataset.load_state_dict(state)
    rest = indices(second)
    assert sorted(seen + rest) == list(range(N_OBS))
    following = indices(second)
    assert sorted(following) == list(range(N_OBS))
    assert following[:16] != (seen + rest)[:16]
