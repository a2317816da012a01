"""Several generators in one stream: proportions, epochs, resuming, ranks and DataLoader workers."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

import dao
from dao import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

SIZES = {"a": 200, "b": 130}


@pytest.fixture
def path(write: Callable[..., dao.Store], make_study: Any) -> Path:
    """Two studies, 330 cells."""
    store: Any = write({name: make_study(i, n) for i, (name, n) in enumerate(SIZES.items())})
    return store.path


def parts(path: Path, kind: str = "generator", **arguments: Any) -> dict[str, Any]:
    """Return a generator for each study."""
    store = dao.load_store(path)
    arguments = {"batch_size": 10, "seed": 3, **arguments}
    return {name: getattr(store.subset(dataset=name), kind)(**arguments) for name in SIZES}


def cells(pairs: Iterable[tuple[str, Any]]) -> list[tuple[str, int]]:
    """Return the study and index of every cell in order."""
    return [(name, i) for name, batch in pairs for i in batch["index"].tolist()]


def check_each_once(found: list[tuple[str, int]]) -> None:
    """Check that these are all cells, each once, under the name of its study."""
    expected = [("a" if i < SIZES["a"] else "b", i) for i in range(sum(SIZES.values()))]
    assert sorted(found) == sorted(expected)


def test_a_state_continues_all(path: Path) -> None:
    """Several generators in one stream continue together, and go on to another epoch."""
    whole = cells(dao.interleave(parts(path), seed=5))
    check_each_once(whole)
    first = dao.interleave(parts(path), seed=5)
    seen = cells(islice(iter(first), 11))
    second = dao.interleave(parts(path), seed=5)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert seen + cells(second) == whole
    following = cells(second)
    check_each_once(following)
    assert following != whole
    with pytest.raises(errors.ArgumentError, match="of the generators"):
        dao.interleave({"c": parts(path)["a"]}).load_state_dict(first.state_dict())
    with pytest.raises(errors.ArgumentError, match="of the generators"):
        second.load_state_dict({})


def test_weights_of_interleaved_generators(path: Path) -> None:
    """Weights set the proportions; the epoch ends before a generator would begin again."""
    given = parts(path)
    names = [name for name, _ in dao.interleave(given, {"a": 1, "b": 3})]
    assert (names.count("a"), names.count("b")) == (4, 13)
    for weights, match in (
        ({"c": 1.0}, "'c'"),
        ({"a": 1.0}, "'b' a weight"),
        ({"a": 0, "b": 1}, "'a'"),
    ):
        with pytest.raises(errors.ArgumentError, match=match):
            dao.interleave(given, weights)
    with pytest.raises(errors.ArgumentError, match="nothing"):
        dao.interleave({})


def test_a_state_at_which_one_has_ended(path: Path) -> None:
    """Who has given everything waits for the others, and begins the next epoch with them."""
    both = dao.interleave(parts(path))
    names = [name for name, _ in both]
    last = len(names) - next(i for i, n in enumerate(reversed(names)) if n != names[-1])
    assert last < len(names)
    first = dao.interleave(parts(path))
    seen = cells(islice(iter(first), last))
    second = dao.interleave(parts(path))
    second.load_state_dict(first.state_dict())
    check_each_once(seen + cells(second))
    both.set_epoch(1)
    assert cells(second) == cells(both)


@pytest.mark.parametrize("after", [1, 3])
def test_another_number_of_ranks(path: Path, after: int) -> None:
    """Ranks divide what is left anew, and all end together."""
    ranks = [dao.interleave(parts(path, rank=r, world_size=2)) for r in range(2)]
    seen = [pair for rank in ranks for pair in cells(islice(iter(rank), 6))]
    state = json.loads(json.dumps(ranks[0].state_dict()))
    rest: Counter[tuple[str, int]] = Counter()
    lengths = set()
    for r in range(after):
        rank = dao.interleave(parts(path, rank=r, world_size=after))
        rank.load_state_dict(state)
        pairs = list(rank)
        lengths.add(len(pairs))
        rest.update(cells(pairs))
    assert len(lengths) == 1
    assert not set(seen) & set(rest)
    check_each_once(seen + list(rest))


@pytest.mark.once
@pytest.mark.parametrize("persistent", [False, True])
def test_workers_share_both(path: Path, persistent: bool) -> None:
    """Under DataLoader workers each cell comes once per epoch, and studies are mixed."""
    torch = pytest.importorskip("torch")
    loader = torch.utils.data.DataLoader(
        dao.interleave(parts(path, "torch")),
        batch_size=None,
        num_workers=2,
        multiprocessing_context="fork",
        persistent_workers=persistent,
    )
    epochs = []
    for _ in range(3):
        pairs = list(loader)
        assert len(pairs) == len(loader)
        assert {name for name, _ in pairs[:8]} == set(SIZES)
        epochs.append(cells(pairs))
        check_each_once(epochs[-1])
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.once
@pytest.mark.filterwarnings("ignore:.set_vital. is deprecated")
@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker")
@pytest.mark.parametrize(("before", "after"), [(2, 2), (2, 0), (3, 2)])
def test_workers_of_a_stateful_loader(path: Path, before: int, after: int) -> None:
    """torchdata's loader saves the states of workers; others take over."""
    pytest.importorskip("torch")
    stateful = pytest.importorskip("torchdata.stateful_dataloader")

    def loader(n_workers: int) -> Any:
        context = "fork" if n_workers else None
        return stateful.StatefulDataLoader(
            dao.interleave(parts(path, "torch")),
            batch_size=None,
            num_workers=n_workers,
            multiprocessing_context=context,
        )

    first = loader(before)
    iterator = iter(first)
    seen = cells(islice(iterator, 9))
    state = first.state_dict()
    del iterator
    second = loader(after)
    (second if after == before else second.dataset).load_state_dict(state)
    check_each_once(seen + cells(second))
    check_each_once(cells(second))
