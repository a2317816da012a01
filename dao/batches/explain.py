"""Explain: what an epoch reads, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dao.batches.budget import Budget
from dao.batches.course import Course
from dao.sizes import format_bytes

if TYPE_CHECKING:
    from dao.batches.generator import Generator

__all__ = ["explain"]


def explain(generator: Generator) -> str:
    """Return what an epoch of a generator reads, in which order, and the memory it takes."""
    store, spec = generator.store, generator.spec
    budget = Budget.of(store, spec)
    stream = generator.stream(Course(0))
    windows = np.diff(stream.plan.boundaries)
    largest = int(windows.max()) if len(windows) else 0
    at_once = min(largest, budget.fetch_rows)
    row_bytes = budget.final_row_bytes if budget.fuses(at_once) else budget.stored_row_bytes
    size = "" if spec.batch_size is None else f" of {spec.batch_size:,}"
    lines = [
        (
            f"{stream.n_rows:,} of {store.n_obs:,} cells per epoch "
            f"in {stream.n_batches:,} batches{size}"
        ),
        f"order: {generator.sampler}, seed {generator.seed}",
        (
            f"decoded {at_once:,} cells at a time (windows of {largest:,}), "
            f"about {format_bytes(row_bytes * at_once)}"
        ),
        (
            f"up to {budget.depth} times {budget.stretch:,} cells ready ahead, "
            f"{format_bytes(budget.stretch_bytes)} each time"
        ),
        f"backend {store.backend!r}: {store.backend_reason}",
        f"memory budget {format_bytes(store.memory)}",
    ]
    if generator.chosen:
        shown = ", ".join(f"{name}={number:,}" for name, number in generator.chosen.items())
        lines.insert(2, f"chosen for this selection: {shown}")
    keys = [n for n, column in spec.obs.items() if column.categories is not None]
    lines += [f"mixing: {generator.mixing(key)}" for key in keys]
    return "\n".join(lines)
