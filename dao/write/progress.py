"""The progress bar of a write: shown on a terminal, silent elsewhere."""

from __future__ import annotations

import sys
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from dao.bars import bar_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import TaskID

__all__ = ["ProgressReport", "progress_report"]

_MOST_SHOWN = 8


class ProgressReport(Protocol):
    """What the writer tells while it works."""

    def begin(self, name: str, n_elements: int) -> Callable[[int], None]:
        """Say that a dataset with this many elements is begun.

        Returns
        -------
        What is to be called with the number of elements that were read since the last call.
        """


class _Silent:
    def begin(self, name: str, n_elements: int) -> Callable[[int], None]:
        return lambda _: None


@contextmanager
def progress_report(*, show: bool) -> Iterator[ProgressReport]:
    """Yield a report that draws a bar per dataset on stderr if ``show`` and a person can see it."""
    if not show or not sys.stderr.isatty():
        yield _Silent()
        return
    from rich.console import Console
    from rich.progress import Progress

    shown: deque[TaskID] = deque()

    class _Bars:
        def begin(self, name: str, n_elements: int) -> Callable[[int], None]:
            task = bars.add_task(name, total=max(1, n_elements))
            shown.append(task)
            if len(shown) > _MOST_SHOWN:  # a thousand datasets do not fit on a terminal
                bars.update(shown.popleft(), visible=False)
            if not n_elements:
                bars.advance(task, 1)
            return lambda n: bars.advance(task, n)

    with Progress(*bar_columns("values"), console=Console(stderr=True)) as bars:
        yield _Bars()
