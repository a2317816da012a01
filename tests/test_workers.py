"""DataLoader workers: the order of batches, whose they are, and which epoch they are of."""

from __future__ import annotations

import pickle
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dao
from dao.batches.course import Course
from dao.batches.share import Share
from dao.errors import ArgumentError

torch = pytest.importorskip("torch")
data = torch.utils.data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    pytest.mark.filterwarnings("ignore:.set_vital. is deprecated"),
]
N_OBS = 330


@pytest.fixture
def path(write: Callable[..., dao.Store], make_study: Any) -> Path:
    """Two studies, 330 cells."""
    store: Any = write({"a": make_study(0, 200), "b": make_study(1, 130)})
    return store.path


def loader(dataset: Any, n_workers: int, **arguments: Any) -> Any:
    """Return a DataLoader of whole batches."""
    context = arguments.pop("context", "fork") if n_workers else None
    kind = arguments.pop("kind", data.DataLoader)
    return kind(
        dataset,
        batch_size=None,
        num_workers=n_workers,
        multiprocessing_context=context,
        **arguments,
    )


def cells(batches: Iterable[Any]) -> list[int]:
    """Return the index of every cell in order."""
    return [i for batch in batches for i in batch["index"].tolist()]


def parts(batches: Iterable[Any]) -> list[tuple[int, ...]]:
    """Return the cells of each batch, in an order of their own."""
    return sorted(tuple(batch["index"].tolist()) for batch in batches)


# --- order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [{}, {"drop_last": True}, {"rank": 1, "world_size": 2}])
@pytest.mark.parametrize("n_workers", [2, 3, 7])
def test_store_order_with_workers(path: Path, n_workers: int, arguments: dict[str, Any]) -> None:
    """Any number of workers gives the batches of one process, in its order, epoch after epoch."""
    made: dict[str, Any] = {"batch_size": 16, "sampler": "sequential", **arguments}
    store = dao.load_store(path)
    expected = [b["index"].tolist() for b in store.torch(**made)]
    batches = loader(store.torch(**made), n_workers, persistent_workers=True)
    for _ in range(2):
        assert [b["index"].tolist() for b in batches] == expected
    assert len(batches) == len(expected)


def test_store_order_in_spawned_workers(path: Path) -> None:
    """Nothing depends on how the workers are started."""
    batches = loader(dao.load_store(path).torch(64, sampler="sequential"), 2, context="spawn")
    assert cells(batches) == list(range(N_OBS))


