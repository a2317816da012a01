"""Supply: has chunks at hand for as long as they are decoded, out of the cache or the bucket."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dao.backend import Traffic
from dao.errors import CorruptStoreError, DaoError
from dao_backends.cloud.cache import Cache, NoRoomError
from dao_backends.cloud.fetch import Wanted, bring, wanted_shards
from dao_backends.cloud.table import at_hand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from dao.remote.bucket import Bucket
    from dao_backends.cloud.table import RemoteTable

    Chunks = Sequence[tuple[RemoteTable, NDArray[np.int64]]]

__all__ = ["Supply"]

T = TypeVar("T")


class Supply:
    """Chunks of one store, for any number of threads."""

    def __init__(self, bucket: Bucket, cache: Cache) -> None:
        self.bucket, self._cache = bucket, cache
        self._memory = Cache(Path(), 0)
        self._lock = threading.Lock()
        self._hits = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"bucket": self.bucket, "_cache": self._cache}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["bucket"], state["_cache"])  # type: ignore[misc]

    def traffic(self) -> Traffic:
        """Return what was asked for so far, and what was not."""
        return Traffic(self.bucket.requests, self._hits)

    def while_here(self, wanted: Chunks, uuid: str, function: Callable[[], T]) -> T:
        """Call a function while chunks are at hand.

        Where it finds them damaged it was the cache, as what is read is checked before it is
        kept: it is then called once more, with chunks that are read again.

        Parameters
        ----------
        wanted
            Arrays, and the numbers of chunks of each; may be at hand already.
        uuid
            Of the store: another one at the same URL shares nothing with it.
        """
        here = at_hand.get({})
        needed = [(t.path, s) for t, chunks in wanted for s, _ in wanted_shards(t, chunks)]
        if all(one in here for one in needed):
            return function()
        with self._brought(wanted, uuid):
            try:
                return function()
            except CorruptStoreError:
                if not self._cache.is_on:
                    raise
        with self._brought(wanted, uuid, anew=True):
            return function()

    @contextmanager
    def _brought(self, wanted: Chunks, uuid: str, *, anew: bool = False) -> Iterator[None]:
        """Have chunks in files, those of the cache or, where it cannot be used, in memory."""
        files = self._open(self._cache, wanted, uuid)
        try:
            if anew:
                for one in files:
                    one.file.forget()
            if not self._bring(self._cache, files):
                _close(files)
                files = self._open(self._memory, wanted, uuid)
                self._bring(self._memory, files)
            token = at_hand.set({(one.table.path, one.shard): one.file for one in files})
            try:
                yield
            finally:
                at_hand.reset(token)
        finally:
            _close(files)

    def _open(self, cache: Cache, wanted: Chunks, uuid: str) -> list[Wanted]:
        files = []
        for table, chunks in wanted:
            for shard, inside in wanted_shards(table, chunks):
                name = f"{table.url / table.name(shard)} {uuid}"
                file = cache.open(name, table.array.shard_sizes[shard], table.per_shard)
                files.append(Wanted(table, shard, inside, file))
        return files

    def _bring(self, cache: Cache, files: Sequence[Wanted]) -> bool:
        """Return whether the cache could take what is missing."""
        try:
            hits = bring(self.bucket, cache, files)
        except DaoError:
            raise
        except NoRoomError:
            return False
        except OSError as error:
            if not cache.is_on:
                raise
            cache.give_up(error)
            return False
        with self._lock:
            self._hits += hits
        return True


def _close(files: list[Wanted]) -> None:
    while files:
        files.pop().file.close()
