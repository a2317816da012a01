"""The command line of the benchmark."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from jobs import JOBS
from peer_env import ENVIRONMENTS, OWN
from runner import STORES
from scenarios import SCENARIOS

PHASES = ("build", "write", "stream")
# What decides the figures; of rounds there may be more later.
NAMED = ("cells", "genes", "batch_size", "seconds", "budget", "epochs", "only", "without")


def parse(description: str | None, arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--cells", type=int, default=200_000)
    add("--genes", type=int, default=30_000)
    add("--batch-size", type=int, default=4096)
    add("--rounds", type=int, default=3)
    add("--seconds", type=float, default=3.0, help="at least, per measurement")
    add("--budget", type=float, default=20.0, help="seconds after which slow peers are stopped")
    add("--epochs", type=int, default=2, help="of a fit")
    add("--quick", action="store_true", help="tiny, one round, nothing is installed")
    add("--phases", nargs="+", choices=PHASES, default=PHASES)
    names = [scenario.name for scenario in SCENARIOS]
    add("--only", nargs="+", choices=[*names, "peers", "fit"], default=[], metavar="SCENARIO")
    add(
        "--rebuild", nargs="*", choices=STORES, metavar="STORE", help="all, or: " + " ".join(STORES)
    )
    add("--without", nargs="+", choices=[*ENVIRONMENTS, *OWN], default=[], metavar="TOOL")
    add("--python", nargs="+", default=[], metavar="TOOL=PYTHON", help="measure a tool with this")
    add("--workdir", type=Path, default=Path(tempfile.gettempdir(), "dao-bench"))
    add("--out", type=Path, help="the page to write")
    add("--more", type=Path, metavar="JSONL", help="add rounds to those of an earlier run")
    add("--anew", type=Path, metavar="JSONL", help="measure --jobs of an earlier run again")
    add("--jobs", nargs="+", choices=[job.name for job in JOBS], default=[], metavar="JOB")
    add("--page", type=Path, metavar="JSONL", help="measure nothing, write the page of this")
    options = parser.parse_args(arguments)
    if options.quick:
        options.cells, options.genes, options.batch_size = 3_000, 1_000, 512
        options.rounds, options.seconds, options.budget = 1, 0.1, 0.5
    options.command = command(options, parser)
    return options


def command(options: argparse.Namespace, parser: argparse.ArgumentParser) -> str:
    """Return how to repeat the run elsewhere: what decides the figures, and no local paths."""
    if options.quick:
        return "make bench ARGS=--quick"
    changed = []
    for name in NAMED:
        value = getattr(options, name)
        if value != parser.get_default(name):
            values = value if isinstance(value, list) else [value]
            changed += [f"--{name.replace('_', '-')}", *map(str, values)]
    return f"make bench ARGS='{' '.join(changed)}'" if changed else "make bench"
