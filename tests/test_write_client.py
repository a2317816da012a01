"""Writing by the workers of a real cluster: the same bytes, lost workers, errors, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

distributed = pytest.importorskip("distributed")

import dask  # noqa: E402

import dao  # noqa: E402
from dao.errors import ArgumentError, DaoWarning, SourceError, StorageError  # noqa: E402
from dao.format import encodings  # noqa: E402
from dao.write import buckets  # noqa: E402
from dao.write.cluster import spread  # noqa: E402
from dao.write.cluster.attempt import n_busy  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.once

FORMS: tuple[Any, ...] = (sp.csr_matrix, sp.csc_matrix, np.asarray)


def study(seed: int, n_obs: int = 4000, form: Any = sp.csr_matrix) -> ad.AnnData:
    """Return counts with a layer, an obsm, and ids that repeat."""
    random = np.random.default_rng(seed)
    x = random.poisson(0.2, (n_obs, 300)).astype(np.float32)
    x[n_obs // 2, 3] = 70_000 if seed else 7
    adata = ad.AnnData(form(x), var=pd.DataFrame(index=[f"g{i}" for i in range(300)]))
    adata.var["id"] = [f"E{i // 2 if i < 20 and seed == 1 else i}" for i in range(300)]
    adata.obs["kind"] = pd.Categorical(random.choice(list("abc"), n_obs))
    adata.obs["n"] = random.random(n_obs)
    adata.layers["half"] = form(x / 2)
    adata.obsm["X_pca"] = random.normal(size=(n_obs, 4)).astype(np.float32)
    return adata


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three studies: by rows, by columns with sums, dense."""
    folder = tmp_path_factory.mktemp("studies")
    paths = {f"study{i}": folder / f"{i}.h5ad" for i in range(3)}
    for i, (path, form) in enumerate(zip(paths.values(), FORMS, strict=True)):
        study(i, 4000 + i, form).write_h5ad(path)
    return paths


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two worker processes, started once, that write small shards."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def divided(client: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every dataset is written in many tasks, and has many shards."""
    monkeypatch.setattr(spread, "_WHOLE_ELEMENTS", 1000)
    monkeypatch.setattr(spread, "_RANGE_ELEMENTS", 50_000)
    usual = encodings.SHARD_ELEMENTS, buckets._BUCKET_ELEMENTS
    monkeypatch.setattr(encodings, "SHARD_ELEMENTS", 1 << 17)
    client.register_plugin(_Sizes(1 << 17, 1 << 14))
    yield
    client.register_plugin(_Sizes(*usual))


class _Sizes(distributed.WorkerPlugin):  # type: ignore[misc]
    """Sets the size of shards and buckets, also in workers that are started later."""

    name = "sizes"

    def __init__(self, shard: int, bucket: int) -> None:
        self.shard, self.bucket = shard, bucket

    def setup(self, worker: Any) -> None:
        from dao.format import encodings
        from dao.write import buckets

        encodings.SHARD_ELEMENTS, buckets._BUCKET_ELEMENTS = self.shard, self.bucket


def content(path: Path) -> dict[str, Any]:
    """Return every file of a store; manifests without their times, checksums and the random id."""
    found: dict[str, Any] = {}
    for file in (p for p in path.rglob("*") if p.is_file()):
        name = str(file.relative_to(path))
        found[name] = file.read_bytes()
        if name == "dao.json" or name.startswith("generations/"):
            manifest = json.loads(found[name])
            for record in (manifest, *manifest["history"]):
                for key in ("uuid", "created", "checksum"):
                    record.pop(key, None)
            found[name] = manifest
    return found


def write(path: Path, sources: Any, **options: Any) -> dict[str, Any]:
    """Write a store and return its files."""
    arguments = {"feature_key": "id", "layers": ["half"], "obsm": ["X_pca"], "progress": False}
    dao.write_store(path, sources, **{**arguments, **options})
    return content(path)


