"""Time a stream of batches the same way for every reader. Needs nothing but numpy."""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Stream:
    """The speed of whole epochs, and what went through the first of them."""

    reader: str
    x_format: str
    settings: str
    cells_per_s: float
    epochs: int
    seconds: float
    first_batch_s: float  # from opening the store
    first_epoch_s: float
    peak_bytes: int
    rows: int
    total: int  # sum of all values: shows that every count arrived
    yields: str


@dataclass(frozen=True, slots=True)
class Build:
    """The cost of writing a store from the h5ad files."""

    reader: str
    seconds: float
    peak_bytes: int
    stored_bytes: int
    stored_files: int


def time_epochs(
    open_epochs: Callable[[], Callable[[], Iterable[Mapping[str, Any]]]],
    *,
    reader: str,
    x_format: str,
    settings: str,
    seconds: float,
) -> Stream:
    """Time whole epochs for at least `seconds`, after a first one that is checked instead.

    The first epoch also fills the page cache and compiles what is compiled on first use, so the
    timed ones show the steady state of a long training run.

    Parameters
    ----------
    open_epochs
        Opens the store; what it returns starts an epoch each time it is called.
    reader
        Whose stream it is.
    x_format
        "csr" or "dense".
    settings
        Where streams of one reader differ.
    seconds
        How long to go on. The epoch that is running then is finished.
    """
    started = time.perf_counter()
    epoch = open_epochs()
    first_batch, rows, total, yields = check(epoch())
    first_epoch = time.perf_counter()

    epochs = timed_rows = 0
    begin = time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds or not epochs:
        timed_rows += sum(batch["X"].shape[0] for batch in epoch())
        epochs += 1
    return Stream(
        reader=reader,
        x_format=x_format,
        settings=settings,
        cells_per_s=timed_rows / elapsed,
        epochs=epochs,
        seconds=elapsed,
        first_batch_s=first_batch - started,
        first_epoch_s=first_epoch - started,
        peak_bytes=peak_bytes(),
        rows=rows,
        total=total,
        yields=yields,
    )


def check(batches: Iterable[Mapping[str, Any]]) -> tuple[float, int, int, str]:
    """Return when the first batch came, the rows, the sum of all values, and their types."""
    first_batch = 0.0
    rows = total = 0
    yields = ""
    for batch in batches:
        if not yields:
            first_batch = time.perf_counter()
            yields = describe(batch)
        x = batch["X"]
        rows += x.shape[0]
        total += int((x.data if hasattr(x, "indptr") else x).sum(dtype="float64"))
    return first_batch, rows, total, yields


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


def report(measurement: Stream | Build) -> None:
    """Print a measurement as the one line of JSON that run.py reads."""
    sys.stdout.write(json.dumps(asdict(measurement)) + "\n")
