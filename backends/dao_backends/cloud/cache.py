"""What was read from URLs, on local disk: bounded, the least recently used goes first.

Several processes may share a folder. A file is its shard's or small file's alone, and what is
removed while another process has it open stays readable there, so readers need no locks.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from dao.forks import Lock
from dao.paths import local_path
from dao.remote.network import Network
from dao.replacing import replacing
from dao.warn import warn
from dao_backends.cloud.claims import Patience
from dao_backends.cloud.room import Room
from dao_backends.cloud.shard_file import ShardFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dao.format.manifest import FileInfo

__all__ = ["Cache", "NoRoomError", "default_folder"]

T = TypeVar("T")

# How often a folder is made that disappears while it is used.
_ATTEMPTS = 3
# Seconds for which another process that reads a small file is waited for.
_PATIENCE = 30.0


def default_folder() -> Path:
    """Return where caches of the user are by custom, and ``dao`` in it."""
    return local_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "XDG_CACHE_HOME") / "dao"


class NoRoomError(Exception):
    """What is to be kept is larger than the cache."""


class Cache:
    """Parts of shards, and small files.

    Whatever goes wrong with the disk is one warning; what is read is then held in memory. May be
    used by several threads.

    Parameters
    ----------
    folder
        Made if it is not there.
    size
        Bytes that it may hold; 0 for no cache.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder, self._size = folder, size
        self._lock = Lock()
        self._room: Room | None = None
        if size:
            try:
                self._made("files", lambda path: path)
                self._room = Room(folder, size)
            except OSError as error:
                self.give_up(error)

    @property
    def is_on(self) -> bool:
        """Whether anything is kept."""
        return self._room is not None

    def give_up(self, error: OSError) -> None:
        """Keep nothing any more, and warn about it, once; any number of threads may find out."""
        with self._lock:
            if self._size == 0:
                return
            self._room, self._size = None, 0
        warn(
            f"The cache {self._folder} cannot be used ({_reason(error)}): what is read is not "
            "kept. Choose another cache_dir=, or a smaller cache_size=."
        )

    def open(self, name: str, size: int, n_chunks: int) -> ShardFile | None:
        """Return the file of a shard, or None; ``name`` differs for all shards of all stores."""
        if self._room is None:
            return None
        digest = hashlib.sha256(f"{name}:{size}".encode()).hexdigest()[:40]
        try:
            return self._made(
                f"shards/{digest[:2]}",
                lambda folder: ShardFile.on_disk(folder / digest, size, n_chunks),
            )
        except OSError as error:
            self.give_up(error)
            return None

    def _made(self, name: str, use: Callable[[Path], T]) -> T:
        """Use a folder of the cache, which is made where somebody has removed it."""
        folder = self._folder / name
        for _ in range(_ATTEMPTS):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                return use(folder)
            except FileNotFoundError:
                continue  # it was being removed
        folder.mkdir(parents=True, exist_ok=True)
        return use(folder)

    def make_room(self, n_bytes: int, n_pieces: int) -> None:
        """Remove what was not used for longest, until there is room.

        Raises
        ------
        NoRoomError
            If it is more than the cache may hold in all.
        """
        room = self._room
        if room is not None and n_pieces and not room.make(n_bytes, n_pieces):
            raise NoRoomError

    def load(self, info: FileInfo) -> bytes | None:
        """Return a small file that was kept; the caller compares its checksum."""
        if self._room is None:
            return None
        path = self._folder / "files" / info.sha256
        try:
            content = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return content

    @contextmanager
    def turn(self, info: FileInfo) -> Iterator[None]:
        """Wait while another thread or process reads the same small file to keep it here."""
        path = self._folder / "files" / f"{info.sha256}.lock"
        file = None
        # Threads of the network make the request of whoever has the lock, so they never wait.
        if self.is_on and not Network.is_here():
            with suppress(OSError):  # what is wrong is found out when the file is to be kept
                file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if file is None:
            yield
            return
        try:
            patience = Patience(_PATIENCE)
            while not _is_locked(file) and not patience.is_over:
                patience.pause(1)
            yield
        finally:
            with suppress(OSError):
                path.unlink()
            os.close(file)

    def keep(self, info: FileInfo, content: bytes) -> None:
        """Keep a small file, if that is possible."""
        if not self.is_on:
            return

        def write(folder: Path) -> None:
            with replacing(folder / info.sha256, durable=False) as staged:
                staged.write_bytes(content)

        try:
            self.make_room(len(content), 1)
            self._made("files", write)
        except NoRoomError:
            return
        except OSError as error:
            self.give_up(error)

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder, "_size": self._size}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_folder"], state["_size"])  # type: ignore[misc]


def _reason(error: OSError) -> str:
    """Return what the file system said, also where it became an error of dao."""
    cause = error if error.strerror else error.__cause__
    return str(getattr(cause, "strerror", None) or error)


def _is_locked(file: int) -> bool:
    """Whether the lock is this file's now, or there are no locks here."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
