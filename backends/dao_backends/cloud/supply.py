"""Supply: has chunks at hand for as long as they are decoded, out of the cache or the bucket."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from dao.backend import Traffic
from dao.errors import CorruptStoreError, DaoError
from dao.forks import Lock
from dao_backends.cloud.cache import Cache, NoRoomError
from dao_backends.cloud.fetch import bring
from dao_backends.cloud.shard_file import ShardFile
from dao_backends.cloud.table import at_hand
from dao_backends.cloud.wanted import Wanted, wanted_shards

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from dao.remote.bucket import Bucket
    from dao_backends.cloud.held import Held
    from dao_backends.cloud.table import RemoteTable

    Chunks = Sequence[tuple[RemoteTable, NDArray[np.int64]]]

__all__ = ["Supply"]

T = TypeVar("T")

_NOWHERE = Cache(Path(), 0)


class Supply:
    """Chunks of one store, for any number of threads.

    Parameters
    ----------
    bucket, cache
        Where they come from, and where they are kept.
    held
        Where they are kept if the cache cannot take them.
    """

    def __init__(self, bucket: Bucket, cache: Cache, held: Held) -> None:
        self.bucket, self._cache, self._held = bucket, cache, held
        self._lock = Lock()
        self._hits = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"bucket": self.bucket, "cache": self._cache, "held": self._held}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def close(self) -> None:
        """Let go of the chunks in memory."""
        self._held.clear()

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
        """Have chunks in files, those of the cache or, where it cannot be used, in memory.

        Those that are read anew are in memory: the disk may be what damages them.
        """
        files: list[Wanted] = []
        try:
            self._open(files, wanted, uuid, on_disk=True)
            if anew:
                self._forget(files)
            if anew or not self._bring(files):
                before, files[:] = list(files), []
                try:
                    self._open(files, wanted, uuid, on_disk=False)
                    for old, new in zip(before, files, strict=True):
                        new.copy_from(old)
                finally:
                    _close(before)
                self._count(bring(self.bucket, _NOWHERE, files))
            token = at_hand.set({(one.table.path, one.shard): one.file for one in files})
            try:
                yield
            finally:
                at_hand.reset(token)
        finally:
            _close(files)

    def _forget(self, files: Sequence[Wanted]) -> None:
        try:
            for one in files:
                one.file.forget()
        except OSError as error:
            self._cache.give_up(error)

    def _open(self, files: list[Wanted], wanted: Chunks, uuid: str, *, on_disk: bool) -> None:
        """Open a file for each shard, once, even if it is asked for several times."""
        shards: dict[tuple[str, int], tuple[RemoteTable, list[NDArray[np.int64]]]] = {}
        for table, chunks in wanted:
            for shard, inside in wanted_shards(table, chunks):
                shards.setdefault((table.path, shard), (table, []))[1].append(inside)
        for (_, shard), (table, parts) in shards.items():
            told = (
                f"{table.url / table.name(shard)} {uuid}",
                table.array.shard_sizes[shard],
                table.per_shard,
            )
            file = self._cache.open(*told) if on_disk else None
            file = file or ShardFile.in_memory(*told, self._held)
            files.append(Wanted(table, shard, np.unique(np.concatenate(parts)), file))

    def _bring(self, files: Sequence[Wanted]) -> bool:
        """Return whether the files could take what is missing."""
        try:
            self._count(bring(self.bucket, self._cache, files))
        except DaoError:
            raise
        except NoRoomError:
            return False
        except OSError as error:
            # Another thread may have given the cache up meanwhile: the file is on its disk still.
            if all(one.file.held for one in files):
                raise
            self._cache.give_up(error)
            return False
        return True

    def _count(self, n_hits: int) -> None:
        with self._lock:
            self._hits += n_hits


def _close(files: list[Wanted]) -> None:
    while files:
        files.pop().file.close()
