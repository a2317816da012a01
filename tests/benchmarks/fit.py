"""Fit a model to a stream of batches, and tell what the time went into: reading or computing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from softmax import Softmax
from timing import Stream, age, describe, peak_bytes, time_epochs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Generator, Iterable, Mapping

    from timing import Opener

    Batch = Mapping[str, Any]

ALONE = 10  # steps that are timed with nothing beside them
LAST = 10  # batches whose cells say how good the model is


@dataclass(frozen=True, slots=True)
class Fit:
    """What it took to fit a model, in seconds from the start of the process."""

    types: int  # of cells, that are told apart
    epochs: int
    wanted: int  # cells to learn from
    learnt: int  # those that it learnt from: fewer where a slow reader was stopped
    start_s: float  # until the first batch, with imports and opening
    waiting_s: float  # for the other batches
    computing_s: float
    alone_s: float  # to compute as much with no reader beside it
    accuracy: float  # on the last batches, before it learnt from them
    peak_bytes: int
    rows: int  # of the first epoch, like `total`
    total: int
    expected: int | None
    yields: str


@dataclass(frozen=True, slots=True)
class Step:
    """A batch that was learnt from."""

    cells: int
    right: int
    total: int
    seconds: float

    @classmethod
    def of(cls, model: Softmax, batch: Batch) -> Step:
        """Learn from a batch."""
        began = time.perf_counter()
        x = np.asarray(batch["X"])  # a DataLoader makes tensors of arrays
        right, total = model.step(x, batch["obs"]["cell_type"])
        return cls(len(x), right, total, time.perf_counter() - began)


def measure(open_epochs: Opener, options: argparse.Namespace) -> Stream | Fit:
    """Time a stream, or the fit of a model to it, as the options say."""
    return time_fit(open_epochs, options) if options.types else time_epochs(open_epochs, options)


def time_fit(open_epochs: Opener, options: argparse.Namespace) -> Fit:
    """Fit to some epochs; with a budget, stop after it, where a slow reader has to load again.

    Of what is stopped, all waiting is for whole loads: from the first batch of one to the first
    batch of another, which is not learnt from.
    """
    epoch = open_epochs(list(options.obs_keys))
    batches = in_turn(epoch, options.epochs)
    first = batch = next(batches)
    start_s = age()
    model = Softmax(first["X"].shape[1], options.types)
    steps: list[Step] = []
    waiting = 0.0
    begin = time.perf_counter()
    while batch is not None:
        steps.append(Step.of(model, batch))
        asked = time.perf_counter()
        batch = next(batches, None)
        waiting += (now := time.perf_counter()) - asked
        due = len(steps) % options.whole == 0
        if options.budget is not None and due and now - begin > options.budget:
            break
    batches.close()
    learnt = sum(step.cells for step in steps)
    one = steps[: -(-len(steps) // options.epochs)] if batch is None else steps
    last = steps[-LAST:]
    return Fit(
        types=options.types,
        epochs=options.epochs,
        wanted=options.epochs * options.cells,
        learnt=learnt,
        start_s=start_s,
        waiting_s=waiting,
        computing_s=sum(step.seconds for step in steps),
        alone_s=seconds_per_cell(first, options.types) * learnt,
        accuracy=sum(step.right for step in last) / sum(step.cells for step in last),
        peak_bytes=peak_bytes(),
        rows=sum(step.cells for step in one),
        total=sum(step.total for step in one),
        expected=None,
        yields=describe(first),
    )


def in_turn(epoch: Callable[[], Iterable[Batch]], epochs: int) -> Generator[Batch]:
    """Return the batches of some epochs, each of them begun when the one before has ended."""
    for _ in range(epochs):
        yield from epoch()


def seconds_per_cell(batch: Batch, types: int) -> float:
    """Return how long the model computes on a cell while nothing else runs."""
    model = Softmax(batch["X"].shape[1], types)
    steps = [Step.of(model, batch) for _ in range(ALONE + 1)][1:]
    return median(step.seconds for step in steps) / steps[0].cells