@contextmanager
def meanwhile(root: Path, action: Callable[[], object], n_folders: int = 1) -> Iterator[None]:
    """Do something as soon as workers have begun so many tasks."""

    def wait() -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if len(list(root.glob("datasets/.writing-*/*/store"))) >= n_folders:
                action()
                return
            time.sleep(0.001)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        thread.join()


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "clustered, little memory": {"cluster_by": "kind", "memory": "1MB"},
    "not shuffled, compact": {"shuffle": False, "profile": "compact"},
}


@pytest.mark.parametrize("how", OPTIONS)
def test_the_same_bytes(tmp_path: Path, files: dict[str, Path], client: Any, how: str) -> None:
    """Datasets as a whole: every file is the same, and so is the manifest."""
    alone = write(tmp_path / "alone.dao", files, **OPTIONS[how])
    assert write(tmp_path / "spread.dao", files, client=client, **OPTIONS[how]) == alone
    assert {p.name for p in tmp_path.iterdir()} == {"alone.dao", "spread.dao"}


@pytest.mark.parametrize("how", OPTIONS)
def test_the_same_bytes_of_divided_datasets(
    tmp_path: Path, files: dict[str, Path], client: Any, divided: None, how: str
) -> None:
    """Ranges of rows, and of columns, into runs, runs into shards: every file is the same."""
    alone = write(tmp_path / "alone.dao", files, **OPTIONS[how])
    assert sum(name.startswith("datasets/study0/X/data/c/") for name in alone) > 1
    assert write(tmp_path / "spread.dao", files, client=client, **OPTIONS[how]) == alone


def test_append_replace_and_other_sources(
    tmp_path: Path, files: dict[str, Path], client: Any
) -> None:
    """Every mode; AnnData in memory, and cells of a store; by the address of the scheduler."""
    write(tmp_path / "old.dao", files)
    old = dao.load_store(tmp_path / "old.dao").subset(kind=["a", "b"])
    found = []
    for name, given in (("alone.dao", None), ("spread.dao", client.scheduler.address)):
        path = tmp_path / name
        write(path, {"first": files["study0"], "second": study(5)}, client=given)
        write(path, {"third": old.subset(dataset="study2")}, mode="append", client=given)
        write(path, {"first": files["study1"]}, mode="replace", client=given)
        found.append(content(path))
    assert found[0] == found[1]
    assert not dao.load_store(tmp_path / "spread.dao").validate().problems


def test_warnings_come_back(tmp_path: Path, client: Any) -> None:
    """What the user is told of a source, whoever has read it."""
    adata = study(0)
    adata.uns["table"] = pd.DataFrame({"a": [1]})
    adata.write_h5ad(tmp_path / "a.h5ad")
    with pytest.warns(DaoWarning, match="uns 'table' of 'a'"):
        write(tmp_path / "s.dao", tmp_path / "a.h5ad", client=client)


def test_a_worker_that_is_killed(
    tmp_path: Path, files: dict[str, Path], client: Any, divided: None
) -> None:
    """Its tasks are done by others; nothing of what it left is in the store."""
    alone = write(tmp_path / "alone.dao", files)
    pids = client.run(os.getpid)
    path, victim = tmp_path / "spread.dao", min(pids.values())
    with meanwhile(path, lambda: os.kill(victim, signal.SIGKILL), n_folders=4):
        assert write(path, files, client=client) == alone
    client.wait_for_workers(2, timeout=60)
    assert victim not in client.run(os.getpid).values()


