"""Measure dao. The same command line as peer_annbatch.py, and the same way of timing.

python stream_dao.py build ATLAS STORE
python stream_dao.py stream STORE [--genes ATLAS/atlas.json]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timing import Build, peak_bytes, report, stored, time_epochs

import dao

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def build(atlas: Path, store: Path) -> None:
    """Write a dao store with the settings that a user gets without asking."""
    files = json.loads((atlas / "atlas.json").read_text())["files"]
    started = time.perf_counter()
    sources = {Path(file).stem: atlas / file for file in files}
    dao.write_store(store, sources, organism="human", progress=False)
    seconds = time.perf_counter() - started
    report(Build("dao", seconds, peak_bytes(), *stored(store)))


def stream(store: Path, args: argparse.Namespace) -> None:
    """Time the shuffled stream, sparse with all genes or dense with the chosen ones."""
    wanted = json.loads(args.genes.read_text())["chosen"] if args.genes else None
    x_format = "dense" if args.genes else "csr"

    def open_epochs() -> Callable[[], Iterator[dict[str, Any]]]:
        generator = dao.load_store(store, backend=args.backend).generator(
            batch_size=args.batch_size,
            obs_keys=args.obs_keys,
            var_names=wanted,
            x_format=x_format,
            sampler="shuffle",
        )
        return lambda: iter(generator)

    report(
        time_epochs(
            open_epochs,
            reader="dao",
            x_format=x_format,
            settings="default" if args.backend == "auto" else args.backend,
            seconds=args.seconds,
        )
    )


def main() -> None:
    """Read the command line and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("build")
    command.add_argument("atlas", type=Path)
    command.add_argument("store", type=Path)
    command = commands.add_parser("stream")
    command.add_argument("store", type=Path)
    command.add_argument("--backend", default="auto")
    command.add_argument("--batch-size", type=int, default=4096)
    command.add_argument("--obs-keys", nargs="*", default=["cell_type", "donor_id"])
    command.add_argument("--genes", type=Path, help="atlas.json: give its chosen genes, dense")
    command.add_argument("--seconds", type=float, default=3.0)
    args = parser.parse_args()
    if args.command == "build":
        build(args.atlas, args.store)
    else:
        stream(args.store, args)


if __name__ == "__main__":
    main()
