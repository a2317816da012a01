"""X and obs as dask collections, and the dask backend, on threads, processes and a real cluster."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

pytest.importorskip("dask.dataframe")
distributed = pytest.importorskip("distributed")

import dask  # noqa: E402

import dao  # noqa: E402
from dao.errors import (  # noqa: E402
    ArgumentError,
    CorruptStoreError,
    StorageError,
    UnknownColumnError,
)
from dao.lazy.blocks import blocks, bounds  # noqa: E402
from dao.testing import BackendContract, FaultyReader, LatencyReader  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.once

SCHEDULERS = ["threads", "processes", "cluster"]


def study(seed: int, n_obs: int, n_vars: int = 60) -> ad.AnnData:
    """Return counts with a layer, an obs column of each kind, and genes of their own order."""
    random = np.random.default_rng(seed)
    x = sp.csr_matrix(random.poisson(0.15, (n_obs, n_vars)).astype(np.float32))
    genes = [f"g{i}" for i in random.permutation(80)[:n_vars]]
    adata = ad.AnnData(x, var=pd.DataFrame(index=genes))
    adata.obs_names = [f"{seed}-{i}" for i in range(n_obs)]
    adata.obs["group"] = pd.Categorical(random.choice(["a", "b", "c"], n_obs))
    adata.obs["total"] = np.asarray(x.sum(axis=1)).ravel()
    adata.layers["half"] = x / 2
    return adata


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of three studies, one of which has several chunks, and one has no cells."""
    path = tmp_path_factory.mktemp("dask") / "store.dao"
    sizes = {"a": 150, "large": 9000, "none": 0, "b": 90}
    studies = {name: study(i, n) for i, (name, n) in enumerate(sizes.items())}
    dao.write_store(path, studies, layers=["half"], progress=False)
    return path


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker processes, started once."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as cluster:
        yield cluster


@pytest.fixture(params=SCHEDULERS)
def scheduler(request: pytest.FixtureRequest) -> Iterator[str]:
    """Make dask use threads, processes or a cluster, as a user would."""
    if request.param == "cluster":
        with distributed.Client(request.getfixturevalue("cluster")):
            yield request.param
    else:
        with dask.config.set(scheduler=request.param, num_workers=2):
            yield request.param


def selections(store: dao.Store) -> dict[str, dao.Store]:
    """Return a selection of each kind."""
    some = np.random.default_rng(1).integers(0, store.n_obs, 300)
    return {
        "everything": store,
        "part": store.subset(group=["a", "c"]),
        "ordered, with repeats": store.take(some),
        "features": store.subset(dataset=["b", "large"]).select_features(store.var_names[::-7]),
        "nothing": store.take([]),
    }


def test_equal_on_every_scheduler(path: Path, scheduler: str) -> None:
    """X, layers and obs of every kind of selection are those of the store itself."""
    store = dao.load_store(path)
    kinds = selections(store)
    for name in ["part"] if scheduler == "processes" else kinds:  # they are started each time
        chosen = kinds[name]
        x = chosen.to_dask(rows_per_block=3000)
        assert x.shape == chosen.shape, name
        obs = chosen.obs_to_dask(rows_per_block=3000)
        assert obs.npartitions == x.numblocks[0]
        turned = x[::-1]  # blocks travel, and are joined
        got, backwards, total = dask.compute([*x.to_delayed().ravel()], turned, turned.sum(axis=0))
        table = obs.compute()
        parts = [batch["X"] for batch in chosen.generator(10_000, sampler="sequential")]
        expected = parts[0] if parts else sp.csr_matrix(chosen.shape, dtype=np.float32)
        assert (sp.vstack(got, format="csr") != expected).nnz == 0
        np.testing.assert_allclose(total, np.asarray(expected.sum(axis=0)).ravel())
        assert type(backwards) is sp.csr_matrix
        assert (backwards != expected[::-1]).nnz == 0
        assert list(table.index) == list(range(chosen.n_obs))
        pd.testing.assert_frame_equal(
            table.set_index("obs_names").rename_axis(None), chosen.obs, check_index_type=False
        )


def test_forms(path: Path) -> None:
    """Dense blocks, dtypes, layers and transforms are what the generator gives."""
    store = dao.load_store(path).subset(dataset=["a", "b"])
    for arguments in (
        {"x_format": "dense"},
        {"x_format": "dense", "dtype": "float64", "transform": ["normalize_total", "log1p"]},
        {"transform": dao.transforms.NormalizeTotal(10.0, totals="total")},
    ):
        (batch,) = store.generator(1000, sampler="sequential", **arguments)  # type: ignore[arg-type]
        got = store.to_dask(**arguments).compute()  # type: ignore[arg-type]
        assert type(got) is type(batch["X"])
        assert got.dtype == batch["X"].dtype
        difference = abs(got - batch["X"])
        assert difference.max() == 0
    half = store.to_dask("half", rows_per_block=100).compute()
    assert (half != store.to_anndata().layers["half"]).nnz == 0


def test_blocks_begin_with_chunks(path: Path) -> None:
    """Rows in store order are cut where chunks begin; all of them are there, once."""
    store = dao.load_store(path)
    cuts = bounds(store, "X", 5000)
    assert cuts[0] == 0
    assert cuts[-1] == store.n_obs
    assert np.diff(cuts).max() <= 5000
    reader: Any = store.reader
    (lengths,) = reader.row_lengths("X", [("large", np.arange(9000))])
    starts = np.cumsum(lengths) - lengths
    chunk = store.manifest.datasets[store.manifest.ordinals["large"]].matrices["X"].values.chunk
    inside = [c - 150 for c in cuts if 150 < c < 9150]
    assert inside
    for row in inside:
        assert starts[row] // chunk != starts[row - 1] // chunk
    found = blocks(store.selection, cuts)
    assert [(block.start, block.stop) for block in found] == list(pairwise(cuts))
    assert all(len(pickle.dumps(block)) < 500 for block in found)


