"""A shard of which some parts are here: a file with holes, and marks for what it holds."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["ShardFile"]

_HERE = b"\x01"


@dataclass(frozen=True, slots=True)
class ShardFile:
    """An open file in which each part of a shard lies where it lies in the shard.

    Behind the shard's bytes stands one byte for each inner chunk, and one for the index: whether
    it is here. It is written after what it speaks of, so of several processes none believes in
    bytes that another has not written yet. So the local decoder can read the file as if it were
    the shard.

    Attributes
    ----------
    file
        Descriptor, for reading and writing.
    size
        Bytes of the shard.
    n_chunks
        Inner chunks of the shard.
    """

    file: int
    size: int
    n_chunks: int

    @classmethod
    def on_disk(cls, path: Path, size: int, n_chunks: int) -> ShardFile:
        """Open or make a file, and note that it is in use."""
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return _prepared(cls(opened, size, n_chunks))

    @classmethod
    def in_memory(cls, size: int, n_chunks: int) -> ShardFile:
        """Make a file without a name, in memory where the system can do that."""
        if hasattr(os, "memfd_create"):
            return _prepared(cls(os.memfd_create("dao-shard"), size, n_chunks))
        with tempfile.TemporaryFile() as file:
            return _prepared(cls(os.dup(file.fileno()), size, n_chunks))

    def marks(self) -> NDArray[np.bool_]:
        """Return which chunks are here, and last whether the index is."""
        return np.frombuffer(os.pread(self.file, self.n_chunks + 1, self.size), np.bool_)

    def write(self, chunk: int, offset: int, content: bytes) -> None:
        """Put a chunk, or the index (chunk ``n_chunks``), where it belongs."""
        done = 0
        while done < len(content):
            done += os.pwrite(self.file, content[done:], offset + done)
        os.pwrite(self.file, _HERE, self.size + chunk)

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes of the shard."""
        return os.pread(self.file, length, offset)

    def forget(self) -> None:
        """Take all marks away."""
        os.pwrite(self.file, bytes(self.n_chunks + 1), self.size)

    def close(self) -> None:
        """Close the file; what is on disk stays."""
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
