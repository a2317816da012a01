"""Progress bars that tell the rate and the time left: on a terminal, silent elsewhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import ProgressColumn

__all__ = ["bar", "bar_columns"]


@contextmanager
def bar(what: str, total: int, unit: str, *, show: bool = True) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told of each further piece; it draws a bar on stderr.

    Parameters
    ----------
    total
        All pieces.
    unit
        What a piece is called, as in ``"values"``.
    show
        Whether to draw, if a person can see it.
    """
    if not show or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    with Progress(*bar_columns(unit), console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task(escape(what), total=max(1, total))
        yield lambda n: drawn.advance(task, n)


def bar_columns(unit: str) -> tuple[ProgressColumn, ...]:
    """Return what stands in a line: name, bar, percent, rate, time left."""
    from rich.progress import (
        BarColumn,
        ProgressColumn,
        Task,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class _Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            # Of a task that ended with its first step rich knows no speed.
            speed = task.finished_speed or task.speed or task.completed / (task.elapsed or 1)
            return Text(f"{_compact(speed)} {unit}/s" if speed else "")

    return (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )


def _compact(number: float) -> str:
    for letter, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.1f}{letter}"
    return f"{number:.0f}"
