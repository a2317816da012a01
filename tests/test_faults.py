"""What goes wrong while a backend reads: the right error in time, never wrong data, never a hang."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import dao
from dao import samplers
from dao.errors import ArgumentError, BackendContractError, CorruptStoreError, StorageError
from dao.testing import FaultyReader, LatencyReader, damaged

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

BACKENDS = ["local", "zarr", "zarrs", "memory", "dask"]
SMALL = samplers.Shuffle(8, 100)  # many windows


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of sparse and of dense cells."""
    path = tmp_path_factory.mktemp("faults") / "store.dao"
    random = np.random.default_rng(0)

    def study(name: str, x: Any) -> ad.AnnData:
        adata = ad.AnnData(x, var=pd.DataFrame(index=[f"g{i}" for i in range(x.shape[1])]))
        adata.obs_names = [f"{name}{i}" for i in range(x.shape[0])]
        return adata

    sparse = sp.csr_matrix(random.poisson(0.2, (500, 80)).astype(np.float32))
    dense = random.normal(size=(400, 80)).astype(np.float32)
    studies = {"sparse": study("s", sparse), "dense": study("d", dense)}
    dao.write_store(path, studies, progress=False)
    return path


def opened(path: Path, backend: str, dataset: str = "sparse") -> dao.Store:
    """Open the store, or skip what is not installed."""
    if backend == "dask":
        pytest.importorskip("dask")
    return dao.load_store(path, backend=backend).subset(dataset=dataset)


def rows(store: dao.Store, **arguments: Any) -> list[Any]:
    """Return all cells as one table, in their order in the store."""
    batches = list(store.generator(64, sampler=SMALL, x_format="dense", **arguments))
    index = np.concatenate([b["index"] for b in batches])
    return [np.concatenate([b["X"] for b in batches])[np.argsort(index)], np.sort(index)]


def assert_right(store: dao.Store, path: Path) -> None:
    """The store streams what the default backend does."""
    for mine, theirs in zip(
        rows(store), rows(opened(path, "local", store.datasets[0])), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("kind", "error"),
    [("fail", CorruptStoreError), ("short", BackendContractError), ("index", CorruptStoreError)],
)
@pytest.mark.parametrize("nth", [1, 3])
def test_a_spoiled_answer(
    path: Path, backend: str, kind: str, error: type[Exception], nth: int
) -> None:
    """What a reader answers wrongly ends the stream; the next epoch is right again."""
    store = opened(path, backend)
    faulty = replace(store, reader=FaultyReader(store.reader, nth, kind))
    generator = faulty.generator(50, sampler=SMALL)
    given: list[Any] = []
    with pytest.raises(error):
        given.extend(generator)
    assert len(given) <= 2 * nth
    assert sum(len(b["index"]) for b in generator) == 500
    assert_right(faulty, path)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_answer_that_is_late(path: Path, backend: str) -> None:
    """A read that hangs for a while holds the stream up as long, and spoils nothing."""
    store = opened(path, backend)
    hanging = replace(store, reader=FaultyReader(store.reader, 2, "hang", seconds=0.3))
    began = time.perf_counter()
    assert_right(hanging, path)
    assert time.perf_counter() - began >= 0.3
    assert_right(replace(store, reader=LatencyReader(store.reader, 0.005)), path)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_stream_that_hangs_can_be_left(path: Path, backend: str) -> None:
    """Who stops while a read hangs does not wait for long."""
    store = opened(path, backend)
    hanging = replace(store, reader=FaultyReader(store.reader, 3, "hang", seconds=0.6))
    batches = iter(hanging.generator(50, sampler=SMALL))
    next(batches)
    began = time.perf_counter()
    del batches
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["flip", "truncate", "missing", "fail"])
@pytest.mark.parametrize("array", ["sparse/X/data", "sparse/X/indices", "dense/X"])
def test_damage_that_passes(path: Path, backend: str, kind: str, array: str) -> None:
    """Damaged bytes are noticed by a store that is open, and nothing of it stays behind."""
    dataset = array.partition("/")[0]
    store = opened(path, backend, dataset)
    fresh = opened(path, backend, dataset)
    if backend != "memory":
        assert_right(store, path)
    with damaged(path, f"datasets/{array}", kind):
        for one in (store, fresh):
            for x_format in ("csr", "dense"):
                with pytest.raises((CorruptStoreError, StorageError)):
                    list(one.generator(64, sampler=SMALL, x_format=x_format))
    for one in (store, fresh):
        assert_right(one, path)


def test_what_is_held_is_out_of_reach(path: Path) -> None:
    """Cells in memory do not notice that the disk fails."""
    held = opened(path, "local").to_memory()
    with damaged(path, "datasets/sparse/X/data", "missing"):
        mine = rows(held)
    np.testing.assert_array_equal(mine[0], rows(opened(path, "local"))[0])


def test_damage_that_does_not_exist(path: Path) -> None:
    """A wrong kind or file is named."""
    with (
        pytest.raises(ArgumentError, match="flip"),
        damaged(path, "datasets/sparse/X/data", "flop"),
    ):
        pass
    with pytest.raises(ArgumentError, match="no file"), damaged(path, "datasets/sparse/Y/data"):
        pass
