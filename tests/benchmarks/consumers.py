"""What takes the batches: nothing, an accelerator that this machine waits for, or one core of it.

The judged one is the accelerator, modelled by sleeping: where training is worth the trouble, the
step runs on a device and the process waits for it without holding the GIL. The other one takes a
core away from the loader. It does a fixed amount of work, not a fixed time, so a loader that
disturbs it pays for that.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


def consumer(kind: str, seconds_per_row: float) -> Callable[[int], None]:
    """Return a function of the number of rows in a batch that computes on them, or pretends to.

    Parameters
    ----------
    kind
        "none", "sleep" or "burn".
    seconds_per_row
        How long a row takes on an idle machine.
    """
    if kind == "sleep":
        return lambda rows: time.sleep(rows * seconds_per_row)
    if kind == "burn":
        return burner(seconds_per_row)
    return lambda rows: None


def burner(seconds_per_row: float) -> Callable[[int], None]:
    """Return a consumer that keeps one core busy, without the GIL most of the time."""
    x = np.linspace(0.1, 1.0, 1 << 15, dtype=np.float32)
    out = np.empty_like(x)

    def burn(steps: int) -> float:
        started = time.perf_counter()
        for _ in range(steps):
            np.exp(x, out=out)
        return time.perf_counter() - started

    burn(100)
    step = min(burn(100) for _ in range(10)) / 100

    def consume(rows: int) -> None:
        burn(round(rows * seconds_per_row / step))

    return consume
