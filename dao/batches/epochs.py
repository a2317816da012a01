"""Epochs: which one comes next, counted once for a process and the DataLoader workers it starts."""

from __future__ import annotations

import itertools
import os
import sys
import weakref
from multiprocessing import context, current_process
from typing import TYPE_CHECKING, Any

from dao.batches.ledger import Ledger
from dao.batches.share import worker_of
from dao.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Epochs"]

_MOST_TEAMS = 32  # that are remembered
_numbers = itertools.count()
_live: weakref.WeakSet[Epochs] = weakref.WeakSet()


class Epochs:
    """The epoch that comes next.

    A process counts the epochs that it begins. DataLoader workers are other processes, and are not
    told which epoch they begin: the first worker of a team to begin takes the next epoch, and
    writes that down in a ledger, where the others of its team find it. A team are the workers
    that one iterator of a DataLoader has started. With ``persistent_workers`` it begins several
    epochs.
    """

    def __init__(self) -> None:
        self._next = 0
        self._ledger: Ledger | None = None
        self._key = _new_key()
        self._is_noted = False
        self._n_begun = 0  # of this worker
        self._loads = 0
        self._loaded: int | None = None  # in this worker
        self._all: int | None = None  # the epoch of which this process reads the cells of all ranks
        self.reads_all = False
        _live.add(self)

    def __getstate__(self) -> dict[str, Any]:
        if context.get_spawning_popen() is None:
            return {"_next": self.next}  # a copy counts for itself
        # To a process that is being started the ledger can be handed.
        self._share()
        return {**self.__dict__, "_is_noted": False}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        self.__dict__.update(state)

    def __del__(self) -> None:
        if self._is_noted and self._ledger is not None and self._ledger.pid == os.getpid():
            self._ledger.forget(self._key)

    @property
    def next(self) -> int:
        """The epoch that is begun next, by whoever."""
        ledger = self._own()
        return self._next if ledger is None else int(ledger.get(self._key).get("next", self._next))

    def set(self, epoch: int, *, partial: bool = False, reads_all: bool = False) -> None:
        """Make an epoch the next one.

        Parameters
        ----------
        epoch
            0 is the first.
        partial
            Whether a part of it is done, as only this process and those it starts know.
        reads_all
            Whether the first rank reads the cells of all ranks, and hands them out itself.
        """
        self._next = epoch
        self._all = epoch if reads_all else None
        if worker_of() is not None:
            self._loaded = epoch
            return
        self._loads += partial
        ledger = self._own()
        if ledger is not None:
            ledger.update(self._key, self._written(partial=partial))

    def agree(self, first: Callable[[int], int]) -> int:
        """Return the epoch that this process is about to begin.

        Parameters
        ----------
        first
            Returns for the next epoch the first one, from there, of which something is left.
        """
        worker, ledger = worker_of(), self._ledger
        if worker is None or ledger is None or ledger.pid == os.getpid():
            return first(self.next)

        def find(entry: dict[str, Any]) -> int:
            team = self._team(entry, worker)
            if team is None:
                epoch = first(entry["next"] if self._loaded is None else self._loaded)
                is_unknown = entry["loads"] != self._loads and self._loaded is None
                if entry["partial"] == epoch and is_unknown:
                    raise ArgumentError(_LOADED_LATE)  # the epoch stays the next one
                team = self._new_team(entry, worker, epoch)
            team["pids"][str(worker[0])] = os.getpid()
            return int(team["epoch"])

        return ledger.update(self._key, find)

    def begun(self, epoch: int) -> None:
        """Count an epoch that this process begins."""
        self._n_begun += 1
        self._loaded = None
        ledger = self._ledger
        if worker_of() is not None and ledger is not None and ledger.pid != os.getpid():
            self._all = ledger.get(self._key).get("all")
        self.reads_all = self._all == epoch
        if worker_of() is not None:
            self._next = epoch + 1
            return
        self._next = epoch + 1
        ledger = self._own()
        if ledger is not None:
            ledger.update(self._key, lambda entry: entry.update(next=epoch + 1, last=None))

    def team(self) -> tuple[int, int] | None:
        """Return the epoch that DataLoader workers of this process began last, and their number.

        None if this process itself has begun one since, or none was begun.
        """
        ledger = self._own()
        entry = {} if ledger is None or worker_of() is not None else ledger.get(self._key)
        team = entry.get("last")
        return None if team is None else (int(team[0]), int(team[1]))

    # --- the ledger ---------------------------------------------------------------------------

    def _own(self) -> Ledger | None:
        """Return the ledger of this process, if there is one; that of its parent is for workers."""
        ledger = self._ledger
        if ledger is not None and ledger.pid != os.getpid() and worker_of() is None:
            # This process is no worker: it counts for itself from here.
            self._next = int(ledger.get(self._key).get("next", self._next))
            self._ledger = ledger = None
        return ledger

    def _share(self) -> None:
        """Write down the next epoch where workers that are started now will look for it."""
        if worker_of() is not None or "torch.utils.data" not in sys.modules:
            return
        if self._own() is None:
            self._ledger = Ledger.of_process()
            if self._ledger is not None:
                self._ledger.update(self._key, self._written())
                self._is_noted = True

    def _written(self, *, partial: bool = False) -> Callable[[dict[str, Any]], None]:
        def write(entry: dict[str, Any]) -> None:
            entry.setdefault("teams", [])
            entry["next"], entry["loads"] = self._next, self._loads
            entry["partial"] = self._next if partial else None
            entry["last"], entry["all"] = None, self._all

        return write

    def _team(self, entry: dict[str, Any], worker: tuple[int, int, int]) -> dict[str, Any] | None:
        """Return what a worker's team has written down for this epoch, if it has."""
        number, n_workers, seed = worker
        own = [seed, n_workers, self._n_begun]
        for team in reversed(entry["teams"]):
            pids = team["pids"]
            if team["of"] != own or pids.get(str(number), os.getpid()) != os.getpid():
                continue
            # Processes are numbered as they are started. Another team may have the same seed, if
            # somebody has seeded torch again, but not the same numbers.
            near = abs(_number_of_process() - number - team["first"]) < n_workers
            if near or any(map(_is_alive, pids.values())):
                found: dict[str, Any] = team
                return found
        return None

    def _new_team(
        self, entry: dict[str, Any], worker: tuple[int, int, int], epoch: int
    ) -> dict[str, Any]:
        number, n_workers, seed = worker
        team = {
            "of": [seed, n_workers, self._n_begun],
            "first": _number_of_process() - number,
            "epoch": epoch,
            "pids": {},
        }
        entry["teams"] = [*entry["teams"], team][-_MOST_TEAMS:]
        entry["next"], entry["last"] = epoch + 1, [epoch, n_workers]
        return team


def _new_key() -> str:
    return f"{os.getpid()}-{next(_numbers)}"


def _number_of_process() -> int:
    """Return the number of this process among those that its parent has started."""
    numbers = getattr(current_process(), "_identity", ())
    return int(numbers[-1]) if numbers else 0


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _share_all() -> None:
    """Before a fork: what may become a DataLoader worker finds the ledger of this process."""
    if "torch.utils.data" in sys.modules:
        for epochs in _live.copy():
            epochs._share()  # noqa: SLF001 - its own


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_share_all)

_LOADED_LATE = (
    "A state was loaded in the middle of an epoch after the DataLoader had started its workers, "
    "which do not know of it. Make a new DataLoader after load_state_dict, or let torchdata's "
    "StatefulDataLoader load it."
)
