"""A progress bar around batches that says whether the loader or the model is the limit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console

    from dao.batches.stats import Stats

__all__ = ["progress"]


def progress(
    batches: Iterable[Any], description: str = "", *, total: int | None = None
) -> Iterator[Any]:
    """Yield batches and show a progress bar: cells per second, and time spent waiting for data.

    Where a training waits for data the loader is the limit; else the model is. Both are of this
    loop, whatever is between it and the store. The bar is shown on a terminal (on stderr) and in a
    notebook, by the first rank of a distributed run; elsewhere nothing is shown.

    Parameters
    ----------
    batches
        A `Generator`, what its ``torch()``, ``tensorflow()`` or ``jax()`` return, a DataLoader of
        it, or a `dao.interleave`.
    description
        Shown before the bar, as ``"epoch 3"``.
    total
        Batches to come; ``len(batches)`` if None.

    Examples
    --------
    >>> import dao
    >>> sum(len(batch["index"]) for batch in dao.progress(store.generator(batch_size=100)))
    400
    """
    from dao.batches.share import found_share
    from dao.batches.stats import Stats

    stats = Stats()
    timed = _timed(batches, stats)
    console = _console()
    if found_share().rank or not (console.is_terminal or console.is_jupyter):
        yield from timed
        return
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        n = _length(batches) if total is None else total
        task = bar.add_task(escape(description), total=n, figures="")
        for batch in timed:
            bar.update(task, advance=1, figures=_figures(stats))
            yield batch
            del batch
        bar.update(task, total=stats.n_batches, figures=_figures(stats))


def _timed(batches: Iterable[Any], stats: Stats) -> Iterator[Any]:
    """Yield batches and count: cells, batches, seconds, and of these those until they came."""
    asked = began = time.perf_counter()
    for batch in batches:
        stats.waited_seconds += time.perf_counter() - asked
        stats.n_batches += 1
        stats.n_obs += _n_obs(batch)
        stats.seconds = time.perf_counter() - began
        yield batch
        del batch
        asked = time.perf_counter()
        stats.seconds = asked - began


def _figures(stats: Stats) -> str:
    rate = f"{stats.cells_per_second:,.0f} cells/s, " if stats.n_obs else ""
    return f"{rate}{100 * stats.waiting:.0f} % waiting for data"


def _n_obs(batch: Any) -> int:
    if isinstance(batch, tuple) and len(batch) == 2:
        batch = batch[1]  # of `dao.interleave`
    index = batch.get("index") if isinstance(batch, Mapping) else None
    return 0 if index is None else int(index.shape[0])


def _length(batches: Any) -> int | None:
    try:
        return len(batches)
    except TypeError:
        return None


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True)
