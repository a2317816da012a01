"""Measure dao. The same command line as peer_annbatch.py, and the same way of timing.

python stream_dao.py build ATLAS STORE [--profile compact] [--cluster-by cell_type]
python stream_dao.py stream STORE [--genes ATLAS/atlas.json] [--cell-type LABEL]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fit import measure
from timing import Build, add_options, peak_bytes, report, stored

import dao

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def build(args: argparse.Namespace) -> None:
    """Write a dao store; without options, with the settings that a user gets without asking."""
    files = json.loads((args.atlas / "atlas.json").read_text())["files"]
    started = time.perf_counter()
    dao.write_store(
        args.store,
        {Path(file).stem: args.atlas / file for file in files},
        organism="human",
        profile=args.profile,
        cluster_by=args.cluster_by,
        progress=False,
    )
    seconds = time.perf_counter() - started
    report(Build(seconds, peak_bytes(), *stored(args.store)))


def stream(args: argparse.Namespace) -> None:
    """Time a stream: sparse with all genes, or dense with the chosen ones."""
    wanted = json.loads(args.genes.read_text())["chosen"] if args.genes else None

    def open_epochs(obs_keys: list[str]) -> Callable[[], Iterator[dict[str, Any]]]:
        store = dao.load_store(args.store, backend=args.backend)
        if args.cell_type:
            store = store.subset(cell_type=args.cell_type)
        generator = store.generator(
            batch_size=args.batch_size,
            obs_keys=obs_keys,
            var_names=wanted,
            x_format="dense" if args.genes else "csr",
            sampler=args.sampler,
        )
        return lambda: iter(generator)

    report(measure(open_epochs, args))


def main() -> None:
    """Read the command line and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("build")
    command.add_argument("atlas", type=Path)
    command.add_argument("store", type=Path)
    command.add_argument("--profile", default="fast")
    command.add_argument("--cluster-by")
    command = commands.add_parser("stream")
    command.add_argument("store", type=Path)
    command.add_argument("--backend", default="auto")
    command.add_argument("--sampler", default="shuffle")
    command.add_argument("--genes", type=Path, help="atlas.json: give its chosen genes, dense")
    command.add_argument("--cell-type", help="only the cells of this type")
    add_options(command)
    args = parser.parse_args()
    (build if args.command == "build" else stream)(args)


if __name__ == "__main__":
    main()
