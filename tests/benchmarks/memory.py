"""How much memory writing takes: its peak beside the budget that was given.

    python tests/benchmarks/memory.py                                  10^6 cells, every kind of source
    python tests/benchmarks/memory.py --cells 100000 --values 2000     cells as they are
    python tests/benchmarks/memory.py --memory 256MB --kinds csr csc   other budgets, some kinds only

Sources are made once, in pieces, and removed in the end. Each is written in a process of its own, which
has written a small store before: what is told is by how much its resident memory grew at the most.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import write_elem
from rich.console import Console
from rich.table import Table

import dao
from dao.sizes import parse_bytes

GENES = 2000
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "csr": ("csr", {}),
    "csr, clustered": ("csr", {"cluster_by": "cell_type"}),
    "csr, as it is": ("csr", {"shuffle": False}),
    "csc": ("csc", {}),
    "dense": ("dense", {}),
}
_ROWS = 20_000  # made at a time


def make_source(path: Path, form: str, n_obs: int, n_values: int) -> None:
    """Write a study as .h5ad, in pieces: counts, three columns of obs."""
    random = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical.from_codes(
                random.integers(0, 100, n_obs), [f"type {i}" for i in range(100)]
            ),
            "n_counts": random.integers(500, 50_000, n_obs).astype(np.int32),
            "score": random.random(n_obs).astype(np.float32),
        },
        index=[f"cell-{i}" for i in range(n_obs)],
    )
    var = pd.DataFrame(index=[f"G{i}" for i in range(GENES)])
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_elem(file, "obs", obs)
        write_elem(file, "var", var)
        {"csr": _csr, "csc": _csc, "dense": _dense}[form](file, random, n_obs, n_values)


def _csr(file: h5py.File, random: np.random.Generator, n_obs: int, n_values: int) -> None:
    group = _sparse(file, "csr", n_obs, n_values)
    group["indptr"] = np.arange(n_obs + 1, dtype=np.int64) * n_values
    for a in range(0, n_obs, _ROWS):
        columns = _columns(random, min(_ROWS, n_obs - a), n_values)
        part = slice(a * n_values, a * n_values + columns.size)
        group["indices"][part] = columns.ravel()
        group["data"][part] = _counts(random, columns.size)


def _csc(file: h5py.File, random: np.random.Generator, n_obs: int, n_values: int) -> None:
    """Every cell has one value in each of the blocks of columns."""
    group, width = _sparse(file, "csc", n_obs, n_values), GENES // n_values
    lengths = np.zeros(GENES + 1, np.int64)
    for block in range(n_values):
        chosen = random.integers(0, width, n_obs)
        part = slice(block * n_obs, (block + 1) * n_obs)
        group["indices"][part] = np.argsort(chosen, kind="stable")
        group["data"][part] = _counts(random, n_obs)
        first = 1 + block * width
        lengths[first : first + width] = np.bincount(chosen, minlength=width)
    group["indptr"] = np.cumsum(lengths)


def _dense(file: h5py.File, random: np.random.Generator, n_obs: int, n_values: int) -> None:
    x = file.create_dataset("X", (n_obs, GENES), "f4", chunks=(100, GENES))
    x.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    for a in range(0, n_obs, _ROWS):
        columns = _columns(random, min(_ROWS, n_obs - a), n_values)
        rows = np.zeros((len(columns), GENES), np.float32)
        np.put_along_axis(rows, columns, _counts(random, columns.size).reshape(columns.shape), 1)
        x[a : a + len(rows)] = rows


def _sparse(file: h5py.File, form: str, n_obs: int, n_values: int) -> h5py.Group:
    group = file.create_group("X")
    encoding = {"encoding-type": f"{form}_matrix", "encoding-version": "0.1.0"}
    group.attrs.update({**encoding, "shape": (n_obs, GENES)})
    for name, dtype in (("indices", "i4"), ("data", "f4")):
        group.create_dataset(
            name, (n_obs * n_values,), dtype, chunks=(min(1 << 17, n_obs * n_values),)
        )
    return group


def _columns(random: np.random.Generator, n_rows: int, n_values: int) -> np.ndarray[Any, Any]:
    """Return distinct columns of each row, ascending: one of each block."""
    width = GENES // n_values
    first = np.arange(n_values) * width
    return first + random.integers(0, width, (n_rows, n_values))


def _counts(random: np.random.Generator, n: int) -> np.ndarray[Any, Any]:
    return random.geometric(0.4, n).astype(np.float32)


def write(source: Path, store: Path, memory: str, options: dict[str, Any]) -> dict[str, Any]:
    """Write a store; return by how many bytes the memory of this process grew, and the seconds."""
    with tempfile.TemporaryDirectory() as folder:  # what is imported and compiled is no growth
        small = Path(folder) / "small.h5ad"
        make_source(small, "csr", 1000, 20)
        dao.write_store(Path(folder) / "s.dao", small, progress=False, **options)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, began = _status("VmRSS"), time.perf_counter()
    dao.write_store(store, source, memory=memory, progress=False, **options)
    return {"growth": _status("VmHWM") - before, "seconds": time.perf_counter() - began}


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024


def measure(source: Path, folder: Path, memory: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return what `write` does, in a process of its own."""
    store = folder / "store.dao"
    arguments = ["--write", source, store, memory, json.dumps(options)]
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    shutil.rmtree(store)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=10**6)
    parser.add_argument("--values", type=int, default=200, help="of each cell")
    parser.add_argument("--memory", nargs="+", default=["256MB", "1GB"])
    parser.add_argument(
        "--kinds", nargs="+", choices=KINDS, default=["csr", "csr, clustered", "csc"]
    )
    parser.add_argument(
        "--folder", type=Path, help="for sources and stores; temporary if not given"
    )
    parser.add_argument("--write", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.write:
        source, store, memory, options = args.write
        found = write(Path(source), Path(store), memory, json.loads(options))
        sys.stdout.write(json.dumps(found) + "\n")
        return
    title = f"{args.cells:,} cells, {args.values:,} values each"
    table = Table("source", "memory, MB", "grew by, MB", "above it, MB", "seconds", title=title)
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        for kind in args.kinds:
            form, options = KINDS[kind]
            source = Path(temporary) / f"{form}.h5ad"
            if not source.exists():
                make_source(source, form, args.cells, args.values)
            for memory in args.memory:
                found = measure(source, Path(temporary), memory, options)
                budget = parse_bytes(memory)
                sizes = (budget, found["growth"], found["growth"] - budget)
                table.add_row(kind, *(f"{n / 1e6:,.0f}" for n in sizes), f"{found['seconds']:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
