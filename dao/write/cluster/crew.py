"""Crew: gives out calls to the workers of a cluster, several at a time, and follows them up.

What is to be done is told by generators ("steps"): each yields calls that can be made at the same
time, is sent their results, and returns what it has made.
"""

from __future__ import annotations

import importlib
import shutil
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from dao.errors import StorageError
from dao.write.cluster.attempt import Done, attempt, dismiss, n_busy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dao.write.cluster.site import Site

__all__ = ["Call", "Crew", "Steps", "Work"]

T = TypeVar("T")

_RETRIES = 2  # of a task that failed: another worker may see what this one did not
_PER_THREAD = 2  # tasks that are given out at a time, so that no worker waits for its next
_LOOK = 2.0  # seconds between looks whether the cluster is there at all
_PATIENCE = 60.0  # seconds for tasks to notice that nobody waits for them


@dataclass(frozen=True)
class Call:
    """A function of `dao.write.cluster.tasks`.

    Attributes
    ----------
    n_elements
        Elements of the source that it reads.
    is_here
        Whether it is to be called in this process.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    n_elements: int = 0
    is_here: bool = False


Steps = Generator[list[Call], list[Any], T]


@dataclass
class Work:
    """Steps that are made one after another.

    Attributes
    ----------
    number
        By which its result is known.
    advance
        Called with the number of elements that were read since the last call.
    """

    number: int
    steps: Steps[Any]
    advance: Callable[[int], None]
    results: list[Any] = field(default_factory=list)
    n_missing: int = 0
    folders: list[Path] = field(default_factory=list)


class Crew:
    """The workers of a cluster, and a thread here.

    Parameters
    ----------
    client
        A `distributed.Client`.
    root
        Folder of the store.
    """

    def __init__(self, client: Any, root: Path, site: Site) -> None:
        self._client, self._root, self._site = client, root, site
        self._here = ThreadPoolExecutor(1, thread_name_prefix="dao-write-here")
        self._ended: SimpleQueue[Any] = SimpleQueue()
        self._running: dict[Any, tuple[Work, int, Call]] = {}
        self._waiting: deque[tuple[Work, int, Call]] = deque()

    def carry_out(self, works: Iterator[Work]) -> Iterator[tuple[int, Any]]:
        """Yield number and result of each work, in the order in which they end.

        Works are begun one by one, as workers become free.

        Raises
        ------
        dao.errors.DaoError
            That of a task; or if workers were lost too often.
        """
        try:
            while self._hand_out(works):
                future = self._next()
                work, slot, call = self._running.pop(future)
                work.results[slot] = self._value(future, work)
                work.advance(call.n_elements)
                work.n_missing -= 1
                if not work.n_missing:
                    yield from self._go_on(work)
        except BaseException:
            self._stop()
            raise
        finally:
            self._here.shutdown(wait=True, cancel_futures=True)
            with suppress(Exception):  # a worker that has gone keeps nothing
                self._client.run(dismiss, str(self._site.folder), on_error="ignore")

    def _hand_out(self, works: Iterator[Work]) -> bool:
        """Give out what can be given out; return whether anything is under way."""
        n_remote = sum(not call.is_here for _, _, call in self._running.values())
        room = _PER_THREAD * max(1, sum(self._client.nthreads().values())) - n_remote
        while room > 0:
            if not self._waiting:
                work = next(works, None)
                if work is None:
                    break
                self._add(work, next(work.steps))
                continue
            task = self._waiting.popleft()
            room -= not task[2].is_here
            self._give(task)
        return bool(self._running)

    def _add(self, work: Work, calls: Sequence[Call]) -> None:
        work.results, work.n_missing = [None] * len(calls), len(calls)
        # What was begun goes before what was not.
        self._waiting.extendleft((work, i, calls[i]) for i in reversed(range(len(calls))))

    def _give(self, task: tuple[Work, int, Call]) -> None:
        call = task[2]
        if call.is_here:
            future: Any = self._here.submit(attempt, self._site, call.function, call.arguments)
        else:
            future = self._client.submit(
                attempt, self._site, call.function, call.arguments, pure=False, retries=_RETRIES
            )
        self._running[future] = task
        future.add_done_callback(self._ended.put)

    def _next(self) -> Any:
        """Return the next task that has ended."""
        while self._client.status in {"running", "connecting"}:
            with suppress(Empty):
                return self._ended.get(timeout=_LOOK)
        msg = "The connection to the scheduler of the dask cluster is lost; nothing was written."
        raise StorageError(msg)

    def _value(self, future: Any, work: Work) -> Any:
        """Return what a task returned, with its files moved into the store."""
        scheduler = importlib.import_module("distributed.scheduler")
        client = importlib.import_module("distributed.client")
        try:
            outcome = future.result()
        except (scheduler.KilledWorker, client.FutureCancelledError) as error:
            msg = (
                f"The dask cluster lost its workers again and again: {error} If they ran out of "
                "memory, give them more, fewer threads each, or a smaller memory=."
            )
            raise StorageError(msg) from error
        if not isinstance(outcome, Done):
            raise outcome.error
        folder = self._site.folder / outcome.folder
        work.folders.append(folder)
        _move(folder / "store", self._root)
        return outcome.value

    def _go_on(self, work: Work) -> Iterator[tuple[int, Any]]:
        try:
            self._add(work, work.steps.send(work.results))
        except StopIteration as end:
            for folder in work.folders:
                shutil.rmtree(folder, ignore_errors=True)
            yield work.number, end.value

    def _stop(self) -> None:
        """Call everybody back; wait until nobody writes any more."""
        self._site.end()
        futures = [f for f, (_, _, call) in self._running.items() if not call.is_here]
        self._running.clear()
        with suppress(Exception):  # of a cluster that has gone; what went wrong is known already
            self._client.cancel(futures, force=True)
            until = time.monotonic() + _PATIENCE
            while time.monotonic() < until:
                busy = self._client.run(n_busy, str(self._site.folder), on_error="ignore")
                if not any(busy.values()):
                    break
                time.sleep(0.05)


def _move(folder: Path, root: Path) -> None:
    """Move all files and folders into another folder, where some of these folders may be."""
    for path in sorted(folder.iterdir()):
        target = root / path.name
        if path.is_dir() and target.exists():
            _move(path, target)
        else:
            path.rename(target)
