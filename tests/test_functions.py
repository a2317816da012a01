"""Functions as transforms: how far ahead they run, in which threads, with which random numbers."""

from __future__ import annotations

import threading
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import dao
from dao import threads
from dao.batches.calls import n_bytes_of
from dao.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

parallel = dao.transforms.parallel


@pytest.fixture
def store(write: Callable[..., dao.Store], make_study: Any) -> dao.Store:
    """Two studies, 330 cells."""
    return write({"a": make_study(0, 200), "b": make_study(1, 130)})


@pytest.mark.parametrize("wrap", [lambda f: f, parallel])
def test_few_calls_are_ahead(store: dao.Store, wrap: Any) -> None:
    """The first batch comes after one call, and who stops waits for no more than one."""
    calls: list[int] = []

    def slow(batch: Any) -> Any:
        calls.append(len(batch["index"]))
        time.sleep(0.1)
        return batch

    batches = iter(store.generator(4, sampler="sequential", transform=wrap(slow)))
    list(store.generator(4))  # compiled and imported
    first = next(batches)
    assert first["index"].tolist() == [0, 1, 2, 3]
    n_ahead = 3 + (threads.n_threads() if wrap is parallel else 1)
    assert len(calls) <= 1 + n_ahead
    time.sleep(0.2 * n_ahead)
    assert len(calls) <= 1 + n_ahead
    began = time.perf_counter()
    batches.close()  # type: ignore[attr-defined]
    assert time.perf_counter() - began < 1
    settled = len(calls)
    time.sleep(0.3)
    assert len(calls) == settled


def test_large_results_are_fewer(store: dao.Store) -> None:
    """What waits is bounded by bytes as well; a single batch always passes."""
    made = 0

    def large(batch: Any) -> Any:
        nonlocal made
        made += 1
        return {"index": batch["index"], "large": np.zeros(1 << 20)}

    opened = dao.load_store(store.path, memory=64 << 20)
    batches = iter(opened.generator(4, sampler="sequential", transform=large))
    next(batches)
    time.sleep(0.5)
    assert made <= 3  # of 8 MB, an eighth of the memory
    assert len(list(batches)) == 82


def test_parallel_calls_keep_the_order(store: dao.Store) -> None:
    """Several threads at once, and batches as without them; an error comes in its place."""
    running, most, lock = 0, 0, threading.Lock()

    def uneven(batch: Any) -> Any:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.004 * (int(batch["index"][0]) // 4 % 3))
        with lock:
            running -= 1
        if int(batch["index"][0]) == 160:
            message = "no more"
            raise LookupError(message)
        return batch["index"].tolist()

    batches = iter(store.generator(4, sampler="sequential", transform=parallel(uneven)))
    found: list[int] = []
    with pytest.raises(LookupError, match="no more"):
        found.extend(i for batch in batches for i in batch)
    assert found == list(range(160))
    assert (most > 1) == (threads.n_threads() > 1)


def noisy(batch: Any, rng: np.random.Generator) -> Any:
    """Return the first cell of a batch with numbers of its own."""
    return int(batch["index"][0]), rng.random(2).tolist()


class Seconds:
    """Take the generator as the second argument, by another name."""

    def __call__(self, batch: Any, numbers: Any) -> Any:
        """Return the same."""
        return noisy(batch, numbers)


def by_name(batch: Any, *, rng: Any = None) -> Any:
    """Take the generator by name."""
    return int(batch["index"][0]), rng.random(2).tolist()


@pytest.mark.parametrize("function", [noisy, by_name, parallel(noisy), Seconds()])
def test_random_numbers_belong_to_a_batch(store: dao.Store, function: Any) -> None:
    """The same for a seed and epoch, also in threads and after a resume; different otherwise."""
    made: dict[str, Any] = {"batch_size": 16, "sampler": "sequential", "transform": function}
    generator = store.generator(**made, seed=4)
    first, second = list(generator), list(generator)
    assert len({numbers[0] for _, numbers in first + second}) == 42
    again = store.generator(**made, seed=4)
    assert list(islice(iter(again), 5)) == first[:5]
    resumed = store.generator(**made, seed=4)
    resumed.load_state_dict(again.state_dict())
    assert list(resumed) == first[5:]
    assert list(store.generator(**made, seed=5)) != first
    ranks = [list(store.generator(**made, seed=4, rank=r, world_size=3)) for r in range(3)]
    assert len({numbers[0] for rank in ranks for _, numbers in rank}) == 21


def test_random_numbers_with_workers(store: dao.Store) -> None:
    """Any number of DataLoader workers gives the numbers of one process."""
    data = pytest.importorskip("torch.utils.data")
    dataset = store.torch(16, sampler="sequential", transform=noisy)
    expected = list(dataset)
    dataset.set_epoch(0)
    loader = data.DataLoader(
        dataset, batch_size=None, num_workers=2, multiprocessing_context="fork"
    )
    assert [tuple(pair) for pair in loader] == expected


def test_what_functions_may_take(store: dao.Store) -> None:
    """More than a batch and a generator is refused; what is optional is left alone."""
    assert list(store.generator(330, transform=[noisy, lambda pair: pair[0], float]))
    assert list(store.generator(330, transform=lambda b, out=7: out)) == [7]
    for function in (lambda b, g, more: b, lambda b, *, key: b):
        with pytest.raises(ArgumentError, match="NumPy generator"):
            store.generator(transform=function)
    with pytest.raises(ArgumentError, match="function"):
        parallel(3)
    pytest.importorskip("torch")
    with pytest.raises(ArgumentError, match=r"store\.torch"):
        store.map_dataset(transform=noisy)


def test_bytes_of_results() -> None:
    """Arrays, sparse matrices and tables, however deep they lie."""
    import pandas as pd
    import scipy.sparse as sp

    matrix = sp.csr_matrix(np.eye(4, dtype=np.float32))
    n_sparse = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    frame = pd.DataFrame({"a": np.zeros(100)}, index=np.arange(100))
    assert n_bytes_of({"x": [np.zeros(10), (matrix,)], "y": "text"}) == 80 + n_sparse
    assert n_bytes_of(frame) >= 1600
    assert n_bytes_of(3.0) == 0