def test_a_worker_reads_its_own_batches_only(path: Path) -> None:
    """The batches of others are not decoded, and its own in as few parts as there are windows."""
    sampler = dao.samplers.Sequential(window=100)
    generator = dao.load_store(path).generator(10, sampler=sampler)
    course = Course(0)
    read = []
    for worker in range(3):
        stream = generator.stream(course, Share(0, 1, worker, 3))
        windows = list(stream.rows())
        assert len(windows) == 2  # of 110 rows, with windows of 100
        read += [row for window in windows for row in window.tolist()]
        assert [r // 10 % 3 for r in windows[0].tolist()] == [worker] * len(windows[0])
    assert sorted(read) == list(range(N_OBS))


@pytest.mark.parametrize(("before", "after"), [(2, 2), (2, 3), (3, 0), (0, 2)])
def test_store_order_after_a_resume(path: Path, before: int, after: int) -> None:
    """What is left comes in the same order, in any loader and with any number of workers."""
    stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader
    for n in (1, 4, 9):
        first = loader(dao.load_store(path).torch(16, sampler="sequential"), before, kind=stateful)
        iterator = iter(first)
        seen = cells(islice(iterator, n))
        state = first.state_dict()
        del iterator
        dataset = dao.load_store(path).torch(16, sampler="sequential")
        dataset.load_state_dict(state)
        assert len(dataset) == 21 - n
        again = loader(dataset, after)
        assert seen + cells(again) == list(range(N_OBS))
        assert cells(again) == list(range(N_OBS))


def test_a_stateful_loader_goes_on_in_order(path: Path) -> None:
    """The same number of workers, given their states by torchdata."""
    stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader
    for n in (3, 8):
        first = loader(dao.load_store(path).torch(16, sampler="sequential"), 2, kind=stateful)
        iterator = iter(first)
        seen = cells(islice(iterator, n))
        second = loader(dao.load_store(path).torch(16, sampler="sequential"), 2, kind=stateful)
        second.load_state_dict(first.state_dict())
        del iterator
        assert seen + cells(second) == list(range(N_OBS))


@pytest.mark.parametrize("weights", [None, {"a": 2.0, "b": 1.0}])
def test_interleaved_order_with_workers(path: Path, weights: Any) -> None:
    """Datasets in store order are interleaved by workers as by one process, also later on."""
    stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader

    def both() -> Any:
        store = dao.load_store(path)
        made = {n: store.subset(dataset=n).torch(10, sampler="sequential") for n in "ab"}
        return dao.interleave(made, weights, seed=2)

    def shown(pairs: Iterable[Any]) -> list[Any]:
        return [(name, batch["index"].tolist()) for name, batch in pairs]

    expected = shown(both())
    assert shown(loader(both(), 3)) == expected
    first = loader(both(), 2, kind=stateful)
    iterator = iter(first)
    seen = shown(islice(iterator, 7))
    state = first.state_dict()
    del iterator
    same = loader(both(), 2, kind=stateful)
    same.load_state_dict(state)
    assert seen + shown(same) == expected
    for n_workers in (0, 3):
        other = both()
        other.load_state_dict(state)
        assert len(other) == len(expected) - 7
        assert seen + shown(loader(other, n_workers)) == expected


TEAMS = st.tuples(st.integers(1, 3), st.integers(1, 4))  # world size, workers


@given(
    n=st.integers(0, 200),
    batch=st.integers(1, 20),
    pad=st.booleans(),
    teams=st.lists(TEAMS, min_size=1, max_size=3),
    steps=st.lists(st.integers(0, 9), min_size=3, max_size=3),
)
@settings(max_examples=200, deadline=None)
def test_turns_of_changing_teams(
    n: int, batch: int, pad: bool, teams: list[tuple[int, int]], steps: list[int]
) -> None:
    """Whoever goes on: each unit once, and a single rank in order."""
    whole = ((0, n),) if n else ()
    course, seen = Course(0), list[int]()
    for number, ((world_size, n_workers), step) in enumerate(zip(teams, steps, strict=False)):
        last = number == len(teams) - 1
        lengths, begun = [], course
        for rank in range(world_size):
            units: dict[int, list[int]] = {}
            for worker in range(n_workers):
                share = Share(rank, world_size, worker, n_workers)
                begun, own = course.begun_by(
                    share, whole, batch, drop_last=False, pad=pad, by_turns=True
                )
                flat = [i for a, b in own for i in range(a, b)]
                repeated = begun.n_repeated(share, whole, batch, drop_last=False, pad=pad)
                flat = [(i, k >= len(flat) - repeated) for k, i in enumerate(flat)]
                pieces = [flat[k : k + batch] for k in range(0, len(flat), batch)]
                numbers = begun.turns(share, len(pieces))
                chosen = range(len(pieces)) if numbers is None else numbers.tolist()
                units |= {k: pieces[k] for k in chosen}
            assert sorted(units) == list(range(len(units)))
            lengths.append(sum(len(u) for u in units.values()))
            taken = len(units) if last else min(step, len(units))
            seen += [i for k in range(taken) for i, is_repeated in units[k] if not is_repeated]
        for worker in range(n_workers):
            begun = begun.after(worker, (step - worker + n_workers - 1) // n_workers)
        course = Course.from_json(begun.to_json())
        assert max(lengths) - min(lengths) <= (0 if pad else 1)
    assert sorted(seen) == list(range(n))
    if all(world_size == 1 for world_size, _ in teams):
        assert seen == list(range(n))


# --- epochs ---------------------------------------------------------------------------------------


def test_one_counter_for_hand_and_workers(path: Path) -> None:
    """By hand, by one worker, by two, by an iterator that is dropped: each is the next epoch."""
    store = dao.load_store(path)
    reference = store.torch(16, seed=3)
    expected = [parts(reference) for _ in range(6)]
    dataset = store.torch(16, seed=3)
    assert parts(dataset) == expected[0]
    assert parts(loader(dataset, 1)) == expected[1]
    assert parts(loader(dataset, 2)) == expected[2]
    next(iter(loader(dataset, 3)))
    persistent = loader(dataset, 2, persistent_workers=True)
    assert parts(persistent) == expected[4]
    assert parts(dataset) == expected[5]
    dataset.set_epoch(1)
    assert parts(persistent) == expected[1]
    assert parts(loader(dataset, 0)) == expected[2]


def test_the_same_seed_of_torch_again(path: Path) -> None:
    """Who seeds torch before each epoch gets another epoch all the same."""
    dataset = dao.load_store(path).torch(16, seed=3)
    found = []
    for _ in range(3):
        torch.manual_seed(0)
        found.append(parts(loader(dataset, 2)))
    assert found[0] != found[1] != found[2]
    assert all(sorted(i for part in one for i in part) == list(range(N_OBS)) for one in found)


def test_a_state_after_the_workers_have_started(path: Path) -> None:
    """Workers that live on do not know of it: refused, not ignored."""
    dataset = dao.load_store(path).torch(16)
    iterator = iter(dataset)
    next(iterator)
    state = dataset.state_dict()
    batches = loader(dataset, 2, persistent_workers=True)
    assert sorted(cells(batches)) == list(range(N_OBS))
    dataset.load_state_dict(state)
    with pytest.raises(ArgumentError, match="new DataLoader"):
        list(batches)
    assert len(cells(loader(dataset, 2))) == N_OBS - 16


def test_states_count_what_was_trained_on(path: Path) -> None:
    """Before the step of the optimiser and after it, by hand and with the workers of torch."""
    store = dao.load_store(path)
    whole = cells(store.torch(16, sampler="sequential"))
    for n_workers in (0, 2):
        dataset = store.torch(16, sampler="sequential")
        for i, _ in enumerate(loader(dataset, n_workers)):
            if i == 5:
                before, after = dataset.state_dict(i), dataset.state_dict(i + 1)
                if n_workers:
                    with pytest.raises(ArgumentError, match="n_batches"):
                        dataset.state_dict()
                else:
                    assert dataset.state_dict() == after
                break
        for state, rest in ((before, whole[80:]), (after, whole[96:])):
            again = store.torch(16, sampler="sequential")
            again.load_state_dict(state)
            assert len(again) == -(-len(rest) // 16)
            assert cells(again) == rest


# --- datasets of users ----------------------------------------------------------------------------


class Around(data.IterableDataset):  # type: ignore[misc,name-defined]
    """A dataset around a generator, made before the workers start or in them."""

    def __init__(self, made: Any, **arguments: Any) -> None:
        self.made, self.arguments = made, arguments

    def __iter__(self) -> Any:
        info = data.get_worker_info()
        share = {"rank": info.id, "world_size": info.num_workers} if self.arguments else {}
        return iter(self.made(16, **share) if callable(self.made) else self.made)


def test_a_dataset_around_a_generator(path: Path) -> None:
    """Each worker gives its part, whoever divides and wherever the generator is made."""
    store = dao.load_store(path)
    generator = store.generator(16, x_format="dense")
    first, second = (cells(loader(Around(generator), 2)) for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(N_OBS))
    assert first != second
    assert sorted(cells(loader(Around(store.generator), 2))) == list(range(N_OBS))
    assert sorted(cells(loader(Around(store.generator, share=True), 2))) == list(range(N_OBS))


def test_a_copy_counts_for_itself(path: Path) -> None:
    """Pickled and read again, a generator goes on from the epoch it had."""
    generator = dao.load_store(path).generator(16)
    list(generator)
    again = pickle.loads(pickle.dumps(generator))
    assert parts(again) == parts(generator)
    list(generator)
    assert (again.epoch, generator.epoch) == (2, 3)


# --- ranks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["sequential", "shuffle", dao.samplers.Grouped("cell_type")])
@pytest.mark.parametrize("n_workers", [1, 2])
def test_repeats_are_named(path: Path, sampler: Any, n_workers: int) -> None:
    """Without the cells that is_padding names, three ranks have each cell once; pad=False too."""
    generators = [
        dao.load_store(path).generator(32, sampler=sampler, rank=rank, world_size=4)
        for rank in range(4)
    ]
    kept: list[int] = []
    for rank, generator in enumerate(generators):
        for worker in range(n_workers):
            stream = generator.stream(Course(0), Share(rank, 4, worker, n_workers))
            rows = [r for window in stream.rows() for r in window.tolist()]
            assert len(rows) == stream.n_rows
            is_new = ~stream.extras(0, len(rows))["is_padding"]
            kept += [row for row, new in zip(rows, is_new.tolist(), strict=True) if new]
    assert sorted(kept) == list(range(N_OBS))
    found = []
    for rank in range(4):
        uneven = dao.load_store(path).generator(
            32, sampler=sampler, rank=rank, world_size=4, pad=False
        )
        batches = list(uneven)
        assert len(batches) == len(uneven)
        assert "is_padding" not in batches[0]
        found += cells(batches)
    assert sorted(found) == list(range(N_OBS))
