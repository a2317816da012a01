"""Forks while threads of dao work: children read what their parent would, and never hang.

DAO_FORKS=200 makes that many forks for each backend; by default it is fewer.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dao import forks
from dao.errors import GeneratorStoppedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import anndata as ad

    import dao

SECONDS = 120
N_FORKS = int(os.environ.get("DAO_FORKS", "12"))

# Opens a store, begins to stream, and forks at random moments from the first one on. Children read
# all cells: some through the store of their parent, some through one that they open.
FORKING = """
import gc, json, os, random, signal, sys, time, traceback, warnings
import dao

place, n_forks, arguments = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
chance = random.Random(int(sys.argv[4]))
warnings.simplefilter("ignore")

def read(store):
    cells, total = 0, 0.0
    for batch in store.generator(50, obs_keys=["cell_type"], transform=dao.transforms.Log1p()):
        cells += len(batch["index"])
        total += float(batch["X"].sum())
    return cells, round(total, 1)

def child(store, number):
    signal.alarm(int(sys.argv[5]))
    gc.collect()
    found = read(dao.load_store(place, **arguments) if number % 4 == 3 else store)
    os.write(1, (json.dumps(found) + "\\n").encode())

children = []
iterator = store = None
for number in range(n_forks):
    if iterator is None:
        store = dao.load_store(place, **arguments)
        iterator = iter(store.generator(50, obs_keys=["cell_type"]))
    time.sleep(chance.choice([0, 0.001, 0.01, 0.05]))
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            child(store, number)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    children.append(pid)
    if len(children) == 3:
        assert os.waitpid(children.pop(0), 0)[1] == 0
    if number % 2:
        iterator = None
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
"""


def forked(tmp_path: Path, place: Any, arguments: dict[str, Any], **variables: str) -> list[Any]:
    """Run the program; return what its children have found."""
    program = tmp_path / "forking.py"
    program.write_text(FORKING)
    process = subprocess.run(
        [sys.executable, program, str(place), str(N_FORKS), json.dumps(arguments), "5", "90"],
        capture_output=True,
        text=True,
        timeout=SECONDS + N_FORKS,
        env={**os.environ, **variables},
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return [json.loads(line) for line in process.stdout.splitlines()]


def found_in(study: ad.AnnData) -> list[Any]:
    """Return what children should find."""
    return [study.n_obs, pytest.approx(float(np.log1p(study.X.astype("f4")).sum()), rel=1e-4)]


BACKENDS = ["local", "zarr", "zarrs", "memory", "dask", "h5ad", "cloud"]


@pytest.mark.once
@pytest.mark.parametrize("backend", BACKENDS)
def test_forks_at_random_moments(
    backend: str, write: Callable[..., dao.Store], make_study: Any, tmp_path: Path, web_server: Any
) -> None:
    """Whatever a thread is doing, importing, compiling, decoding, waiting: each child reads all."""
    study = make_study(0, 700)
    arguments: dict[str, Any] = {"backend": backend}
    if backend == "h5ad":
        place: Any = tmp_path / "a.h5ad"
        study.write_h5ad(place)
        arguments["organism"] = "human"
    else:
        place = write({"a": study}).path
    if backend == "cloud":
        place = web_server.url(place)
        arguments["cache_size"] = 0
    results = forked(tmp_path, place, arguments)
    assert results == [found_in(study)] * N_FORKS


def child_of(function: Callable[[], bool]) -> int:
    """Fork; return the exit status of a child that calls a function: 0 if it returns True."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(60)
            status = 0 if function() else 1
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]


def test_a_fork_waits_for_a_lock() -> None:
    """Threads take turns with a lock all the time; no child finds it taken."""
    lock, end = forks.Lock(), threading.Event()

    def take_turns() -> None:
        while not end.is_set():
            with lock:
                time.sleep(0.002)

    def take() -> bool:
        with lock:
            return True

    threads = [threading.Thread(target=take_turns) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert [child_of(take) for _ in range(10)] == [0] * 10
    finally:
        end.set()
        for thread in threads:
            thread.join()


def test_two_threads_that_fork_do_not_wait_for_each_other() -> None:
    """Each is at work itself, as a function in `transform=` would be that starts a process."""
    results: list[int] = []

    def fork() -> None:
        with forks.working():
            time.sleep(0.05)
            results.append(child_of(lambda: True))

    threads = [threading.Thread(target=fork) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [0, 0]
    assert child_of(lambda: True) == 0  # nobody is counted any more


def test_an_inherited_iterator_ends(write: Callable[..., dao.Store], make_study: Any) -> None:
    """Its threads are those of the parent: the child is told, and does not wait for them."""
    store = write({"a": make_study(0, 2_000)})
    for transform in (None, lambda batch: batch):
        iterator = iter(store.generator(10, transform=transform))
        next(iterator)

        def go_on(iterator: Any = iterator) -> bool:
            try:
                list(iterator)
            except GeneratorStoppedError:
                return True
            return False

        assert child_of(go_on) == 0
        assert len(list(iterator)) == 199  # the parent's goes on