def test_aligned_with_obs(path: Path) -> None:
    """A block of X and a partition of obs are of the same cells."""
    store = dao.load_store(path).subset(group="b")
    x, obs = store.to_dask(rows_per_block=300), store.obs_to_dask(["total"], rows_per_block=300)
    assert obs.known_divisions
    totals = dask.compute(*(part["total"] for part in obs.partitions))
    for block, total in zip(dask.compute(*x.to_delayed().ravel()), totals, strict=True):
        np.testing.assert_array_equal(np.asarray(block.sum(axis=1)).ravel(), total)


def test_what_cannot_be(path: Path) -> None:
    """Wrong arguments are errors before anything is read."""
    store = dao.load_store(path)
    with pytest.raises(ArgumentError, match="rows_per_block"):
        store.to_dask(rows_per_block=0)
    with pytest.raises(ArgumentError, match="map_blocks"):
        store.to_dask(transform=lambda batch: batch)
    with pytest.raises(UnknownColumnError, match="group"):
        store.obs_to_dask(["grup"])
    with pytest.raises(ArgumentError, match="client"):
        dao.load_store(path, backend="dask", client=7)
    with pytest.raises(ArgumentError, match="timeout"):
        dao.load_store(path, backend="dask", timeout=0)


class TestDask(BackendContract):
    """The contract, on threads."""

    backend_name = "dask"


class TestDaskCluster(BackendContract):
    """The contract, on two processes."""

    backend_name = "dask"

    @pytest.fixture(autouse=True)
    def _client(self, cluster: Any) -> Iterator[None]:
        with distributed.Client(cluster):
            yield


def test_streams_the_same(path: Path, scheduler: str) -> None:
    """The same rows in the same order on every scheduler."""
    mine = dao.load_store(path, backend="dask").generator(333, obs_keys=["group"])
    theirs = dao.load_store(path).generator(333, obs_keys=["group"])
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(one["index"], other["index"])
        assert (one["X"] != other["X"]).nnz == 0
        pd.testing.assert_frame_equal(one["obs"], other["obs"])
    assert mine.stats.chunks_decoded > 0


def test_a_cluster_by_its_address(path: Path, cluster: Any) -> None:
    """A client is used that is given as such or by address, also where the store was pickled to."""
    expected = dao.load_store(path).to_anndata().X
    with distributed.Client(cluster, set_as_default=False) as client:
        for given in (client, cluster.scheduler_address):
            store = dao.load_store(path, backend="dask", client=given)
            before = _tasks(client)
            assert not (expected != store.to_anndata().X).nnz
            assert _tasks(client) > before
            copy = pickle.loads(pickle.dumps(store))
            before = _tasks(client)
            assert not (expected != copy.to_anndata().X).nnz
            assert _tasks(client) > before
            copy.reader.close()
            store.reader.close()


def _tasks(client: Any) -> int:
    count = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_counter)
    return int(count)


def test_errors_of_workers(path: Path, cluster: Any, tmp_path: Path) -> None:
    """Damage that a worker meets, a worker that dies and one that hangs are errors, in time."""
    import shutil

    copy = tmp_path / "copy.dao"
    shutil.copytree(path, copy)
    shard = copy / "datasets" / "large" / "X" / "data" / "c" / "0"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 4
    shard.write_bytes(content)
    with distributed.Client(cluster):
        flaky = dao.load_store(path, backend="dask")
        spoiled = FaultyReader(flaky.reader.reader, 1)  # type: ignore[attr-defined]
        reader = type(flaky.reader)(spoiled, flaky.reader._scheduler)  # type: ignore[attr-defined, call-arg]
        n_obs = sum(len(b["index"]) for b in replace(flaky, reader=reader).generator(500))
        assert n_obs == flaky.n_obs  # each worker failed once, and was asked again
        with pytest.raises(CorruptStoreError, match="large"):
            list(dao.load_store(copy, backend="dask").generator(500))
        slow = dao.load_store(path, backend="dask", timeout=0.5)
        far = LatencyReader(slow.reader.reader, seconds=3)  # type: ignore[attr-defined]
        reader = type(slow.reader)(far, slow.reader._scheduler)  # type: ignore[attr-defined, call-arg]
        with pytest.raises(StorageError, match=r"0\.5 s"):
            list(replace(slow, reader=reader).generator(500))


def test_a_worker_that_dies(path: Path, cluster: Any) -> None:
    """A cluster that loses the workers that read is an error that says so, and works again."""
    with distributed.Client(cluster) as client:
        client.run_on_scheduler(_allow_failures, 0)
        deadly = dao.load_store(path, backend="dask")
        reader: Any = deadly.reader
        dying = type(reader)(FaultyReader(reader.reader, 1, "die"), reader._scheduler)
        with pytest.raises(StorageError, match="lost"):
            list(replace(deadly, reader=dying).generator(500))
        client.run_on_scheduler(_allow_failures, 3)
        client.wait_for_workers(1, timeout=120)
        assert sum(len(b["index"]) for b in deadly.generator(500)) == deadly.n_obs


def _allow_failures(n: int, dask_scheduler: Any) -> None:
    dask_scheduler.allowed_failures = n
