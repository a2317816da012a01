"""A store at a URL as zarr-python sees it: read-only, and usable in forked processes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from zarr.abc.store import (
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)

from dao.remote.bucket import Range
from dao.remote.problems import MissingObjectError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

    from dao.remote.bucket import Bucket

__all__ = ["BucketStore"]


class BucketStore(Store):
    """Answers what arrays of a dao store are asked for while they are read."""

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(read_only=True)
        self._bucket = bucket

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BucketStore) and other._bucket is self._bucket

    __hash__ = None  # type: ignore[assignment]

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return an object or a part of it; None if it is not there."""
        try:
            content = await asyncio.to_thread(self._get, key, byte_range)
        except MissingObjectError:
            return None
        return prototype.buffer.from_bytes(content)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return parts of objects, read at the same time."""
        calls = [self.get(key, prototype, byte_range) for key, byte_range in key_ranges]
        return list(await asyncio.gather(*calls))

    async def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        try:
            await asyncio.to_thread(self._bucket.size, key)
        except MissingObjectError:
            return False
        return True

    def _get(self, key: str, wanted: ByteRequest | None) -> bytes:
        start, stop = 0, None
        if isinstance(wanted, RangeByteRequest):
            start, stop = wanted.start, wanted.end
        elif isinstance(wanted, OffsetByteRequest):
            start, stop = wanted.offset, self._bucket.size(key)
        elif isinstance(wanted, SuffixByteRequest):
            stop = self._bucket.size(key)
            start = max(0, stop - wanted.suffix)
        return self._bucket.ranges([Range(key, start, stop)])[0]

    # --- what a store that is only read has no use for --------------------------------------------

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse."""
        self._check_writable()

    async def delete(self, key: str) -> None:
        """Refuse."""
        self._check_writable()

    def list(self) -> AsyncIterator[str]:
        """Refuse."""
        raise NotImplementedError

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Refuse."""
        raise NotImplementedError

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Refuse."""
        raise NotImplementedError
