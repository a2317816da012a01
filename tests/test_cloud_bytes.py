"""Bytes that a store at a URL asks for: each once, whoever wants it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import dao

pytestmark = pytest.mark.once

pytest.importorskip("obstore")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dao.Store:
    """A store whose shards are larger than those that are read whole, of 16 windows."""
    random = np.random.default_rng(0)
    n, width, n_vars = 12_000, 120, 500
    columns = np.argsort(random.random((n, n_vars)), axis=1)[:, :width]
    values = random.integers(1, 60_000, n * width).astype(np.float32)
    counts = sp.csr_matrix(
        (values, np.sort(columns, axis=1).ravel(), np.arange(0, n * width + 1, width)),
        shape=(n, n_vars),
    )
    obs = pd.DataFrame({"batch": random.integers(0, 9, n)}, index=[f"c{i}" for i in range(n)])
    study = ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=[f"G{i}" for i in range(n_vars)]))
    path = tmp_path_factory.mktemp("bytes") / "a.dao"
    store = dao.write_store(path, {"a": study}, organism="human", progress=False)
    sizes = [a.shard_sizes for a in store.manifest.datasets[0].matrices["X"].arrays.values()]
    assert max(sum(sizes, ())) > 1 << 20
    return store


def asked_for(web_server: Any) -> dict[str, list[tuple[int, int]]]:
    """Return the ranges that were asked of each shard; for a whole one its size."""
    found: dict[str, list[tuple[int, int]]] = {}
    for _, path, wanted in web_server.asked:
        if "/c/" in path:
            size = Path(path).stat().st_size
            start, stop = wanted.removeprefix("bytes=").split("-") if wanted else (0, size - 1)
            found.setdefault(path, []).append((int(start), int(stop) + 1))
    return found


def assert_once(web_server: Any, store: dao.Store) -> None:
    """Check that no byte was asked for twice, and every shard of X was asked for."""
    found = asked_for(web_server)
    for ranges in found.values():
        for (_, stop), (start, _) in pairwise(sorted(ranges)):
            assert stop <= start
    files = {f"{store.path}/{f}" for f in shards(store)}
    assert set(found) == files


def shards(store: dao.Store) -> list[str]:
    root = Path(store.path)
    return [str(p.relative_to(root)) for p in root.glob("datasets/*/X/*/c/*")]


def epoch(store: dao.Store, sampler: Any, **arguments: Any) -> float:
    """Return the sum of an epoch."""
    return sum(float(b["X"].sum()) for b in store.generator(128, sampler=sampler, **arguments))


SAMPLERS = {
    "sequential": dao.samplers.Sequential(window=700),
    "shuffle": dao.samplers.Shuffle(window=1024, block=64),
    "random": dao.samplers.Random(window=700),
}


@pytest.mark.parametrize("cached", ["on disk", "in memory"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_each_byte_is_asked_for_once(
    local: dao.Store, web_server: Any, tmp_path: Path, sampler: str, cached: str
) -> None:
    """Windows that are on their way at the same time share what they want, in every order."""
    told = {"cache_dir": tmp_path} if cached == "on disk" else {"cache_size": 0}
    web_server.seconds, web_server.most = 0.003, 0
    store = dao.load_store(web_server.url(local.path), **told)
    expected = float(local.to_anndata().X.sum(dtype=np.float64))
    for seed in range(2):
        assert epoch(store, SAMPLERS[sampler], seed=seed) == pytest.approx(expected, rel=1e-6)
        assert_once(web_server, local)
    assert web_server.most <= 12


@pytest.mark.parametrize("backend", ["cloud", "zarrs"])
def test_threads_share_what_they_ask_for(
    local: dao.Store, web_server: Any, tmp_path: Path, backend: str
) -> None:
    """Several streams of one store, and of several that share a folder, read each byte once."""
    web_server.seconds, web_server.most = 0.003, 0
    told: dict[str, Any] = {"cache_dir": tmp_path} if backend == "cloud" else {}
    stores = [dao.load_store(web_server.url(local.path), backend, **told)]
    if backend == "cloud":
        stores.append(dao.load_store(web_server.url(local.path), **told))
    found: list[float] = []
    threads = [
        threading.Thread(target=lambda s=store, k=k: found.append(epoch(s, "random", seed=k)))
        for store in stores
        for k in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = float(local.to_anndata().X.sum(dtype=np.float64))
    assert found == [pytest.approx(expected, rel=1e-6)] * len(threads)
    assert_once(web_server, local)
    assert web_server.most <= 12


def test_one_matrix_asked_for_twice_in_a_request(local: dao.Store, web_server: Any) -> None:
    """A request does not wait for itself, nor ask twice where rows come twice."""
    store = dao.load_store(web_server.url(local.path), cache_size=0)
    rows = [5, 11_000, 5, 700, 5]
    found = store.reader.window("X", [("a", np.array(rows)), ("a", np.array(rows[::-1]))])
    assert [len(part) for part in found] == [5, 5]
    assert_once(web_server, local)


def test_little_memory_reads_again(local: dao.Store, web_server: Any) -> None:
    """What memory cannot hold is read again, and is right."""
    store = dao.load_store(web_server.url(local.path), cache_size=0, memory="2MB")
    expected = float(local.to_anndata().X.sum(dtype=np.float64))
    assert epoch(store, SAMPLERS["random"]) == pytest.approx(expected, rel=1e-6)


def read_elsewhere(url: str, cache: str, begin: Any, answers: Any) -> None:
    begin.wait()
    answers.put(epoch(dao.load_store(url, cache_dir=cache), SAMPLERS["random"]))


def test_processes_share_a_download(local: dao.Store, web_server: Any, tmp_path: Path) -> None:
    """Two processes with one cold cache download it once; tables and descriptions, too."""
    context = multiprocessing.get_context("spawn")
    begin, answers = context.Event(), context.Queue()
    told = web_server.url(local.path), str(tmp_path), begin, answers
    running = [context.Process(target=read_elsewhere, args=told) for _ in range(2)]
    for process in running:
        process.start()
    web_server.seconds = 0.01
    begin.set()
    found = [answers.get(timeout=120) for _ in running]
    for process in running:
        process.join()
    expected = float(local.to_anndata().X.sum(dtype=np.float64))
    assert found == [pytest.approx(expected, rel=1e-6)] * 2
    assert_once(web_server, local)
    others = [one[1] for one in web_server.asked if "/c/" not in one[1]]
    assert sum("dao.json" in path for path in others) == 2
    kept = [path for path in others if path.endswith(".parquet")]
    assert len(kept) == len(set(kept))


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_is_gone_holds_nobody_up(
    local: dao.Store,
    web_server: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ending: signal.Signals,
) -> None:
    """What a process claimed is read by another one: at once if it was killed, later if stopped."""
    from dao_backends.cloud.cache import Cache
    from dao_backends.cloud.claims import _Claims

    monkeypatch.setattr("dao_backends.cloud.fetch._PATIENCE", 0.2)
    monkeypatch.setattr(_Claims, "shares", _Claims.shares)
    opened: set[tuple[str, int, int]] = set()
    plain = Cache.open

    def noted(cache: Cache, *told: Any) -> Any:
        opened.add(told)
        return plain(cache, *told)

    monkeypatch.setattr(Cache, "open", noted)
    url = web_server.url(local.path)
    epoch(dao.load_store(url, cache_dir=tmp_path / "other"), "sequential")
    cache = Cache(tmp_path / "shared", 1 << 30)
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        for told in sorted(opened):
            file = plain(cache, *told)
            assert len(file.claim(np.arange(file.n_chunks + 1))) == file.n_chunks + 1
        os.write(theirs, b"x")
        time.sleep(60)
        os._exit(0)
    try:
        os.read(ours, 1)
        os.kill(child, ending)
        web_server.asked.clear()
        store = dao.load_store(url, cache_dir=tmp_path / "shared")
        expected = float(local.to_anndata().X.sum(dtype=np.float64))
        assert epoch(store, SAMPLERS["sequential"]) == pytest.approx(expected, rel=1e-6)
        assert_once(web_server, local)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ours)
        os.close(theirs)
