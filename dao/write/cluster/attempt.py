"""Attempt: one try at a task, in a folder of its own; this is what a worker runs."""

from __future__ import annotations

import errno
import importlib
import secrets
import shutil
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from dao.errors import DaoError, StorageError
from dao.write.files import fsync
from dao.write.matrices import Workshop
from dao.write.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dao.write.cluster.site import Site

__all__ = ["Done", "Failed", "Place", "attempt", "dismiss", "n_busy"]

# What another try, or another worker, would meet again.
_LASTING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@dataclass(frozen=True)
class Place:
    """Where a task writes, and what with.

    Attributes
    ----------
    store
        What it finishes, under the paths that it will have in the store.
    kept
        What later tasks of the same dataset read.
    """

    store: Path
    kept: Path
    shop: Workshop
    site: Site

    def advance(self, _: int) -> None:
        """Go on, unless nobody waits any more."""
        if not self.site.is_open:
            raise _EndedError


@dataclass(frozen=True)
class Done:
    """What a task returned, and the name of the folder that it wrote into."""

    folder: str
    value: Any


@dataclass(frozen=True)
class Failed:
    """An error that no further try would mend."""

    error: Exception


class _EndedError(Exception):
    """Whoever gave out the task has gone."""


class _Busy:
    """The sites for which this process works right now."""

    lock = threading.Lock()
    tasks: ClassVar[Counter[str]] = Counter()


def n_busy(folder: str) -> int:
    """Return the number of tasks that this process runs for the site in a folder."""
    with _Busy.lock:
        return _Busy.tasks[folder]


def attempt(site: Site, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Done | Failed:
    """Call ``function(place, *arguments)``.

    Raises
    ------
    Exception
        What might go well another time.
    """
    if not site.is_open:
        msg = (
            f"A worker of the cluster does not see {site.folder.parents[1]}, where the store is "
            "written: client= needs a folder that all machines share."
        )
        return Failed(StorageError(msg))
    folder = site.folder / secrets.token_hex(8)
    try:
        with _counted(site), _workshop(site) as shop:
            place = Place(folder / "store", folder / "kept", shop, site)
            place.store.mkdir(parents=True)
            place.kept.mkdir()
            value = function(place, *arguments)
            _sync(place.store)
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        lasting = isinstance(error, OSError) and error.errno in _LASTING
        if lasting or isinstance(error, DaoError | UnicodeEncodeError | _EndedError):
            return Failed(error)
        raise
    return Done(folder.name, value)


@contextmanager
def _counted(site: Site) -> Iterator[None]:
    name = str(site.folder)
    with _Busy.lock:
        _Busy.tasks[name] += 1
    try:
        yield
    finally:
        with _Busy.lock:
            _Busy.tasks[name] -= 1


class _Idle:
    """Workshops of this process that wait for their next task, and the site that they are for."""

    lock = threading.Lock()
    folder = ""
    shops: ClassVar[list[Workshop]] = []


def dismiss(folder: str) -> None:
    """Give back the memory that this process keeps for the site in a folder."""
    with _Idle.lock:
        if _Idle.folder == folder:
            while _Idle.shops:
                _Idle.shops.pop().workers.close()


@contextmanager
def _workshop(site: Site) -> Iterator[Workshop]:
    """Yield one with the share that a task has of its process: one thread of those of a worker."""
    worker = _this_worker()
    if worker is None:
        with Workers() as workers:
            yield Workshop.within(site.memory, workers)
        return
    dismiss(_Idle.folder if _Idle.folder != str(site.folder) else "")
    with _Idle.lock:
        _Idle.folder = str(site.folder)
        shop = _Idle.shops.pop() if _Idle.shops else None
    if shop is None:
        limit = worker.memory_manager.memory_limit
        # dask stops giving work to a process that holds more than some two thirds of its limit.
        memory = min(site.memory, limit // 2) if limit else site.memory
        shop = Workshop.within(memory // worker.state.nthreads, Workers(1))
    try:
        yield shop
    finally:
        with _Idle.lock:
            if is_kept := site.is_open and _Idle.folder == str(site.folder):
                _Idle.shops.append(shop)
        if not is_kept:
            shop.workers.close()


def _this_worker() -> Any:
    if "distributed" not in sys.modules:
        return None
    try:
        return importlib.import_module("distributed").get_worker()
    except ValueError:
        return None


def _sync(folder: Path) -> None:
    """Bring files to the disk: only the machine that wrote them can."""
    for path in folder.rglob("*"):
        if path.is_file():
            fsync(path)
