"""Generators: what a batch holds, exactly once, the same order everywhere, no thread left."""

from __future__ import annotations

import gc
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import dao
from dao import errors, samplers
from dao.batches.plan import plan_ranges
from dao.batches.prefetch import Prefetcher
from dao.batches.share import Share
from dao.testing import FaultyReader, LatencyReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Make = Any


@pytest.fixture
def store(write: Callable[..., dao.Store], make_study: Make) -> dao.Store:
    """Two studies, 130 cells."""
    return write({"a": make_study(0, 80), "b": make_study(1, 50)}, layers=["doubled"])


def rows_of(*sizes: int) -> samplers.Rows:
    """Return the rows of datasets of these sizes."""
    return samplers.Rows(np.array(sizes, np.int64))


def prefetch_threads() -> list[threading.Thread]:
    """Return the threads of dao that read ahead."""
    return [t for t in threading.enumerate() if t.name == "dao-prefetch"]


@pytest.mark.filterwarnings("ignore:An epoch has no batch")  # that is what some of them show
@pytest.mark.parametrize("batch_size", [1, 7, 64, 130, 1000])
@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize(
    "sampler",
    ["shuffle", "random", samplers.Shuffle(3, 17), samplers.Random(9), samplers.Sequential(9)],
)
def test_every_row_once(store: dao.Store, batch_size: int, drop_last: bool, sampler: Any) -> None:
    """Any batch size, divisible or not: full batches, then a rest, every row once."""
    generator = store.generator(batch_size, drop_last=drop_last, sampler=sampler)
    batches = list(generator)
    assert len(batches) == len(generator)
    sizes = [len(b["index"]) for b in batches]
    assert all(s == batch_size for s in sizes[:-1])
    rows = np.concatenate([b["index"] for b in batches]) if batches else np.empty(0, int)
    assert len(set(rows)) == len(rows) == (130 // batch_size * batch_size if drop_last else 130)
    for batch in batches:
        assert batch["X"].shape == (len(batch["index"]), store.n_vars)
        assert list(batch["obs"].index) == list(batch["index"])


def test_order_depends_on_seed_and_epoch_alone(store: dao.Store) -> None:
    """The same seed and epoch give the same rows, whatever the memory, backend or batch size."""

    def rows(epoch: int, seed: int = 0, path: dao.Store = store, batch_size: int = 30) -> list[int]:
        generator = path.generator(batch_size, seed=seed, sampler=samplers.Shuffle(4, 32))
        generator.set_epoch(epoch)
        return [i for b in generator for i in b["index"].tolist()]

    first = rows(0)
    assert rows(0) == first
    assert rows(0, batch_size=7) == first
    assert rows(0, path=dao.load_store(store.path, "zarr", memory=2_000)) == first
    assert rows(1) != first
    assert rows(0, seed=1) != first
    generator = store.generator(30, sampler=samplers.Shuffle(4, 32))
    epochs = [[i for b in generator for i in b["index"].tolist()] for _ in range(2)]
    assert epochs == [first, rows(1)]


def test_order_is_fixed_for_ever() -> None:
    """The shuffled order of a small selection is part of what versions promise."""
    plan = samplers.Shuffle(block=2, window=6).plan(rows_of(5, 6), seed=3, epoch=1)
    rows = [plan.window(i).tolist() for i in range(len(plan.boundaries) - 1)]
    assert rows == GOLDEN_ORDER


GOLDEN_ORDER = [[10, 8, 5, 2, 3, 4], [1, 6, 0, 7, 9]]


def test_resume(store: dao.Store) -> None:
    """A state is small JSON; another generator continues with the next batch, then new epochs."""
    whole = store.generator(20, seed=5)
    expected = [[b["index"].tolist() for b in whole] for _ in range(2)]
    first = store.generator(20, seed=5)
    iterator = iter(first)
    for _ in range(3):
        next(iterator)
    state = json.loads(json.dumps(first.state_dict()))
    assert len(json.dumps(state)) < 500
    second = dao.load_store(store.path, "zarr").generator(20, seed=5)
    second.load_state_dict(state)
    assert [b["index"].tolist() for b in second] == expected[0][3:]
    assert [b["index"].tolist() for b in second] == expected[1]
    list(iterator)
    second.load_state_dict(first.state_dict())
    assert [b["index"].tolist() for b in second] == expected[1]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 6}, "seed"),
        ({"batch_size": 21}, "batch_size"),
        ({"sampler": "sequential"}, "sampler"),
    ],
)
def test_state_of_another_stream(store: dao.Store, change: dict[str, Any], named: str) -> None:
    """A state that does not fit is refused, and what differs is named."""
    state = store.generator(batch_size=20, seed=5).state_dict()
    with pytest.raises(errors.ArgumentError, match=named):
        store.generator(**{"batch_size": 20, "seed": 5, **change}).load_state_dict(state)
    with pytest.raises(errors.ArgumentError, match="selection"):
        store.subset(cell_type="B").generator(20, seed=5).load_state_dict(state)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"x_format": "coo"}, "x_format"),
        ({"dtype": "str"}, "dtype"),
        ({"dtype": "uint8"}, "without changing them"),
        ({"sampler": "suffle"}, "Did you mean 'shuffle'"),
        ({"sampler": 3}, "no sampler"),
        ({"sampler": samplers.Shuffle}, "no sampler"),
        ({"obs_keys": ["celltype"]}, "cell_type"),
        ({"obs_keys": ["score", "score"]}, "twice"),
        ({"layers": ["tripled"]}, "no 'layers/tripled'"),
        ({"obsm": ["X_pca"]}, "no 'obsm/X_pca'"),
        ({"var_names": ["G1", "X1"]}, "not in the store"),
        ({"transform": 3}, "transform"),
        ({"rank": 1}, "world_size"),
        ({"rank": 2, "world_size": 2}, "rank"),
    ],
)
def test_arguments(store: dao.Store, arguments: dict[str, Any], match: str) -> None:
    """Arguments that cannot be met are refused when the generator is made."""
    with pytest.raises(errors.DaoError, match=match):
        store.generator(**arguments)
    with pytest.raises(errors.ArgumentError):
        samplers.Shuffle(block=0)


