"""Measure annbatch on the same files. Runs in an environment of its own (see peer_env.py).

    python peer_annbatch.py build ATLAS STORE
    python peer_annbatch.py stream STORE --chunk-size 512 --preload-nchunks 32

annbatch is used as its own documentation asks: the zarrs codec pipeline, its pre-shuffled
collection with the default chunk and shard sizes, its own loader without a DataLoader around it,
and only those obs columns that training needs.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import zarr
from annbatch import DatasetCollection, Loader
from fit import measure
from timing import Build, add_options, peak_bytes, report, stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def build(args: argparse.Namespace) -> None:
    """Write annbatch's shuffled collection."""
    files = json.loads((args.atlas / "atlas.json").read_text())["files"]
    started = time.perf_counter()
    collection = DatasetCollection(str(args.store), mode="a")
    collection.add_adatas([str(args.atlas / file) for file in files], rng=np.random.default_rng(0))
    seconds = time.perf_counter() - started
    report(Build(seconds, peak_bytes(), *stored(args.store)))


def stream(args: argparse.Namespace) -> None:
    """Time the shuffled stream; dense batches are cut out of the sparse ones, as users have to."""

    def open_epochs(obs_keys: list[str]) -> Callable[[], Iterator[dict[str, Any]]]:
        def load(group: zarr.Group) -> ad.AnnData:
            x = ad.io.sparse_dataset(group["X"])
            return ad.AnnData(X=x, obs=ad.io.read_elem(group["obs"])[obs_keys])

        collection = DatasetCollection(str(args.store), mode="r")
        loader = Loader(
            chunk_size=args.chunk_size,
            preload_nchunks=args.preload_nchunks,
            batch_size=args.batch_size,
            shuffle=True,
            preload_to_gpu=False,
            rng=np.random.default_rng(0),
        ).use_collection(collection, load_adata=load)
        if args.genes is None:
            return lambda: iter(loader)
        var_names = ad.io.read_elem(next(iter(collection))["var"]).index
        columns = var_names.get_indexer(json.loads(args.genes.read_text())["chosen"])
        return lambda: ({**b, "X": b["X"][:, columns].toarray()} for b in loader)

    report(measure(open_epochs, args))


def main() -> None:
    """Read the command line and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("build")
    command.add_argument("atlas", type=Path)
    command.add_argument("store", type=Path)
    command = commands.add_parser("stream")
    command.add_argument("store", type=Path)
    command.add_argument("--chunk-size", type=int, default=512)
    command.add_argument("--preload-nchunks", type=int, default=32)
    command.add_argument("--genes", type=Path, help="atlas.json: give its chosen genes, dense")
    add_options(command)
    args = parser.parse_args()
    zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
    with ad.settings.override(remove_unused_categories=False):
        (build if args.command == "build" else stream)(args)


if __name__ == "__main__":
    main()
