"""Run both machines for as long as told: ``python tests/fuzz --minutes 30``.

Each round begins with another seed: stores for the one machine, then calls for the other. What
fails is made small and printed with the seed that finds it again, and the program ends with 1. At
the end it prints how often each operation ran.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz import habits
from fuzz.known import KNOWN
from fuzz.machine import COUNTED, StoreMachine, temporary_folder
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test


def main() -> int:
    """Run rounds until the time is over or one fails."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, help="of the first round")
    parser.add_argument("--only", choices=["stores", "calls"], help="one of the machines")
    parser.add_argument("--keep-going", action="store_true", help="go on after what fails")
    parser.add_argument("--no-shrink", action="store_true", help="report what fails as it is")
    parser.add_argument("--stores", type=int, default=80, help="of a round")
    parser.add_argument("--steps", type=int, default=15, help="operations on a store, at the most")
    options = parser.parse_args()
    first = random.SystemRandom().randrange(10**9) if options.seed is None else options.seed
    began, number, failed = time.monotonic(), 0, False
    while time.monotonic() - began < 60 * options.minutes:
        current = first + number
        number += 1
        found = []
        if options.only != "calls":
            found += _stores(current, options)
        if options.only != "stores":
            found += _calls(current, seconds=min(120.0, 20 * options.minutes))
        for problem in found:
            _print(f"{problem}\nagain: python tests/fuzz --seed {current}\n")
        failed = failed or bool(found)
        if failed and not options.keep_going:
            break
    _summary(number, time.monotonic() - began)
    return int(failed)


def _stores(current: int, options: argparse.Namespace) -> list[str]:
    """Run the machine of stores; return what went wrong."""
    chosen = settings(
        max_examples=options.stores,
        stateful_step_count=options.steps,
        deadline=None,
        database=None,
        phases=[Phase.generate] if options.no_shrink else [Phase.generate, Phase.shrink],
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(seed(current)(StoreMachine), settings=chosen)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a panic of Rust is not an Exception
        return ["".join(traceback.format_exception(error))]
    return []


def _calls(current: int, seconds: float) -> list[str]:
    """Try calls; return what went wrong."""
    here, home = Path.cwd(), os.environ.get("HOME", "")
    with tempfile.TemporaryDirectory(prefix="dao-fuzz-", dir=temporary_folder()) as folder:
        os.environ["HOME"] = str(Path(folder) / "home")
        try:
            world = habits.World(Path(folder))
            return habits.some_calls(world, seed=current, seconds=seconds)
        finally:
            os.environ["HOME"] = home
            os.chdir(here)


def _summary(rounds: int, seconds: float) -> None:
    steps, n_calls = sum(COUNTED.values()), sum(habits.COUNTED.values())
    _print(f"{steps:,} steps, {n_calls:,} calls; {rounds} rounds, {seconds / 60:.1f} minutes")
    for table in (COUNTED, habits.COUNTED, habits.ENDED):
        _print("\n".join(f"  {name:<28}{n:>8,}" for name, n in sorted(table.items())))
    for name, why in KNOWN.items():
        _print(f"left out, known and open: {name}: {why}")


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the report


if __name__ == "__main__":
    sys.exit(main())