def test_dtypes(store: dao.Store) -> None:
    """X comes in the dtype asked for; native is what is stored."""
    for dtype in ("float32", "float64", "int32", "uint16", np.int64):
        batch = next(iter(store.generator(5, dtype=dtype)))
        assert batch["X"].dtype == np.dtype(dtype)
    assert next(iter(store.generator(5, dtype="native")))["X"].dtype == np.uint16


def test_categories_are_those_of_the_whole_store(store: dao.Store) -> None:
    """Codes mean the same for every selection."""
    keys = ["cell_type", "stage", "dataset", "barcode"]
    whole = store.generator(50, obs_keys=keys)
    part = store.subset(cell_type="B", dataset="b").generator(50, obs_keys=keys)
    assert whole.categories == part.categories
    assert whole.categories["stage"] == ["early", "mid", "late"]
    assert whole.categories["dataset"] == ["a", "b"]
    assert len(whole.categories["barcode"]) == 130


def test_stats_and_explain(store: dao.Store) -> None:
    """stats count what was read, explain says what will be."""
    generator = store.generator(40)
    list(generator)
    stats = generator.stats
    assert stats.n_obs == 130
    assert stats.n_batches == 4
    assert stats.chunks_decoded == 4
    assert stats.bytes_read > 0
    assert 0 <= stats.waited_seconds <= stats.seconds
    assert "130 cells" in str(stats)
    text = generator.explain()
    assert "130 of 130 cells" in text
    assert "4 batches" in text
    assert "'local'" in text


def test_dropped_iterators_end_their_threads(store: dao.Store) -> None:
    """Dropping, breaking out, errors and exhaustion leave no thread behind."""
    for _ in range(10):
        iterator = iter(store.generator(2))
        next(iterator)
        del iterator
    for _ in store.generator(2):
        break
    iter(store.generator(2))
    list(store.generator(2))
    gc.collect()
    deadline = time.monotonic() + 10
    while prefetch_threads() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not prefetch_threads()


def test_slow_consumer_is_not_overrun() -> None:
    """The thread works at most the agreed number of items ahead."""
    made: list[int] = []

    def source() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    prefetcher = Prefetcher(lambda _: source(), depth=3)
    assert next(prefetcher) == 0
    time.sleep(0.3)
    assert len(made) <= 6
    prefetcher.close()
    assert list(prefetcher) == []


