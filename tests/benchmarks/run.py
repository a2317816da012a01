"""Compare dao with annbatch on a synthetic atlas, and print or write the table.

    python tests/benchmarks/run.py                            50,000 cells, about five minutes
    python tests/benchmarks/run.py --out docs/benchmarks.md
    python tests/benchmarks/run.py --quick                    does it run at all?

The first full run makes an environment for annbatch, `.venv-annbatch`, beside the Makefile.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlas import SUMMARY, Atlas
from peer_env import annbatch_python
from report import page, sheets
from rich.console import Console
from timing import Build, Stream

HERE = Path(__file__).parent
VENV = HERE.parents[1] / ".venv-annbatch"
PACKAGES = {
    "dao": ("dao-store", "anndata", "numba", "numpy", "scipy", "zarr", "zarrs"),
    "annbatch": ("annbatch", "anndata", "numpy", "scipy", "zarr", "zarrs"),
}


@dataclass(frozen=True, slots=True)
class Reader:
    """One of the compared packages: the interpreter it runs in, its script and its store."""

    name: str
    python: Path
    script: str
    store: Path

    def call(self, *args: str | Path) -> dict[str, Any]:
        """Run the script in a fresh process and return what it measured."""
        return run(self.python, HERE / self.script, *args)

    def versions(self) -> str:
        """Return the versions of Python and of the packages that matter."""
        code = (
            "import json, platform, sys; from importlib.metadata import distributions\n"
            "have = {d.name: d.version for d in distributions()}\n"
            "names = [f'{n} {have[n]}' for n in sys.argv[1:] if n in have]\n"
            "text = ', '.join(['Python ' + platform.python_version(), *names])\n"
            "print(json.dumps({'text': text}))"
        )
        return str(run(self.python, "-c", code, *PACKAGES[self.name])["text"])


def run(python: Path, *args: str | Path) -> dict[str, Any]:
    """Return the JSON that a process printed as its last line."""
    env = dict(os.environ)
    if python != Path(sys.executable):
        env.pop("PYTHONPATH", None)  # it is about this environment, not about that one
    done = subprocess.run([python, *args], capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, args))}\n{done.stderr}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def stream(reader: Reader, args: list[str], options: argparse.Namespace, atlas: Path) -> Stream:
    """Measure one stream and check that it carried every count of the atlas."""
    common = f"--batch-size={options.batch_size}", f"--seconds={options.seconds}"
    measured = Stream(**reader.call("stream", reader.store, *common, *args))
    expected = json.loads((atlas / SUMMARY).read_text())
    total = expected["chosen_total" if measured.x_format == "dense" else "total"]
    if (measured.rows, measured.total) != (options.cells, total):
        sys.exit(
            f"{reader.name} gave {measured.rows} cells with {measured.total} counts; "
            f"the atlas has {options.cells} with {total}"
        )
    return measured


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=50_000)
    parser.add_argument("--genes", type=int, default=30_000)
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="at least, per measurement")
    parser.add_argument("--quick", action="store_true", help="tiny, only to see that it runs")
    parser.add_argument("--out", type=Path, help="write the tables to this Markdown file")
    parser.add_argument("--workdir", type=Path, default=Path(tempfile.gettempdir(), "dao-bench"))
    options = parser.parse_args()
    if options.quick:
        options.cells, options.genes, options.batch_size = 5_000, 2_000, 512
        options.rounds, options.seconds = 1, 0.2
    return options


def main() -> None:
    """Write the atlas and the stores, measure in turns, show the tables."""
    options = parse()
    console = Console(highlight=False, soft_wrap=True)
    atlas = options.workdir / f"atlas-{options.cells}x{options.genes}-seed{Atlas.seed}"
    console.print(f"atlas: {options.cells:,} cells x {options.genes:,} genes")
    sizes = f"--cells={options.cells}", f"--genes={options.genes}"
    nnz = run(Path(sys.executable), HERE / "atlas.py", atlas, *sizes)["nnz"]

    readers = [Reader("dao", Path(sys.executable), "stream_dao.py", atlas / "atlas.dao")]
    python, missing = annbatch_python(VENV, create=not options.quick)
    if python:
        readers.append(Reader("annbatch", python, "peer_annbatch.py", atlas / "annbatch.zarr"))
    else:
        console.print(f"without annbatch: {missing}")

    builds = []
    for reader in readers:
        shutil.rmtree(reader.store, ignore_errors=True)
        builds.append(Build(**reader.call("build", atlas, reader.store)))
        console.print(f"wrote the store of {reader.name} in {builds[-1].seconds:.1f} s")

    genes = f"--genes={atlas / SUMMARY}"
    small_chunks = ["--chunk-size=64", "--preload-nchunks=256"]
    plan: list[tuple[Reader, list[str]]] = [(reader, []) for reader in readers]
    plan += [(reader, small_chunks) for reader in readers[1:]]
    plan += [(reader, [genes]) for reader in readers]
    rounds: list[list[Stream]] = []
    for number in range(options.rounds):
        rounds.append([])
        for reader, args in plan:
            one = stream(reader, args, options, atlas)
            rounds[-1].append(one)
            what = f"{one.x_format} {one.reader}, {one.settings}"
            gives = f" ({one.yields})" if number == 0 else ""
            console.print(f"round {number + 1}: {what}: {one.cells_per_s:,.0f} cells/s{gives}")

    versions = {reader.name: reader.versions() for reader in readers}
    tables = sheets(builds, rounds, nnz=nnz, versions=versions)
    for table in tables:
        console.print(table.rich())
    if options.out:
        title = (
            f"{options.cells:,} cells x {options.genes:,} genes, {nnz / options.cells:,.0f} "
            f"expressed genes per cell, batches of {options.batch_size:,}"
        )
        command = f"python tests/benchmarks/run.py --cells {options.cells} --genes {options.genes}"
        command += f" --batch-size {options.batch_size} --rounds {options.rounds}"
        options.out.write_text(page(title, command, tables), encoding="utf-8")


if __name__ == "__main__":
    main()
