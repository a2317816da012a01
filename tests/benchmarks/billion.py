"""What 10^9 cells in 10^5 datasets cost before the first byte of X is read: a store without files.

    python tests/benchmarks/billion.py                            10^9 cells; minutes, 10 GB of memory
    python tests/benchmarks/billion.py --datasets 10000           a tenth of it

The manifest is a real one whose datasets are repeated, with sizes of cells with 2,000 genes each. obs is
drawn when it is asked for, so filters cost what they cost without a disk. Rows have one value.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp

import dao
from dao.backend import SparseRows
from dao.features import FeatureTables
from dao.format.encodings import PROFILES, chunking
from dao.format.manifest import ArrayInfo, DatasetInfo, Manifest
from dao.obs import ObsStore
from dao.selection import Selection
from dao.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TYPES = [f"type {i}" for i in range(200)]
COLUMNS = ("assay", "cell_type", "development_stage", "disease", "donor_id", "sex", "suspension")
COLUMNS += ("tissue", "ethnicity", "study", "n_counts", "n_genes", "pct_mito", "is_primary")
_VALUES = 2000  # of a cell


def one_dataset(folder: Path) -> Manifest:
    """Return the manifest of a small store with obs as it is in large collections."""
    obs = {c: pd.Categorical.from_codes(np.zeros(50, np.int8), TYPES) for c in COLUMNS[:10]}
    numbers = {"n_counts": np.ones(50), "n_genes": np.arange(50), "pct_mito": np.ones(50)}
    frame = pd.DataFrame({**obs, **numbers, "is_primary": np.ones(50, bool)}).rename(index=str)
    x = sp.random(50, 3000, 0.1, "csr", np.float32, rng=0)
    path = folder / "one.dao"
    dao.write_store(path, {"d": ad.AnnData(x, frame)}, organism="human", progress=False)
    return Manifest.from_json((path / "dao.json").read_bytes())


def repeated(manifest: Manifest, n_datasets: int, n_obs: int) -> Manifest:
    """Return a manifest with its dataset many times, each with so many cells."""
    (one,) = manifest.datasets
    x, nnz = one.matrices["X"], n_obs * _VALUES
    lengths = {"data": nnz, "indices": nnz, "indptr": n_obs + 1}
    arrays = {name: _array(info, lengths[name]) for name, info in x.arrays.items()}
    shape = n_obs, x.shape[1]
    matrices = {"X": replace(x, shape=shape, nnz=nnz, arrays=arrays)}

    def dataset(number: int) -> DatasetInfo:
        return replace(one, id=f"dataset-{number}", n_obs=n_obs, matrices=matrices)

    datasets = tuple(dataset(i) for i in range(n_datasets))
    return replace(manifest, datasets=datasets)


def _array(info: ArrayInfo, length: int) -> ArrayInfo:
    chunk, shard = chunking(length, 1, PROFILES["fast"].chunk_elements)
    sizes = [shard * 3 // 4] * -(-length // shard)
    return replace(info, shape=(length,), chunk=chunk, shard=shard, shard_sizes=tuple(sizes))


class Hollow:
    """A reader of a store that is not there."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._spaces = {s.file.path: s.n_vars for s in manifest.feature_spaces}
        self._n_obs = {d.obs.file.path: d.n_obs for d in manifest.datasets}
        self._random = np.random.default_rng(0).integers(0, 50_000, 1 << 20)

    def manifest(self) -> Manifest:
        """Return the manifest."""
        return self._manifest

    def table(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return features, categories, or obs."""
        if path in self._spaces:
            return pa.table({"feature_id": [f"G{i}" for i in range(self._spaces[path])]})
        if path == self._manifest.vocabulary.path:
            return pa.table(
                {
                    "column": [c for c in COLUMNS[:10] for _ in TYPES],
                    "category": TYPES * len(COLUMNS[:10]),
                }
            )
        n = self._n_obs[path]
        first = hash(path) % (len(self._random) - n)
        drawn = self._random[first : first + n]
        codes = pa.array((drawn % len(TYPES)).astype(np.int32))
        found = {}
        for name in columns or ():
            is_coded = name in COLUMNS[:10]
            coded = pa.DictionaryArray.from_arrays(codes, pa.array(TYPES)) if is_coded else None
            found[name] = pa.array(drawn.astype(np.float64)) if coded is None else coded
        return pa.table(found)

    def rows(self, dataset: str, matrix: str, rows: np.ndarray[Any, Any]) -> SparseRows:
        """Return rows with one value each."""
        n = len(rows)
        ones, starts = np.ones(n, np.uint8), np.arange(n)
        lengths = np.ones(n, np.int64)
        return SparseRows(ones, np.zeros(n, np.uint16), starts, lengths, 3000, 1, n)

    def close(self) -> None:
        """Nothing is open."""


def status(name: str) -> float:
    """Return a figure of this process's memory in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1000


def timed(what: str, function: Callable[[], Any]) -> Any:
    """Call a function; print how long it takes, the memory after it, and the peak within it."""
    Path("/proc/self/clear_refs").write_text("5")
    before, began = status("VmRSS"), time.perf_counter()
    result = function()
    seconds, now = time.perf_counter() - began, status("VmRSS") - before
    peak = status("VmHWM") - before
    sys.stdout.write(f"{what:44s} {seconds:8.2f} s  kept {now:7,.0f} MB  peak {peak:7,.0f} MB\n")
    sys.stdout.flush()
    return result


def opened(manifest: Manifest) -> Store:
    """Return a store over a manifest."""
    reader: Any = Hollow(manifest)
    organisms = tuple(s.organism for s in manifest.feature_spaces)
    return Store(
        reader,
        ObsStore(reader),
        FeatureTables(reader),
        Selection.everything(manifest),
        tuple(manifest.obs_columns),
        organisms,
        "hollow",
        "hollow",
        1 << 30,
    )


def use(path: Path) -> None:
    """Do what a training run does first."""
    text = timed("read dao.json", path.read_bytes)
    sys.stdout.write(f"  {len(text) / 1e6:,.0f} MB\n")
    manifest = timed("parse and check it", lambda: Manifest.from_json(text))
    store = timed("open", lambda: opened(manifest))
    chosen = timed("subset by a condition, 1 %", lambda: store.subset("n_counts < 500"))
    sys.stdout.write(f"  {chosen.n_obs:,} of {store.n_obs:,} cells\n")
    for name, sampler in (("shuffled", "shuffle"), ("perfectly random", "random")):
        batches = timed(f"generator, {name}", lambda s=sampler: chosen.generator(4096, sampler=s))
        timed("  its length, by the plan of an epoch", lambda g=batches: len(g))
        stream = timed("  iter", lambda g=batches: iter(g))
        timed("  first batch", lambda i=stream: next(i))
        timed("  twenty more", lambda i=stream: [len(next(i)["index"]) for _ in range(20)])
        stream.close()
    batches = store.generator(4096)
    timed("epoch over all cells: its length", lambda: len(batches))
    stream = iter(batches)
    timed("  first batch", lambda: next(stream))
    timed("  twenty more", lambda: [len(next(stream)["index"]) for _ in range(20)])
    stream.close()
    timed(
        "split in three by dataset",
        lambda: chosen.split({"a": 0.8, "b": 0.1, "c": 0.1}, group_by="dataset"),
    )


def main() -> None:
    """Make a manifest, and use it in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", type=int, default=100_000)
    parser.add_argument("--cells", type=int, default=10_000, help="of each dataset")
    parser.add_argument("--use", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.use:
        use(args.use)
        return
    with tempfile.TemporaryDirectory() as temporary:
        manifest = repeated(one_dataset(Path(temporary)), args.datasets, args.cells)
        path = Path(temporary) / "dao.json"
        timed("write dao.json", lambda: path.write_text(manifest.to_json()))
        subprocess.run([sys.executable, __file__, "--use", str(path)], check=True)


if __name__ == "__main__":
    main()