def test_no_window_is_begun_before_what_was_made_is_taken() -> None:
    """A source that waits goes on when the last item was taken, and ends when it is closed."""
    made: list[int] = []

    def source(wait_until_taken: Callable[[], None]) -> Iterator[int]:
        for i in range(100):
            if i % 3 == 0:
                wait_until_taken()
            made.append(i)
            yield i

    prefetcher = Prefetcher(source, depth=5)
    for taken in range(1, 7):
        assert next(prefetcher) == taken - 1
        time.sleep(0.05)
        assert len(made) == 3 * (taken // 3 + 1)
    prefetcher.close()
    assert list(prefetcher) == []
    assert not prefetch_threads()


@pytest.mark.parametrize("kind", ["fail", "short", "index"])
@pytest.mark.parametrize("x_format", ["csr", "dense"])
def test_faults_of_a_reader_are_errors(store: dao.Store, kind: str, x_format: str) -> None:
    """A backend that fails, or returns rows that do not fit, ends the stream with an error."""
    import dataclasses

    broken = dataclasses.replace(store, reader=FaultyReader(store.reader, 2, kind))
    genes = ["G5", "G1"] if x_format == "csr" else None
    generator = broken.generator(10, x_format=x_format, var_names=genes)
    with pytest.raises(errors.DaoError):
        list(generator)
    whole = dataclasses.replace(store, reader=FaultyReader(store.reader, 2, kind))
    with pytest.raises(errors.DaoError):
        list(whole.generator(10, x_format=x_format))
    assert not prefetch_threads()


def test_reading_goes_on_while_the_consumer_computes(store: dao.Store) -> None:
    """With a slow store and a slow consumer the time is that of one, not of both."""
    import dataclasses

    slow = dataclasses.replace(store, reader=LatencyReader(store.reader, 0.05))
    generator = slow.generator(13, sampler=samplers.Sequential(13))
    for _ in generator:
        time.sleep(0.06)
    assert generator.stats.waited_seconds < generator.stats.seconds / 2


@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=5),
    block=st.integers(1, 50),
    window=st.integers(1, 90),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 5),
)
@settings(max_examples=200, deadline=None)
def test_plans_visit_every_row_once(
    sizes: list[int], block: int, window: int, seed: int, epoch: int
) -> None:
    """Windows of any size partition the rows; any stretch of the stream can be had alone."""
    n = sum(sizes)
    kinds = samplers.Shuffle(block, window), samplers.Sequential(window), samplers.Random(window)
    for sampler in kinds:
        plan = sampler.plan(rows_of(*sizes), seed=seed, epoch=epoch)
        assert isinstance(sampler, samplers.Sampler)
        rows = [r for part in plan.rows(0, n) for r in part.tolist()]
        assert sorted(rows) == list(range(n))
        middle = [r for part in plan.rows(n // 3, n // 2) for r in part.tolist()]
        assert middle == rows[n // 3 : n // 2]


@given(
    n_rows=st.integers(0, 300),
    batch_size=st.integers(1, 40),
    world_size=st.integers(1, 5),
    n_workers=st.integers(1, 5),
    drop_last=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_shares(
    n_rows: int, batch_size: int, world_size: int, n_workers: int, drop_last: bool
) -> None:
    """Ranks and workers together visit every row once; all ranks have as many batches."""
    seen: list[int] = []
    counts = set()
    for rank in range(world_size):
        own: list[int] = []
        for worker in range(n_workers):
            share = Share(rank, world_size, worker, n_workers)
            start, stop = share.interval(n_rows, batch_size, drop_last=drop_last)
            assert worker == n_workers - 1 or (stop - start) % batch_size == 0 or stop <= start
            own += range(start, max(start, stop))
        whole = Share(rank, world_size).interval(n_rows, batch_size, drop_last=drop_last)
        assert own == list(range(*whole))
        counts.add(-(-len(own) // batch_size))
        seen += [r % n_rows for r in own] if n_rows else []
    assert len(counts) == 1
    if drop_last:
        assert len(set(seen)) == len(seen)
        assert n_rows - len(seen) < world_size * batch_size
    else:
        assert set(seen) == set(range(n_rows))
        assert len(seen) - n_rows < world_size


@given(
    ranges=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 60)), max_size=30),
    chunk=st.integers(1, 70),
)
@settings(max_examples=300, deadline=None)
def test_plan_ranges(ranges: list[tuple[int, int]], chunk: int) -> None:
    """Chunks are unique and ascending, just those that are touched, and ranges lie whole."""
    starts = np.array([s for s, _ in ranges], np.int64)
    stops = starts + np.array([n for _, n in ranges], np.int64)
    plan = plan_ranges(starts, stops, chunk)
    touched = {i // chunk for a, b in zip(starts, stops, strict=True) for i in range(a, b)}
    assert plan.chunks.tolist() == sorted(touched)
    decoded = (plan.chunks[:, None] * chunk + np.arange(chunk)).ravel()
    for a, b, at in zip(starts, stops, plan.starts, strict=True):
        assert decoded[at : at + b - a].tolist() == list(range(a, b))


@pytest.mark.parametrize("x_format", ["csr", "dense"])
def test_any_number_of_threads(
    write: Callable[..., dao.Store],
    make_study: Make,
    monkeypatch: pytest.MonkeyPatch,
    x_format: str,
) -> None:
    """One processor and sixteen give the same batches."""
    from dao import threads

    store = write({"a": make_study(0, 2_500, 300), "b": make_study(1, 900, 300)})
    epochs = []
    for n in (1, 2, 16):
        monkeypatch.setattr(threads, "n_threads", lambda n=n: n)
        monkeypatch.setattr(threads._Pool, "executor", None)
        epochs.append(list(store.generator(700, x_format=x_format)))
    for batches in zip(*epochs, strict=True):
        for other in batches[1:]:
            np.testing.assert_array_equal(batches[0]["index"], other["index"])
            assert abs(batches[0]["X"] - other["X"]).sum() == 0


def test_a_slow_consumer_is_not_run_over(write: Callable[..., dao.Store], make_study: Make) -> None:
    """While nobody asks for batches a few are made, and then no time is used."""
    made = 0

    def transform(batch: dict[str, Any]) -> dict[str, Any]:
        nonlocal made
        made += 1
        return batch

    store = write(make_study(0, 30_000, 20))
    generator = store.generator(64, transform=transform)
    batches = iter(generator)
    next(batches)
    settled = -1
    while made != settled:
        settled = made
        time.sleep(0.2)
    settled, began = made, time.process_time()
    time.sleep(0.3)
    assert made == settled
    assert 1 < made <= 6  # one in use, the others wait
    assert time.process_time() - began < 0.15
    assert 1 + sum(1 for _ in batches) == len(generator)


def test_small_batches_are_views_of_larger_ones(store: dao.Store) -> None:
    """Batches that share memory are as good as others: sorted, canonical, writable, own index."""
    batches = list(store.generator(7, obs_keys=["cell_type"], sampler="sequential"))
    whole = store.to_anndata().X
    for i, batch in enumerate(batches):
        x = batch["X"]
        assert x.has_sorted_indices
        assert x.indptr[0] == 0
        assert x.nnz == len(x.data) == len(x.indices) == x.indptr[-1]
        assert abs(x - whole[7 * i : 7 * i + 7]).sum() == 0
        x.data[:] = -1
    again = next(iter(store.generator(130, sampler="sequential")))
    assert again["X"].min() == 0


def test_an_error_comes_after_what_was_finished(store: dao.Store) -> None:
    """Batches that transform has returned are given before the error of a later one is raised."""

    def transform(batch: dict[str, Any]) -> dict[str, Any]:
        if 77 in batch["index"]:
            msg = "no more"
            raise ValueError(msg)
        return batch

    seen: list[int] = []

    def consume() -> None:
        for batch in store.generator(10, sampler="sequential", transform=transform):
            seen.extend(batch["index"].tolist())

    with pytest.raises(ValueError, match="no more"):
        consume()
    assert seen == list(range(70))


def test_making_a_generator_draws_no_order(store: dao.Store) -> None:
    """The order of an epoch is drawn when it begins: a permutation of all cells takes a while."""
    drawn = []

    class Counting(samplers.Random):
        def plan(self, rows: samplers.Rows, *, seed: int, epoch: int) -> samplers.EpochPlan:
            drawn.append(epoch)
            return super().plan(rows, seed=seed, epoch=epoch)

    generator = store.generator(10, sampler=Counting())
    generator.set_epoch(4)
    assert drawn == []
    assert sum(1 for _ in generator) == 13
    assert drawn == [4]
    with pytest.raises(errors.ArgumentError, match="batch_size=None"):
        store.generator(None, sampler=Counting())


@pytest.mark.parametrize("n_vars", [1, 63, 64, 65, 300])
def test_sparse_rows_of_genes_in_any_order(tmp_path: Path, n_vars: int) -> None:
    """Rows are sorted by the place of a gene among those asked for, with the counts of scipy."""
    random = np.random.default_rng(n_vars)
    x = sp.random(80, 300, 0.3, format="csr", dtype=np.float32, random_state=1)
    names = [f"G{i}" for i in range(300)]
    study = ad.AnnData(x, var=pd.DataFrame(index=names))
    store = dao.write_store(tmp_path / "s.dao", {"a": study}, shuffle=False, progress=False)
    chosen = random.permutation(300)[:n_vars]
    wanted = x[:, chosen].tocsr()
    wanted.sort_indices()
    generator = store.generator(30, sampler="sequential", var_names=[names[i] for i in chosen])
    found = sp.vstack([batch["X"] for batch in generator], format="csr")
    np.testing.assert_array_equal(found.indices, wanted.indices)
    np.testing.assert_array_equal(found.data, wanted.data)
    np.testing.assert_array_equal(found.indptr, wanted.indptr)
