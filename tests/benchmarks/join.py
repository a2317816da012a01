"""Join the studies of an atlas into one h5ad file, for readers that cannot align genes themselves.

python join.py ATLAS FILE

It has the outer union of the genes, rows in the order of the sources, and their encoding: float32
values, lzf, chunks of 65,536 elements.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem, write_elem
from scipy.sparse import csr_matrix

ROWS_AT_ONCE = 8192


def join(atlas: Path, file: Path) -> None:
    """Write the file, some rows at a time."""
    names = json.loads((atlas / "atlas.json").read_text())["files"]
    genes = pd.Index([])
    tables = []
    for name in names:
        with h5py.File(atlas / name) as source:
            genes = genes.union(read_elem(source["var"]).index)
            tables.append(read_elem(source["obs"]))
    obs = pd.concat(tables)
    for name in tables[0].columns[tables[0].dtypes == "category"]:
        obs[name] = obs[name].astype("category")
    with h5py.File(file, "w") as out:
        out.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        x = out.create_group("X")
        x.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        x.attrs["shape"] = (len(obs), len(genes))
        how: dict[str, Any] = {"shape": (0,), "maxshape": (None,), "chunks": (1 << 16,)}
        how |= {"compression": "lzf", "shuffle": True}
        stored = {
            "indices": x.create_dataset("indices", dtype="i4", **how),
            "data": x.create_dataset("data", dtype="f4", **how),
        }
        ends = [np.zeros(1, np.int64)]
        for name in names:
            with h5py.File(atlas / name) as source:
                places = genes.get_indexer(read_elem(source["var"]).index)
                indptr = source["X/indptr"][:]
                for first in range(0, len(indptr) - 1, ROWS_AT_ONCE):
                    bounds = indptr[first : first + ROWS_AT_ONCE + 1]
                    some = slice(int(bounds[0]), int(bounds[-1]))
                    columns = places[source["X/indices"][some]].astype(np.int32)
                    part = (source["X/data"][some], columns, bounds - bounds[0])
                    piece = csr_matrix(part, shape=(len(bounds) - 1, len(genes)))
                    piece.sort_indices()
                    for key, values in (("indices", piece.indices), ("data", piece.data)):
                        size = stored[key].shape[0]
                        stored[key].resize((size + len(values),))
                        stored[key][size:] = values
                    ends.append(piece.indptr[1:] + ends[-1][-1])
        # As anndata would: of two widths scipy makes one, a copy of all indices for every batch.
        fits = ends[-1][-1] <= np.iinfo(np.int32).max
        x["indptr"] = np.concatenate(ends).astype(np.int32 if fits else np.int64)
        write_elem(out, "obs", obs)
        write_elem(out, "var", pd.DataFrame(index=genes))
        for name in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
            write_elem(out, name, {})


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("atlas", type=Path)
    parser.add_argument("file", type=Path)
    args = parser.parse_args()
    join(args.atlas, args.file)


if __name__ == "__main__":
    main()
