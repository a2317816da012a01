"""Chunks in memory, for where there is no cache on disk, or it cannot take them."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.forks import Lock

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Held"]

# Of the memory that a stream may hold.
_SHARE = 4


class Held:
    """Chunks as they are stored; those used least recently go first.

    Parameters
    ----------
    size
        Bytes that it may hold.
    """

    def __init__(self, size: int) -> None:
        self._size, self._used = size, 0
        self._lock = Lock()
        self._chunks: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    @classmethod
    def share_of(cls, memory: int) -> Held:
        """Return one that holds the part of a stream's memory that is for this."""
        return cls(memory // _SHARE)

    def keep(self, name: str, chunk: int, content: bytes) -> None:
        """Keep a chunk, if it is not larger than all that may be held."""
        with self._lock:
            self._used -= len(self._chunks.pop((name, chunk), b""))
            if len(content) > self._size:
                return
            self._chunks[name, chunk] = content
            self._used += len(content)
            while self._used > self._size:
                self._used -= len(self._chunks.popitem(last=False)[1])

    def find(self, name: str, chunk: int) -> bytes | None:
        """Return a chunk that is held, or None."""
        with self._lock:
            content = self._chunks.get((name, chunk))
            if content is not None:
                self._chunks.move_to_end((name, chunk))
            return content

    def which(self, name: str, n_chunks: int) -> NDArray[np.bool_]:
        """Return which chunks of a shard are held."""
        with self._lock:
            return np.array([(name, chunk) in self._chunks for chunk in range(n_chunks)], np.bool_)

    def forget(self, name: str, n_chunks: int) -> None:
        """Let go of the chunks of a shard."""
        with self._lock:
            for chunk in range(n_chunks):
                self._used -= len(self._chunks.pop((name, chunk), b""))

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._chunks.clear()
            self._used = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"_size": self._size}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_size"])  # type: ignore[misc]
