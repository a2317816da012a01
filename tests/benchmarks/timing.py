"""Time a stream of batches the same way for every reader. Needs nothing but numpy."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from consumers import consumer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Mapping


IMPORTED = time.perf_counter()


@dataclass(frozen=True, slots=True)
class Stream:
    """The speed of a stream, and what went through the part of it that was checked."""

    cells_per_s: float
    epoch_s: float | None  # None where no whole epoch was timed
    epochs: int
    cells: int
    seconds: float
    first_batch_s: float  # from opening the store
    peak_bytes: int
    rows: int
    total: int  # sum of all values: shows that every count arrived
    expected: int | None  # what the labels of these rows say, where not all rows were read
    yields: str


@dataclass(frozen=True, slots=True)
class Build:
    """The cost of writing a store from the h5ad files."""

    seconds: float
    peak_bytes: int
    stored_bytes: int
    stored_files: int


class Opener(Protocol):
    """Opens a store; what it returns starts an epoch each time it is called."""

    def __call__(
        self, obs_keys: list[str]
    ) -> Callable[[], Iterable[Mapping[str, Any]]]:  # pragma: no cover
        """Open it, with these columns of obs in every batch."""
        ...


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what every reader is told about its stream."""
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--obs-keys", nargs="*", default=["cell_type", "donor_id"])
    parser.add_argument("--seconds", type=float, default=3.0, help="at least; epochs are finished")
    parser.add_argument("--budget", type=float, help="stop in the middle of an epoch after this")
    parser.add_argument("--whole", type=int, default=1, help="but only after so many batches")
    parser.add_argument("--consumer", choices=("none", "sleep", "burn"), default="none")
    parser.add_argument("--consumer-s", type=float, default=0.0, help="for a full batch")
    parser.add_argument("--types", type=int, help="fit a model that tells so many types of cells")
    parser.add_argument("--cells", type=int, help="of an epoch, for a fit")
    parser.add_argument("--epochs", type=int, default=1, help="of a fit")


def time_epochs(open_epochs: Opener, options: argparse.Namespace) -> Stream:
    """Time epochs for at least some seconds, after a first one that is checked instead.

    The first epoch also fills the page cache and compiles what is compiled on first use, so the
    timed ones show the steady state of a long training run. With a budget neither is finished:
    some batches are checked against the labels of their rows.
    """
    started = time.perf_counter()
    partial = options.budget is not None
    obs_keys = list(options.obs_keys)
    epoch = open_epochs([*obs_keys, "n_counts"] if partial else obs_keys)
    checked = check(epoch(), options.whole if partial else None)
    if partial:
        epoch = open_epochs(obs_keys)
    consume = consumer(options.consumer, options.consumer_s / options.batch_size)

    cells = whole_epochs = 0
    stop = options.budget if partial else float("inf")
    begin = time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < options.seconds or not cells:
        for number, batch in enumerate(epoch(), 1):
            cells += batch["X"].shape[0]
            consume(batch["X"].shape[0])
            # Readers that load many batches at once are stopped where they would load again.
            if number % options.whole == 0 and time.perf_counter() - begin > stop:
                break
        else:
            whole_epochs += 1
    return Stream(
        cells_per_s=cells / elapsed,
        epoch_s=None if partial else elapsed / whole_epochs,
        epochs=whole_epochs,
        cells=cells,
        seconds=elapsed,
        first_batch_s=checked.first_batch - started,
        peak_bytes=peak_bytes(),
        rows=checked.rows,
        total=checked.total,
        expected=checked.expected,
        yields=checked.yields,
    )


@dataclass(frozen=True, slots=True)
class Checked:
    """What an epoch, or the beginning of one, handed out."""

    first_batch: float
    rows: int
    total: int
    expected: int | None
    yields: str


def check(batches: Iterable[Mapping[str, Any]], at_most: int | None = None) -> Checked:
    """Add up what is in some batches, all of them if `at_most` is None."""
    first_batch = 0.0
    rows = total = expected = 0
    yields = ""
    for number, batch in enumerate(batches, 1):
        if not yields:
            first_batch = time.perf_counter()
            yields = describe(batch)
        x = batch["X"]
        rows += x.shape[0]
        total += int((x.data if hasattr(x, "indptr") else x).sum(dtype="float64"))
        if at_most is not None:
            expected += int(batch["obs"]["n_counts"].to_numpy().sum(dtype="float64"))
            if number == at_most:
                break
    return Checked(first_batch, rows, total, None if at_most is None else expected, yields)


def describe(batch: Mapping[str, Any]) -> str:
    """Return the types inside a batch, to see that readers are given the same work."""
    x, obs = batch["X"], batch["obs"]
    indices = f"/{x.indices.dtype}" if hasattr(x, "indptr") else ""
    return f"{type(x).__name__} {x.dtype}{indices}, obs {list(obs)}"


def stored(path: Path) -> tuple[int, int]:
    """Return the bytes and the number of files below a directory."""
    sizes = [file.stat().st_size for file in path.rglob("*") if file.is_file()]
    return sum(sizes), len(sizes)


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: on Linux its maximum includes the parent's, from before exec.
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def age() -> float:
    """Return the seconds since this process was started, the start of Python and imports included."""
    stat = Path("/proc/self/stat")
    if not stat.exists():
        return time.perf_counter() - IMPORTED
    ticks = stat.read_text().rpartition(")")[2].split()[19]
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(ticks) / os.sysconf("SC_CLK_TCK")


def report(measurement: Any) -> None:
    """Print a measurement as the one line of JSON that run.py reads."""
    sys.stdout.write(json.dumps(asdict(measurement)) + "\n")
