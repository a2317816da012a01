"""What was read from URLs, on local disk: bounded, the least recently used goes first.

Several processes may share a folder. A file is its shard's or small file's alone, and what is
removed while another process has it open stays readable there, so readers need no locks.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dao.paths import local_path
from dao.remote.network import Network
from dao.replacing import replacing
from dao.warn import warn
from dao_backends.cloud.claims import Patience
from dao_backends.cloud.room import Room
from dao_backends.cloud.shard_file import ShardFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dao.format.manifest import FileInfo

__all__ = ["Cache", "NoRoomError", "default_folder"]

# Seconds for which another process that reads a small file is waited for.
_PATIENCE = 30.0


def default_folder() -> Path:
    """Return where caches of the user are by custom, and ``dao`` in it."""
    return local_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "XDG_CACHE_HOME") / "dao"


class NoRoomError(Exception):
    """What is to be kept is larger than the cache."""


class Cache:
    """Parts of shards, and small files.

    Whatever goes wrong with the disk is told once, as a warning; what is read is then held in
    memory for as long as it is needed.

    Parameters
    ----------
    folder
        Made if it is not there.
    size
        Bytes that it may hold; 0 for no cache.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder, self._size = folder, size
        self._room: Room | None = None
        if size:
            try:
                (folder / "files").mkdir(parents=True, exist_ok=True)
                (folder / "shards").mkdir(exist_ok=True)
                self._room = Room(folder, size)
            except OSError as error:
                self.give_up(error)

    @property
    def is_on(self) -> bool:
        """Whether anything is kept."""
        return self._room is not None

    def give_up(self, error: OSError) -> None:
        """Keep nothing any more, and say so."""
        if self._room is None and self._size == 0:
            return
        self._room, self._size = None, 0
        warn(
            f"The cache {self._folder} cannot be used ({error.strerror}): what is read is not "
            "kept. Choose another cache_dir=, or a smaller cache_size=."
        )

    def open(self, name: str, size: int, n_chunks: int) -> ShardFile | None:
        """Return the file of a shard, or None; ``name`` differs for all shards of all stores."""
        if self._room is not None:
            digest = hashlib.sha256(f"{name}:{size}".encode()).hexdigest()[:40]
            folder = self._folder / "shards" / digest[:2]
            try:
                folder.mkdir(exist_ok=True)
                return ShardFile.on_disk(folder / digest, size, n_chunks)
            except OSError as error:
                self.give_up(error)
        return None

    def make_room(self, n_bytes: int, n_pieces: int) -> None:
        """Remove what was not used for longest, until there is room.

        Raises
        ------
        NoRoomError
            If it is more than the cache may hold in all.
        """
        if self._room is not None and n_pieces and not self._room.make(n_bytes, n_pieces):
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
        if self._room is None or Network.is_here():  # those threads make its request
            yield
            return
        path = self._folder / "files" / f"{info.sha256}.lock"
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            yield  # what is wrong is known when the file is to be kept
            return
        try:
            patience = Patience(_PATIENCE)
            while not _is_locked(file) and not patience.is_over:
                patience.pause(1)
            yield
            path.unlink(missing_ok=True)
        finally:
            os.close(file)

    def keep(self, info: FileInfo, content: bytes) -> None:
        """Keep a small file."""
        if not self.is_on:
            return
        try:
            self.make_room(len(content), 1)
            with replacing(self._folder / "files" / info.sha256, durable=False) as staged:
                staged.write_bytes(content)
        except NoRoomError:
            return
        except OSError as error:
            self.give_up(error)

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder, "_size": self._size}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_folder"], state["_size"])  # type: ignore[misc]


def _is_locked(file: int) -> bool:
    """Whether the lock is this file's now, or there are no locks here."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
