"""Run: some work on every block of a matrix, here or by the tasks of a backend."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from dao.buffers import keep
from dao.errors import ArgumentError
from dao.forks import job
from dao.format.casts import without_advice
from dao.lazy.source import cut, read_matrix
from dao.threads import n_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from dao.lazy.blocks import Block
    from dao.lazy.source import Source
    from dao.store import Store

    Labels = NDArray[Any] | None

__all__ = ["in_float64", "over_blocks"]

T = TypeVar("T")

_THREADS = 4  # each holds a block
_KEPT_BYTES = 1 << 29  # of blocks that are done, for those to come
_CALLS = 64  # at most, so that few results wait to be added up


@runtime_checkable
class _Runner(Protocol):
    """A reader that has functions called elsewhere."""

    def run(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return ``function(*arguments)`` of each call."""


@contextmanager
def in_float64() -> Iterator[None]:
    """Say what to do about whole numbers that float64 cannot hold, where nothing else is offered.

    Raises
    ------
    dao.errors.ArgumentError
        In place of the one that advises another dtype.
    """
    try:
        yield
    except ArgumentError as error:
        problem = without_advice(error)
        if problem == str(error):
            raise
        msg = (
            f"{problem} Statistics are calculated in float64: take the cells with "
            "store.to_anndata(), and calculate with its dtype."
        )
        raise ArgumentError(msg) from error


def over_blocks(
    store: Store,
    source: Source,
    work: Callable[[Any, Labels], T],
    add: Callable[[T, T], T],
    labels: Labels = None,
) -> T:
    """Return the sum of some work on all blocks of a selection.

    Parameters
    ----------
    store, source
        The selection, and which matrix of it.
    work
        From the rows of a block, and their labels, to a result.
    add
        Two results in one.
    labels
        One for each row of the selection.
    """
    blocks = cut(store, source)
    parts = [None if labels is None else labels[b.start : b.stop] for b in blocks]
    pairs = list(zip(blocks, parts, strict=True))
    if isinstance(store.reader, _Runner):
        few = np.array_split(np.arange(len(pairs)), min(_CALLS, len(pairs)))
        calls = [(source, work, add, [pairs[i] for i in some]) for some in few]
        results: list[T] = store.reader.run(fold, calls)
        return reduce(add, results)
    keep(source, _KEPT_BYTES)
    with ThreadPoolExecutor(min(_THREADS, n_threads()), "dao-stats") as pool:
        return reduce(add, pool.map(job(partial(_one, source, work)), pairs))


def fold(
    source: Source,
    work: Callable[[Any, Labels], T],
    add: Callable[[T, T], T],
    pairs: Sequence[tuple[Block, Labels]],
) -> T:
    """Return the sum of the work on some blocks, one after another."""
    keep(source, _KEPT_BYTES)
    return reduce(add, (_one(source, work, pair) for pair in pairs))


def _one(source: Source, work: Callable[[Any, Labels], T], pair: tuple[Block, Labels]) -> T:
    block, labels = pair
    return work(read_matrix(source, block), labels)
