"""How cost grows with the number of cells: writing, opening, filtering, planning, streaming.

    python tests/benchmarks/scale.py                          10^5, 10^6 and 10^7 cells
    python tests/benchmarks/scale.py --cells 100000000        the size of the world; ten minutes
    python tests/benchmarks/scale.py --keep DIR               keep the stores, to measure them again
    python tests/benchmarks/scale.py --draw docs/benchmarks   write scale.json and scale.svg there

Cells have one count each, so that it is metadata that is measured; `make bench` measures matrices.
Each size is written and each store is used in a process of its own, whose peak memory is told.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from rich.console import Console
from rich.table import Table

import dao

if TYPE_CHECKING:
    from collections.abc import Callable

CELLS_PER_STUDY = 100_000
STUDIES_AT_ONCE = 50
TYPES = [f"type {i}" for i in range(200)]
TISSUES = [f"tissue {i}" for i in range(50)]
GENES = [f"G{i}" for i in range(10)]
ROWS = {
    "write": "write, s",
    "append": "of this the last append of 50 studies, s",
    "write_peak": "peak memory, MB",
    "bytes": "bytes per cell on disk",
    "open": "open, s",
    "filter": "filter on three columns, s",
    "again": "filter on one column, s",
    "plan": "generator over 9 % of the cells, with its order, s",
    "first": "first batch, s",
    "rate": "cells per second of that stream",
    "counts": "value_counts, s",
    "peak": "peak memory, MB",
}


def study(number: int, n_obs: int) -> ad.AnnData:
    """Return cells with three columns and one count each."""
    random = np.random.default_rng(number)
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical.from_codes(random.integers(0, len(TYPES), n_obs), TYPES),
            "tissue": pd.Categorical.from_codes(np.full(n_obs, number % len(TISSUES)), TISSUES),
            "n_counts": random.integers(500, 50_000, n_obs).astype(np.int32),
        },
        index=pd.Index([f"{number}-{i}" for i in range(n_obs)], dtype=object),
    )
    columns = random.integers(0, len(GENES), n_obs).astype(np.int32)
    counts = sp.csr_matrix((np.ones(n_obs, np.float32), columns, np.arange(n_obs + 1)))
    counts.resize(n_obs, len(GENES))
    return ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=GENES))


def write(path: Path, cells: int) -> dict[str, Any]:
    """Write a store, by appends of some studies."""
    size = min(CELLS_PER_STUDY, cells)
    seconds, last = 0.0, 0.0
    for begin in range(0, cells // size, STUDIES_AT_ONCE):
        end = min(cells // size, begin + STUDIES_AT_ONCE)
        sources = {f"d{i}": study(i, size) for i in range(begin, end)}
        began = time.perf_counter()
        mode = "append" if begin else "create"
        dao.write_store(path, sources, organism="human", mode=mode, progress=False)
        last = time.perf_counter() - began
        seconds += last
    stored = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    return {"write": seconds, "append": last, "write_peak": peak(), "bytes": stored / cells}


def use(path: Path) -> dict[str, Any]:
    """Open a store and ask it what a training run asks."""
    found: dict[str, Any] = {}

    def timed(name: str, function: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = function()
        found[name] = time.perf_counter() - began
        return result

    dao.load_store(path).subset("n_counts > 1")  # what is imported on first use is not the store's
    store = timed("open", lambda: dao.load_store(path))
    few = {"cell_type": TYPES[3:6], "tissue": TISSUES[::2]}
    timed("filter", lambda: store.subset("n_counts > 30_000", **few))
    chosen = timed("again", lambda: store.subset("n_counts > 45_550"))
    generator = timed("plan", lambda: _planned(chosen))
    batches = iter(generator)
    timed("first", lambda: next(batches))
    began, cells = time.perf_counter(), 0
    for batch in batches:
        cells += len(batch["index"])
        if time.perf_counter() - began > 3:
            break
    found["rate"] = cells / (time.perf_counter() - began) if cells else float("nan")
    timed("counts", lambda: store.value_counts("cell_type"))
    return {**found, "peak": peak()}


def _planned(store: dao.Store) -> Any:
    generator = store.generator(4096, obs_keys=["cell_type"])
    len(generator)
    return generator


def peak() -> float:
    """Return the peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_process(*arguments: object) -> dict[str, Any]:
    """Run a part of this script alone."""
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Measure every size and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    parser.add_argument("--keep", type=Path, help="a folder for the stores")
    parser.add_argument("--draw", type=Path, help="a folder for the figures and their plot")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--use", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.write or args.use:
        found = write(args.write, args.cells[0]) if args.write else use(args.use)
        sys.stdout.write(json.dumps(found) + "\n")
        return
    table = Table("", *(f"{n:,} cells" for n in args.cells))
    with tempfile.TemporaryDirectory() as temporary:
        columns = [measure(args.keep or Path(temporary), n) for n in args.cells]
    for key, title in ROWS.items():
        table.add_row(title, *(_shown(c.get(key)) for c in columns))
    Console().print(table)
    if args.draw:
        keep(dict(zip(args.cells, columns, strict=True)), args.draw)


def keep(measured: dict[int, dict[str, Any]], folder: Path) -> None:
    """Write what was measured, and its plot."""
    from machine import describe_machine
    from plot_scale import draw

    text = json.dumps({"machine": describe_machine(), "measured": measured}, indent=1)
    (folder / "scale.json").write_text(text + "\n", encoding="utf-8")
    draw(measured, folder / "scale.svg")


def measure(folder: Path, cells: int) -> dict[str, Any]:
    """Return what a store of so many cells costs."""
    path = folder / f"scale-{cells}.dao"
    written = {} if path.exists() else in_process("--write", path, "--cells", cells)
    return {**written, **in_process("--use", path)}


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
