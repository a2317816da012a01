"""Windows: the rows of a stream, read a part at a time."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from dao.batches.fetch import begin_fetch
from dao.batches.locate import locate
from dao.batches.prefetch import one_ahead
from dao.buffers import kept_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from dao.batches.budget import Budget
    from dao.batches.fetch import Fetched
    from dao.batches.locate import Located
    from dao.batches.spec import BatchSpec
    from dao.batches.stream import Stream
    from dao.store import Store

__all__ = ["windows"]


def windows(
    store: Store,
    spec: BatchSpec,
    stream: Stream,
    budget: Budget,
    wait_until_taken: Callable[[], None],
) -> Generator[Fetched]:
    """Yield the decoded rows of a stream, in order; the next ones are decoded meanwhile.

    They are read a window of the sampler at a time, or less where memory asks for it. None is begun
    before the consumer has taken what was made of earlier ones: so its memory is used again, and
    a consumer that is slow has enough with the window that is decoded by then.
    """

    def begin(rows: Located) -> Callable[[], Fetched]:
        wait_until_taken()
        return begin_fetch(store.reader, spec.matrices, rows, fused=budget.fuses(len(rows)))

    return one_ahead(_located(store, stream, budget), begin)


def _located(store: Store, stream: Stream, budget: Budget) -> Iterator[Located]:
    """Yield what is to be read at once, and where it is to be cut."""
    at_most = budget.fetch_rows
    # Without used memory a window takes long, so the first batch is fetched alone.
    first = 0 if kept_bytes() else min(at_most, budget.stretch)
    done = last_end = 0
    for rows in stream.rows():
        for a, b in _parts(len(rows), first, at_most):
            ends = stream.ends(done, done + b - a)
            cuts = budget.cuts(ends - done, b - a, begins=done == last_end)
            last_end = int(ends[-1]) if len(ends) else last_end
            yield locate(store.manifest, store.selection, rows[a:b], cuts)
            done += b - a
        first = 0


def _parts(n: int, first: int, at_most: int) -> list[tuple[int, int]]:
    """Cut ``range(n)`` into parts of ``at_most``, after one of ``first`` if that is not 0."""
    starts = [*([0] if first else []), *range(first, n, at_most)]
    return list(pairwise([*starts, n]))
