"""Measure how long a fresh process takes from nothing to the first batch, the page cache warm.

python start.py dao STORE BATCH_SIZE
python start.py annbatch STORE BATCH_SIZE
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timing import peak_bytes, report


@dataclass(frozen=True, slots=True)
class Start:
    """From after the reader's own import to the first batch, with that import, and again.

    dao imports most of what it uses on first use, so only "again", in the same process, is the
    opening alone: what somebody waits for who opens a store in a notebook or a running program.
    """

    seconds: float
    with_imports_s: float
    again_s: float
    peak_bytes: int


def start_dao(store: Path, batch_size: int) -> Callable[[], Iterator[Any]]:
    """Import dao; return what opens the store and begins an epoch."""
    import dao

    def epoch() -> Iterator[Any]:
        opened = dao.load_store(store)
        return iter(opened.generator(batch_size=batch_size, obs_keys=["cell_type"]))

    return epoch


def start_annbatch(store: Path, batch_size: int) -> Callable[[], Iterator[Any]]:
    """Import annbatch; return what opens the store and begins an epoch."""
    import anndata as ad
    import numpy as np
    import zarr
    from annbatch import DatasetCollection, Loader

    zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})

    def load(group: zarr.Group) -> ad.AnnData:
        x = ad.io.sparse_dataset(group["X"])
        return ad.AnnData(X=x, obs=ad.io.read_elem(group["obs"])[["cell_type"]])

    def epoch() -> Iterator[Any]:
        loader = Loader(
            chunk_size=512,
            preload_nchunks=32,
            batch_size=batch_size,
            shuffle=True,
            preload_to_gpu=False,
            rng=np.random.default_rng(0),
        ).use_collection(DatasetCollection(str(store), mode="r"), load_adata=load)
        return iter(loader)

    return epoch


def main() -> None:
    """Print one line of JSON."""
    reader, store, batch_size = sys.argv[1:]
    began = time.perf_counter()
    open_reader = {"dao": start_dao, "annbatch": start_annbatch}[reader]
    epoch = open_reader(Path(store), int(batch_size))
    imported = time.perf_counter()
    batches = epoch()
    next(batches)
    there = time.perf_counter()
    del batches  # ending an epoch early takes its time, too
    began_again = time.perf_counter()
    batches = epoch()
    next(batches)
    again = time.perf_counter() - began_again
    report(Start(there - imported, there - began, again, peak_bytes()))


if __name__ == "__main__":
    main()
