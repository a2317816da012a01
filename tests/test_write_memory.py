"""Writing stays within its memory: the growth of a process, whatever the number of cells."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata.io import write_elem

pytestmark = pytest.mark.once

CELLS, VALUES, GENES = 100_000, 100, 500
MEMORY, BESIDE = 64_000_000, 120_000_000

# Writes a small store, and then one that is larger than its memory; tells the growth and the content.
WRITE = """
import json, sys
from pathlib import Path
import dao

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024

small, large, folder, options = sys.argv[1:]
options = json.loads(options)
dao.write_store(f"{folder}/small.dao", small, progress=False, **options)
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
store = dao.write_store(f"{folder}/large.dao", large, memory="64MB", progress=False, **options)
print(json.dumps({"growth": status("VmHWM") - before, "shape": store.shape}))
"""


def make(path: Path, form: str, n_obs: int) -> None:
    """Write a study in which every cell has a value in each of some blocks of columns."""
    random = np.random.default_rng(0)
    obs = pd.DataFrame(
        {"kind": pd.Categorical.from_codes(random.integers(0, 9, n_obs), list("abcdefghi"))},
        index=[f"cell-{i}" for i in range(n_obs)],
    )
    width, n = GENES // VALUES, n_obs * VALUES
    chosen = random.integers(0, width, (VALUES, n_obs), dtype=np.int32)
    if form == "csr":
        indices = (chosen + np.arange(VALUES)[:, None] * width).T.ravel()
        indptr = np.arange(n_obs + 1) * VALUES
    else:
        indices = np.concatenate([np.argsort(c, kind="stable") for c in chosen])
        indptr = np.append(0, np.cumsum([np.bincount(c, minlength=width) for c in chosen]))
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_elem(file, "obs", obs)
        write_elem(file, "var", pd.DataFrame(index=[f"G{i}" for i in range(GENES)]))
        x = file.create_group("X")
        encoding = {"encoding-type": f"{form}_matrix", "encoding-version": "0.1.0"}
        x.attrs.update({**encoding, "shape": (n_obs, GENES)})
        x["indptr"], x["indices"] = indptr, indices.astype(np.int32)
        x["data"] = random.geometric(0.4, n).astype(np.float32)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
@pytest.mark.parametrize("how", ["csr", "csr, clustered", "csc"])
def test_memory_is_bounded(tmp_path: Path, how: str) -> None:
    """Ten million values, 80 MB, with 64 MB: what grows beside it is one shard and the imports."""
    form, clustered = how[:3], how.endswith("clustered")
    make(tmp_path / "small.h5ad", form, 2000)
    make(tmp_path / "large.h5ad", form, CELLS)
    options = json.dumps({"cluster_by": "kind"} if clustered else {})
    arguments = [str(tmp_path / "small.h5ad"), str(tmp_path / "large.h5ad"), str(tmp_path), options]
    done = subprocess.run(
        [sys.executable, "-c", WRITE, *arguments], capture_output=True, check=True, text=True
    )
    found = json.loads(done.stdout)
    assert found["shape"] == [CELLS, GENES]
    assert found["growth"] < MEMORY + BESIDE
