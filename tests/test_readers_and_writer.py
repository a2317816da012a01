"""Eight processes stream one store while another one appends, replaces, removes and tidies up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import dao

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

N_READERS, N_VARS = 8, 30
# `make soak` takes a minute for it.
SECONDS = 60 if "DAO_SOAK_MINUTES" in os.environ else 4

# A cell's row of X follows from its name, whatever dataset and generation it is read from.
READER = """
import json, os, sys, threading
from pathlib import Path
import numpy as np
import dao

path, number, stop, n_vars = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
backend = ("local", "zarrs")[number % 2]

def one_epoch(store, seed):
    seen = []
    generator = store.generator(batch_size=50, obs_keys=["_index", "number"], x_format="dense",
                                var_names=[f"G{i}" for i in range(n_vars)], seed=seed)
    for batch in generator:
        numbers = batch["obs"]["number"].to_numpy()
        expected = (numbers[:, None] * 7 + np.arange(n_vars) * 3) % 11
        assert (batch["X"] == expected).all(), "a wrong row"
        seen.extend(batch["index"].tolist())
    assert sorted(seen) == list(range(store.n_obs)), "not each cell once"

def resources():
    return len(os.listdir("/proc/self/fd")), threading.active_count()

def reopened(seed):
    store = dao.load_store(path, backend)
    for again in range(2):
        one_epoch(store, seed + again)
    return store.manifest.generation

generations, counts = [reopened(0)], []
print("ready", flush=True)
while not stop.exists():
    generations.append(reopened(len(generations)))
    counts.append(resources())
print(json.dumps({"generations": generations, "counts": counts}))
"""


def study(start: int, n_obs: int) -> ad.AnnData:
    """Return cells whose X follows from their numbers."""
    numbers = np.arange(start, start + n_obs)
    x = (numbers[:, None] * 7 + np.arange(N_VARS) * 3) % 11
    obs = pd.DataFrame({"number": numbers}, index=[f"c{n}" for n in numbers])
    genes = pd.DataFrame(index=[f"G{i}" for i in range(N_VARS)])
    return ad.AnnData(x.astype(np.float32), obs=obs, var=genes)


def change(path: Path, seconds: float) -> int:
    """Append, replace, remove and tidy up again and again; return how many commits that were."""
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        options: Any = {"progress": False}
        dao.write_store(path, {f"n{n}": study(1000 + n, 120)}, mode="append", **options)
        dao.write_store(path, {"a": study(n, 150 + n % 7)}, mode="replace", **options)
        dao.validate_store(path, repair=True, old_generations=True)
        dao.load_store(path).remove(f"n{n}")
        assert dao.validate_store(path, repair=True, old_generations=True).ok
        n += 1
    return 3 * n


@pytest.mark.skipif(sys.platform != "linux", reason="counts file handles in /proc")
def test_nobody_disturbs_the_others(tmp_path: Path) -> None:
    """No error, no wrong row, a flat number of handles and threads, and nothing left over."""
    path, stop = tmp_path / "s.dao", tmp_path / "stop"
    dao.write_store(path, {"a": study(0, 150), "b": study(500, 200)}, progress=False)
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, str(path), str(i), str(stop), str(N_VARS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(N_READERS)
    ]
    try:
        started = [r.stdout.readline() if r.stdout else "" for r in readers]
        assert started == ["ready\n"] * N_READERS
        n_commits = change(path, SECONDS)
    finally:
        stop.touch()
        answers = [r.communicate() for r in readers]
    generations = set()
    for reader, (out, err) in zip(readers, answers, strict=True):
        assert reader.returncode == 0, err[-2000:]
        told = json.loads(out)
        generations.update(told["generations"])
        assert told["generations"] == sorted(told["generations"])
        handles, threads = np.array(told["counts"]).max(axis=0) - np.array(told["counts"][0])
        assert handles <= 2
        assert threads <= 2
    assert n_commits >= 3
    assert len(generations) > 2
    report = dao.validate_store(path, repair=True, old_generations=True)
    assert report.ok
    assert dao.load_store(path).history["kept"].sum() == 1
