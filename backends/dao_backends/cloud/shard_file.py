"""A shard of which some parts are here: a file with holes, and marks for what it holds."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dao_backends.cloud.claims import claim, release

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from dao_backends.cloud.held import Held

__all__ = ["ShardFile"]

_HERE = b"\x01"


@dataclass(frozen=True, slots=True)
class ShardFile:
    """An open file in which each part of a shard lies where it lies in the shard.

    Behind the shard's bytes stands one byte for each inner chunk, and one for the index: whether
    it is here. It is written after what it speaks of, so of several processes none believes in
    bytes that another has not written yet. Its place is what a claim locks. So the local decoder
    can read the file as if it were the shard.

    Attributes
    ----------
    file
        Descriptor, for reading and writing.
    name
        Of the shard: different for all shards of all stores.
    size
        Bytes of the shard.
    n_chunks
        Inner chunks of the shard.
    held
        Where chunks are kept beyond the life of a file in memory; None for a file on disk.
    """

    file: int
    name: str
    size: int
    n_chunks: int
    held: Held | None = None
    _claimed: set[int] = field(default_factory=set)

    @classmethod
    def on_disk(cls, path: Path, size: int, n_chunks: int) -> ShardFile:
        """Open or make a file, and note that it is in use."""
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return _prepared(cls(opened, str(path), size, n_chunks))

    @classmethod
    def in_memory(cls, name: str, size: int, n_chunks: int, held: Held) -> ShardFile:
        """Make a file without a name, in memory where the system can do that."""
        if hasattr(os, "memfd_create"):
            return _prepared(cls(os.memfd_create("dao-shard"), name, size, n_chunks, held))
        with tempfile.TemporaryFile() as file:
            return _prepared(cls(os.dup(file.fileno()), name, size, n_chunks, held))

    def marks(self) -> NDArray[np.bool_]:
        """Return which chunks are here, and last whether the index is."""
        marks = os.pread(self.file, self.n_chunks + 1, self.size)
        # Shorter if somebody has cut the file.
        return np.frombuffer(marks.ljust(self.n_chunks + 1, b"\0"), np.bool_)

    def write(self, chunk: int, offset: int, content: bytes) -> None:
        """Put a chunk, or the index (chunk ``n_chunks``), where it belongs."""
        if self.held is not None and chunk < self.n_chunks:
            self.held.keep(self.name, chunk, content)
        self._write(chunk, offset, content)

    def take_in(self, chunks: NDArray[np.int64], offsets: NDArray[np.int64]) -> None:
        """Put chunks into a file in memory that are held since another one had them."""
        if self.held is None:
            return
        for chunk in chunks.tolist():
            content = self.held.find(self.name, chunk)
            if content is not None:
                self._write(chunk, int(offsets[chunk]), content)

    def _write(self, chunk: int, offset: int, content: bytes) -> None:
        done = 0
        while done < len(content):
            done += os.pwrite(self.file, content[done:], offset + done)
        os.pwrite(self.file, _HERE, self.size + chunk)

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes of the shard."""
        return os.pread(self.file, length, offset)

    def here(self) -> NDArray[np.bool_]:
        """Return which chunks need not be read from elsewhere."""
        marks = self.marks()[:-1].copy()
        return marks if self.held is None else marks | self.held.which(self.name, self.n_chunks)

    def claim(self, parts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of the parts that the owner of this file is now to bring.

        The others are on their way. Parts are chunks, or the index (``n_chunks``), ascending.
        """
        got = claim(*self._shared(parts))
        self._claimed.update(got.tolist())
        return got

    def release(self, parts: NDArray[np.int64]) -> None:
        """Let others bring those parts that were claimed, if they are still missing."""
        mine = np.array([p for p in parts.tolist() if p in self._claimed], np.int64)
        self._claimed.difference_update(mine.tolist())
        release(*self._shared(mine))

    def _shared(self, parts: NDArray[np.int64]) -> tuple[Any, ...]:
        """Return what names parts in this process and, where they have it open, in others."""
        if self.held is None:
            return self.name, parts, self.file, self.size
        return (id(self.held), self.name), parts

    def forget(self) -> None:
        """Take all marks away."""
        if self.held is not None:
            self.held.forget(self.name, self.n_chunks)
        os.pwrite(self.file, bytes(self.n_chunks + 1), self.size)

    def close(self) -> None:
        """Close the file and give claims back; what is on disk stays."""
        try:
            self.release(np.array(sorted(self._claimed), np.int64))
        finally:
            os.close(self.file)


def _prepared(made: ShardFile) -> ShardFile:
    try:
        whole = made.size + made.n_chunks + 1
        if os.fstat(made.file).st_size != whole:
            os.truncate(made.file, whole)
        os.utime(made.file)
    except BaseException:
        made.close()
        raise
    return made
