"""Shared: a reader that all tasks of a collection use, opened once in each process."""

from __future__ import annotations

import hashlib
import pickle
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, ClassVar

from dao.cached import cached_property
from dao.forks import Lock
from dao.obs import ObsStore
from dao.wrapped import WrappedReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from dao.backend import Reader

__all__ = ["Shared"]

# Readers that a process has open for tasks, and obs columns that each of them keeps: the next
# block of a dataset needs the same.
_READERS = 4
_TABLES = 32


class Shared:
    """A reader that is pickled once and opened once in each process that it comes to.

    Attributes
    ----------
    reader
        Reads matrices.
    obs
        Reads obs columns, and keeps those that were used last.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.obs = ObsStore(_Tables(reader))

    @cached_property
    def pickled(self) -> bytes:
        """The reader as it travels."""
        return pickle.dumps(self.reader)

    @property
    def digest(self) -> str:
        """Equal for readers that read the same in the same way."""
        return hashlib.sha256(self.pickled).hexdigest()

    def __reduce__(self) -> Any:
        return _Opened.get, (self.digest, self.pickled)


class _Opened:
    """The readers that were opened in this process for tasks."""

    lock = Lock()
    found: ClassVar[OrderedDict[str, Shared]] = OrderedDict()

    @classmethod
    def get(cls, digest: str, pickled: bytes) -> Shared:
        with cls.lock:
            if digest not in cls.found:
                cls.found[digest] = Shared(pickle.loads(pickled))  # noqa: S301 - of Shared
                cls.found[digest].__dict__["pickled"] = pickled
            cls.found.move_to_end(digest)
            while len(cls.found) > _READERS:
                cls.found.popitem(last=False)
            return cls.found[digest]


class _Tables(WrappedReader):
    """A reader that keeps the tables that were used last."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(reader)
        self._lock = Lock()
        self._kept: OrderedDict[tuple[str, tuple[str, ...]], pa.Table] = OrderedDict()

    def table(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        key = path, tuple(columns or ())
        with self._lock:
            known = self._kept.get(key)
        if known is not None:
            return known
        table = super().table(path, columns)
        with self._lock:
            self._kept[key] = table
            while len(self._kept) > _TABLES:
                self._kept.popitem(last=False)
        return table
