"""Sizes of shards at a URL, for decoders that would take a missing one for zeros."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from dao.errors import CorruptStoreError
from dao.forks import Lock
from dao.remote.network import at_once
from dao_backends.shards import shard_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.format.manifest import ArrayInfo
    from dao.remote.bucket import Bucket

__all__ = ["RemoteChecks"]


class RemoteChecks:
    """Looks at shards when they are first touched, many at a time."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._lock = Lock()
        self._sound: dict[str, set[int]] = {}

    def check_sizes(self, path: str, array: ArrayInfo, chunks: NDArray[np.int64]) -> None:
        """Compare the shards that hold ``chunks`` with the sizes in the manifest.

        Raises
        ------
        dao.errors.CorruptStoreError
            If one is missing or has another size.
        """
        per_shard = array.shard // array.chunk
        touched = {int(s) for s in np.unique(chunks // per_shard) if array.shard_sizes[s]}
        with self._lock:
            sound = self._sound.setdefault(path, set())
        fresh = sorted(touched - sound)
        at_once([partial(self._check_size, path, array, shard) for shard in fresh])
        sound.update(fresh)

    def _check_size(self, path: str, array: ArrayInfo, shard: int) -> None:
        name, wanted = shard_path(path, array, shard), array.shard_sizes[shard]
        size = self._bucket.size(name)
        if size != wanted:
            file = self._bucket.root / name
            msg = f"{file} has {size:,} bytes instead of {wanted:,}. Restore it from a copy."
            raise CorruptStoreError(msg)
