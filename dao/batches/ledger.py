"""Ledger: small notes that a process and the processes it starts write for each other."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import threading
from collections import deque
from multiprocessing import reduction
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Ledger"]

T = TypeVar("T")


class Ledger:
    """Notes of a process, which the processes that it starts can read and change.

    They lie in a file without a name, so nothing is left behind. Changes are made one at a time,
    under a lock that the system releases when its owner dies.
    """

    _of_this_process: Ledger | None = None
    # Locks of files keep other processes out, not other threads.
    _threads = threading.Lock()

    def __init__(self, fd: int, pid: int) -> None:
        self.fd = fd
        self.pid = pid
        self._forgotten: deque[str] = deque()

    @classmethod
    def of_process(cls) -> Ledger | None:
        """Return that of this process; None if the system has no room for a file."""
        found = cls._of_this_process
        if found is None or found.pid != os.getpid():
            try:
                found = cls(_nameless_file(), os.getpid())
            except OSError:
                return None
            cls._of_this_process = found
        return found

    def __reduce__(self) -> Any:
        return _received, (reduction.DupFd(self.fd), self.pid)

    def get(self, key: str) -> dict[str, Any]:
        """Return the notes under a key."""
        return self.update(key, dict)

    def forget(self, key: str) -> None:
        """Drop the notes under a key, when there is time: this takes no lock."""
        self._forgotten.append(key)

    def update(self, key: str, change: Callable[[dict[str, Any]], T]) -> T:
        """Let a function change the notes under a key, which nobody else changes meanwhile."""
        with Ledger._threads:
            fcntl.lockf(self.fd, fcntl.LOCK_EX)
            try:
                text = os.pread(self.fd, os.fstat(self.fd).st_size, 0)
                notes = json.loads(text) if text.strip() else {}
                while self._forgotten:
                    notes.pop(self._forgotten.popleft(), None)
                result = change(notes.setdefault(key, {}))
                changed = json.dumps(notes).encode()
                if changed != text.rstrip():
                    # Spaces cover what was longer before.
                    os.pwrite(self.fd, changed.ljust(len(text)), 0)
            finally:
                fcntl.lockf(self.fd, fcntl.LOCK_UN)
        return result


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("dao-epochs", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _received(fd: Any, pid: int) -> Ledger:
    return Ledger(fd.detach(), pid)


def _after_fork() -> None:
    # A thread of the parent may have held it.
    Ledger._threads = threading.Lock()  # noqa: SLF001 - its own


os.register_at_fork(after_in_child=_after_fork)
