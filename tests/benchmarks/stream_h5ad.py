"""How fast unconverted .h5ad files stream: `python tests/benchmarks/stream_h5ad.py FOLDER`.

Writes a file of 100,000 cells x 30,000 genes with 2,000 counts per cell into the folder, once per
compression, and streams each for some seconds after its first window. Not part of the benchmarks that
compare loaders: for docs/design/015-foreign.md.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

import dao

N_OBS, N_VARS, PER_CELL = 100_000, 30_000, 2_000
SECONDS = 8.0


def atlas() -> ad.AnnData:
    """Return random counts in which few genes are in most cells, as in nature."""
    random = np.random.default_rng(0)
    often = random.gamma(0.3, size=N_VARS)
    some = [
        np.sort(random.choice(N_VARS, PER_CELL, replace=False, p=often / often.sum()))
        for _ in range(200)
    ]
    columns = np.concatenate([some[i % len(some)] for i in range(N_OBS)]).astype(np.int32)
    values = random.geometric(0.4, len(columns)).astype(np.float32)
    starts = np.arange(0, len(columns) + 1, PER_CELL)
    names = [f"g{i}" for i in range(N_VARS)]
    x = sp.csr_matrix((values, columns, starts), shape=(N_OBS, N_VARS))
    return ad.AnnData(x, var=pd.DataFrame(index=names))


def rate(store: dao.Store, **arguments: Any) -> float:
    """Return cells per second, from the first batch on."""
    batches = iter(store.generator(1024, **arguments))
    next(batches)
    begin, n = time.perf_counter(), 0
    for batch in batches:
        n += len(batch["index"])
        if time.perf_counter() - begin > SECONDS:
            break
    return n / (time.perf_counter() - begin)


def main(folder: Path) -> None:
    """Print a line per file and kind of stream."""
    for compression in (None, "lzf", "gzip"):
        path = folder / f"stream_{compression}.h5ad"
        if not path.exists():
            atlas().write_h5ad(path, compression=compression)
        begin = time.perf_counter()
        store = dao.load_store(path, backend="h5ad")
        opened = time.perf_counter() - begin
        kinds: dict[str, dict[str, Any]] = {
            "shuffled, CSR": {},
            "shuffled, 2,000 genes dense": {
                "x_format": "dense",
                "var_names": store.var_names[:2000],
            },
            "sequential, CSR": {"sampler": "sequential"},
            "random, CSR": {"sampler": "random"},
        }
        for name, arguments in kinds.items():
            cells = max(rate(store, **arguments) for _ in range(2))
            line = f"{compression}: {name}: {cells:,.0f} cells/s (opened in {opened:.1f} s)\n"
            sys.stdout.write(line)
            sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
