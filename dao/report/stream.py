"""How well and how fast the default generator gives cells, by a short run of it."""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dao.printable import shortened
from dao.report.columns import NAME_WIDTH
from dao.report.facts import MixingFact, StreamFact

if TYPE_CHECKING:
    from dao.batches.generator import Generator
    from dao.report.facts import ColumnFact
    from dao.store import Store

__all__ = ["stream_fact"]

SECONDS = 1.5
_MOST_EPOCHS = 50
_MOST_KEYS = 4


@dataclass(frozen=True)
class _Run:
    """A short run: cells and seconds after the first batch, which took ``first`` seconds."""

    first: float
    n_obs: int
    n_after: int
    seconds: float


def stream_fact(store: Store, organism: str, columns: tuple[ColumnFact, ...]) -> StreamFact:
    """Return what the default generator of the cells of an organism does, measured here."""
    cells = store[organism]
    generator = cells.generator()
    keys = ["dataset"] if len(cells.datasets) > 1 else []
    keys += [
        name
        for name, fact in zip(store.obs_columns, columns, strict=False)
        if fact.top is not None and (fact.distinct or 0) > 1
    ]
    mixing = tuple(_mixing(generator, key) for key in keys[:_MOST_KEYS])
    explained = generator.explain()
    run = _timed(generator)
    stats = generator.stats
    return StreamFact(
        organism=shortened(organism, NAME_WIDTH),
        n_obs=cells.n_obs,
        explained=explained,
        mixing=mixing,
        n_streamed=run.n_obs,
        seconds=run.first + run.seconds,
        first=run.first,
        cells_per_second=run.n_after / run.seconds if run.seconds else 0.0,
        bytes_per_second=stats.bytes_read / stats.seconds if stats.seconds else 0.0,
        processors=os.cpu_count() or 1,
    )


def _mixing(generator: Generator, key: str) -> MixingFact:
    found = generator.mixing(key)
    name = shortened(key, NAME_WIDTH)
    return MixingFact(name, found.batch, found.perfect, found.ratio, found.error)


def _timed(generator: Generator) -> _Run:
    began, first, n_obs, n_after = time.perf_counter(), 0.0, 0, 0
    seconds = 0.0
    for _ in range(_MOST_EPOCHS):
        batches: Any = iter(generator)
        with closing(batches):
            for batch in batches:
                n = len(batch["index"])
                seconds = time.perf_counter() - began
                n_obs += n
                n_after += n if first else 0
                first = first or seconds
                if seconds - first > SECONDS:
                    return _Run(first, n_obs, n_after, seconds - first)
        if not n_obs:
            break
    return _Run(first, n_obs, n_after, seconds - first)