@pytest.mark.parametrize("mode", ["create", "append"])
def test_errors_of_workers(
    tmp_path: Path, files: dict[str, Path], client: Any, divided: None, mode: str
) -> None:
    """A damaged source is the error that it is without a cluster; the disk is as it was."""
    damaged, path = tmp_path / "damaged.h5ad", tmp_path / "s.dao"
    study(9).write_h5ad(damaged, compression="gzip")
    with h5py.File(damaged, "r+") as file:
        stored = file["X/data"].id
        place = stored.get_chunk_info(stored.get_num_chunks() - 1)
    with damaged.open("r+b") as raw:
        raw.seek(place.byte_offset + place.size // 2)
        raw.write(b"damage")
    before = write(path, {"old": files["study0"]}) if mode == "append" else {}
    messages = []
    for given in (None, client):
        with pytest.raises(SourceError, match="cannot be read") as caught:
            write(path, {**files, "damaged": damaged}, mode=mode, client=given)
        messages.append(str(caught.value))
        assert not any(client.run(n_busy, "").values())
        assert (content(path) if path.exists() else {}) == before
    assert messages[0] == messages[1]


@pytest.fixture
def listening() -> Iterator[None]:
    """Listen to Ctrl-C, also where tests run in the background, which are told not to."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c(
    tmp_path: Path, files: dict[str, Path], client: Any, divided: None, listening: None
) -> None:
    """Tasks are called back, nothing is left behind, and the cluster is ready for the next write."""
    path = tmp_path / "s.dao"
    before = client.run_on_scheduler(_n_tasks)  # what errors of other tests still hold
    with (
        meanwhile(path, lambda: signal.raise_signal(signal.SIGINT), n_folders=3),
        pytest.raises(KeyboardInterrupt),
    ):
        write(path, files, client=client)
    assert not path.exists()
    until = time.monotonic() + 20
    while client.run_on_scheduler(_n_tasks) > before and time.monotonic() < until:
        time.sleep(0.1)
    assert client.run_on_scheduler(_n_tasks) <= before
    assert not path.exists()
    assert write(path, files, client=client) == write(tmp_path / "alone.dao", files)


def _n_tasks(dask_scheduler: Any) -> int:
    return len(dask_scheduler.tasks)


def test_what_cannot_be(tmp_path: Path, files: dict[str, Path], client: Any) -> None:
    """What is no client of a cluster, and clients that are of no use, are told before anything."""
    closed = distributed.Client(client.scheduler.address, set_as_default=False)
    closed.close()
    for given, message in ((object(), r"give a dask\.distributed"), (closed, "is closed")):
        with pytest.raises(ArgumentError, match=message):
            write(tmp_path / "s.dao", files, client=given)
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(StorageError, match="No dask scheduler answers"),
    ):
        write(tmp_path / "s.dao", files, client="tcp://127.0.0.1:1")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs a path that others see else")
def test_folders_that_are_not_shared(
    tmp_path: Path, files: dict[str, Path], client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What workers do not see is named, before anything is written."""
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path / "own")
    mine = Path("/proc/self/cwd")
    with pytest.raises(StorageError, match="does not see /proc/self/cwd"):
        write(mine / "s.dao", files, client=client)
    study(0).write_h5ad("own.h5ad")
    with pytest.raises(StorageError, match=r"does not see /proc/self/cwd/own\.h5ad"):
        write(tmp_path / "s.dao", mine / "own.h5ad", client=client)
    assert not (tmp_path / "s.dao").exists()
    assert [p.name for p in (tmp_path / "own").iterdir()] == ["own.h5ad"]
    # Relative paths are those of this process.
    assert write(Path("s.dao"), Path("own.h5ad"), client=client)


def test_workers_that_are_killed_again_and_again(
    tmp_path: Path, files: dict[str, Path], client: Any
) -> None:
    """An error that says so; nothing is left behind."""
    client.run_on_scheduler(_allow_failures, 0)
    path = tmp_path / "s.dao"
    pids = client.run(os.getpid).values()
    with (
        meanwhile(path, lambda: [os.kill(pid, signal.SIGKILL) for pid in pids]),
        pytest.raises(StorageError, match="lost its workers"),
    ):
        write(path, files, client=client)
    assert not path.exists()
    client.run_on_scheduler(_allow_failures, 3)
    client.wait_for_workers(1, timeout=120)


def _allow_failures(n: int, dask_scheduler: Any) -> None:
    dask_scheduler.allowed_failures = n
