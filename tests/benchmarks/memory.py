"""How much memory writing takes: its peak beside the budget that was given.

    python tests/benchmarks/memory.py                                  10^6 cells, every kind of source
    python tests/benchmarks/memory.py --memory 256MB --kinds csr csc   other budgets, some kinds only
    python tests/benchmarks/memory.py --cells 300000 --genes 20000 --values 2000
                                                                       cells as they are, 5 GB of them

Sources are made in pieces, and removed when no other kind needs them. Each is written in a process of its own, which
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
from dataclasses import dataclass
from itertools import groupby, product
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

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "csr": ("csr", {}),
    "csr, clustered": ("csr", {"cluster_by": "cell_type"}),
    "csr, as it is": ("csr", {"shuffle": False}),
    "csc": ("csc", {}),
    "dense": ("dense", {}),
}
_ROWS = 20_000  # made at a time


@dataclass(frozen=True)
class Size:
    """Of a study: every cell has as many values, one in each of as many blocks of genes."""

    n_obs: int
    n_vars: int
    n_values: int
    packed: bool = False

    @property
    def width(self) -> int:
        """Genes in a block."""
        return self.n_vars // self.n_values

    @property
    def nnz(self) -> int:
        """Values in all."""
        return self.n_obs * self.n_values


def make_source(path: Path, form: str, size: Size) -> None:
    """Write a study as .h5ad, in pieces: counts, three columns of obs."""
    random, n_obs = np.random.default_rng(0), size.n_obs
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
    var = pd.DataFrame(index=[f"G{i}" for i in range(size.n_vars)])
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_elem(file, "obs", obs)
        write_elem(file, "var", var)
        {"csr": _csr, "csc": _csc, "dense": _dense}[form](file, random, size)


def _csr(file: h5py.File, random: np.random.Generator, size: Size) -> None:
    group = _sparse(file, "csr", size)
    group["indptr"] = np.arange(size.n_obs + 1, dtype=np.int64) * size.n_values
    for a in range(0, size.n_obs, _ROWS):
        columns = _columns(random, min(_ROWS, size.n_obs - a), size)
        part = slice(a * size.n_values, a * size.n_values + columns.size)
        group["indices"][part] = columns.ravel()
        group["data"][part] = _counts(random, columns.size)


def _csc(file: h5py.File, random: np.random.Generator, size: Size) -> None:
    group, n = _sparse(file, "csc", size), size.n_obs
    lengths = np.zeros(size.n_vars + 1, np.int64)
    for block in range(size.n_values):
        chosen = random.integers(0, size.width, n, dtype=np.uint16)
        part = slice(block * n, (block + 1) * n)
        group["indices"][part] = np.argsort(chosen, kind="stable")
        group["data"][part] = _counts(random, n)
        first = 1 + block * size.width
        lengths[first : first + size.width] = np.bincount(chosen, minlength=size.width)
    group["indptr"] = np.cumsum(lengths)


def _dense(file: h5py.File, random: np.random.Generator, size: Size) -> None:
    shape, chunk = (size.n_obs, size.n_vars), (100, size.n_vars)
    x = file.create_dataset("X", shape, "f4", chunks=chunk)
    x.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    for a in range(0, size.n_obs, _ROWS):
        columns = _columns(random, min(_ROWS, size.n_obs - a), size)
        rows = np.zeros((len(columns), size.n_vars), np.float32)
        np.put_along_axis(rows, columns, _counts(random, columns.size).reshape(columns.shape), 1)
        x[a : a + len(rows)] = rows


def _sparse(file: h5py.File, form: str, size: Size) -> h5py.Group:
    group = file.create_group("X")
    encoding = {"encoding-type": f"{form}_matrix", "encoding-version": "0.1.0"}
    group.attrs.update({**encoding, "shape": (size.n_obs, size.n_vars)})
    for name, dtype in (("indices", "i4"), ("data", "f4")):
        chunks, packed = (min(1 << 17, size.nnz),), {"compression": "lzf", "shuffle": True}
        group.create_dataset(
            name, (size.nnz,), dtype, chunks=chunks, **(packed if size.packed else {})
        )
    return group


def _columns(random: np.random.Generator, n_rows: int, size: Size) -> np.ndarray[Any, Any]:
    """Return distinct columns of each row, ascending: one of each block."""
    first = np.arange(size.n_values) * size.width
    return first + random.integers(0, size.width, (n_rows, size.n_values), dtype=np.uint16)


def _counts(random: np.random.Generator, n: int) -> np.ndarray[Any, Any]:
    drawn = random.geometric(0.4, 1 << 16).astype(np.float32)
    return drawn[random.integers(0, len(drawn), n, dtype=np.uint16)]


def write(source: Path, store: Path, memory: str, options: dict[str, Any]) -> dict[str, Any]:
    """Write a store; return by how many bytes the memory of this process grew, and the seconds."""
    with tempfile.TemporaryDirectory() as folder:  # what is imported and compiled is no growth
        small = Path(folder) / "small.h5ad"
        make_source(small, "csr", Size(1000, 2000, 20))
        dao.write_store(Path(folder) / "s.dao", small, progress=False, **options)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, began, used = _status("VmRSS"), time.perf_counter(), time.process_time()
    dao.write_store(store, source, memory=memory, progress=False, **options)
    return {
        "growth": _status("VmHWM") - before,
        "seconds": time.perf_counter() - began,
        "computed": time.process_time() - used,
    }


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
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument("--values", type=int, default=200, help="of each cell")
    parser.add_argument("--packed", action="store_true", help="sources compressed by LZF")
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
    Console().print(table(Size(args.cells, args.genes, args.values, args.packed), args))


def table(size: Size, args: argparse.Namespace) -> Table:
    """Measure every kind with every budget."""
    title = (
        f"{size.n_obs:,} cells, {size.n_values:,} values each; "
        f"as CSR {size.nnz * 8 / 1e6:,.0f} MB in memory"
    )
    shown = Table("source", "memory, MB", "grew by", "above it", "seconds", "computed", title=title)
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        for form, kinds in groupby(args.kinds, key=lambda kind: KINDS[kind][0]):
            source = Path(temporary) / f"{form}.h5ad"
            make_source(source, form, size)
            for kind, memory in product(kinds, args.memory):
                found = measure(source, Path(temporary), memory, KINDS[kind][1])
                budget = parse_bytes(memory)
                sizes = (budget, found["growth"], found["growth"] - budget)
                seconds = (f"{found['seconds']:.1f}", f"{found['computed']:.1f}")
                shown.add_row(kind, *(f"{n / 1e6:,.0f}" for n in sizes), *seconds)
            source.unlink()
    return shown


if __name__ == "__main__":
    main()
