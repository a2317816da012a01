"""Measure what people do with an h5ad file: scDataset, a plain DataLoader, or all in memory.

    python peer_h5ad.py scdataset FILE
    python peer_h5ad.py backed FILE
    python peer_h5ad.py memory FILE [--genes ATLAS/atlas.json]

The file holds all studies, joined beforehand (join.py): none of these can align the genes of
several files. Every batch is a dict with CSR "X" and a DataFrame "obs", in shuffled order; "X" is
dense where genes are chosen.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
from fit import measure
from timing import add_options, report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

# What the paper and the documentation of scDataset advise: 16 neighbouring rows at a time, and
# 256 batches of 64, here as many rows, fetched and shuffled together.
BLOCK = 16
ROWS_AT_ONCE = 256 * 64


class Backed:
    """Rows of an h5ad file on disk; opened by each process for itself, as HDF5 demands."""

    def __init__(self, file: Path, obs_keys: list[str]) -> None:
        """Remember the file."""
        self._file = file
        self._obs_keys = obs_keys
        self._opened: tuple[int, ad.AnnData] | None = None
        opened = ad.read_h5ad(file, backed="r")
        self._n_obs = int(opened.n_obs)
        opened.file.close()

    def __len__(self) -> int:
        """Return the number of cells."""
        return self._n_obs

    def __getitem__(self, rows: NDArray[np.int64]) -> ad.AnnData:
        """Return rows in memory."""
        if self._opened is None or self._opened[0] != os.getpid():
            adata = ad.read_h5ad(self._file, backed="r")
            adata.obs = adata.obs[self._obs_keys]
            self._opened = os.getpid(), adata
        return self._opened[1][rows].to_memory()


class Batches:
    """A map-style dataset whose items are batches, for a DataLoader that is given lists of rows."""

    def __init__(self, backed: Backed, genes: list[str] | None) -> None:
        """Wrap the rows."""
        self._backed = backed
        self._genes = genes

    def __getitem__(self, rows: list[int]) -> dict[str, Any]:
        """Return the rows as one batch; ascending, because HDF5 wants that."""
        x, obs = in_memory(self._backed[np.sort(rows)], self._genes)
        return {"X": x, "obs": obs}


def in_memory(adata: ad.AnnData, genes: list[str] | None = None) -> tuple[Any, Any]:
    """Return what the batches are cut out of, without the views that AnnData makes of slices."""
    if genes is None:
        return adata.X, adata.obs
    return adata.X[:, adata.var_names.get_indexer(genes)].toarray(), adata.obs


def cut(fetched: tuple[Any, Any], rows: NDArray[np.int64]) -> dict[str, Any]:
    """Return some of the fetched rows as a batch."""
    return {"X": fetched[0][rows], "obs": fetched[1].iloc[rows]}


def scdataset(args: argparse.Namespace, obs_keys: list[str]) -> Callable[[], Iterator[Any]]:
    """Open scDataset over the backed file, block shuffling, with a worker for each core."""
    from scdataset import BlockShuffling, scDataset
    from torch.utils.data import DataLoader

    fetch_factor = max(1, ROWS_AT_ONCE // args.batch_size)
    dataset = scDataset(
        Backed(args.file, obs_keys),
        BlockShuffling(block_size=BLOCK),
        batch_size=args.batch_size,
        fetch_factor=fetch_factor,
        fetch_transform=partial(in_memory, genes=args.chosen),
        batch_callback=cut,
        seed=0,
    )
    workers = {"num_workers": os.cpu_count() or 1, "prefetch_factor": fetch_factor + 1}
    loader: Iterable[Any] = DataLoader(dataset, batch_size=None, **workers)
    return lambda: iter(loader)


def backed(args: argparse.Namespace, obs_keys: list[str]) -> Callable[[], Iterator[Any]]:
    """Open a DataLoader over the backed file: random rows, each batch read at once."""
    from torch.utils.data import BatchSampler, DataLoader, RandomSampler

    rows = Backed(args.file, obs_keys)
    batches: Any = Batches(rows, args.chosen)
    sampler = BatchSampler(RandomSampler(rows), args.batch_size, drop_last=False)
    loader: Iterable[Any] = DataLoader(
        batches, sampler=sampler, batch_size=None, num_workers=os.cpu_count() or 1
    )
    return lambda: iter(loader)


def memory(args: argparse.Namespace, obs_keys: list[str]) -> Callable[[], Iterator[Any]]:
    """Read everything into memory, then take rows in a random order."""
    adata = ad.read_h5ad(args.file)
    adata.obs = adata.obs[obs_keys]
    held = in_memory(adata, args.chosen)
    n_obs = adata.n_obs
    del adata  # of all genes nothing is needed any more
    rng = np.random.default_rng(0)

    def epoch() -> Iterator[dict[str, Any]]:
        order = rng.permutation(n_obs)
        for first in range(0, len(order), args.batch_size):
            yield cut(held, order[first : first + args.batch_size])

    return epoch


READERS = {"scdataset": scdataset, "backed": backed, "memory": memory}


def main() -> None:
    """Read the command line and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("file", type=Path)
    parser.add_argument("--genes", type=Path, help="atlas.json: give its chosen genes, dense")
    add_options(parser)
    args = parser.parse_args()
    args.chosen = json.loads(args.genes.read_text())["chosen"] if args.genes else None
    if args.reader == "memory" and (short := missing_memory(args.file)):
        sys.exit(short)
    report(measure(lambda obs_keys: READERS[args.reader](args, obs_keys), args))


def missing_memory(file: Path) -> str:
    """Return why the matrix does not fit into memory, or nothing."""
    adata = ad.read_h5ad(file, backed="r")
    needed = int(1.3 * 8 * adata.X.group["data"].shape[0]) + (1 << 30)
    adata.file.close()
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return ""
    line = next(x for x in meminfo.read_text().splitlines() if x.startswith("MemAvailable"))
    available = int(line.split()[1]) * 1024
    if available >= needed:
        return ""
    return f"all cells need {needed / 1e9:.1f} GB of memory and {available / 1e9:.1f} GB are free"


if __name__ == "__main__":
    main()
