"""Whether a store was closed: one mark for the store and all that was chosen from it."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from dao.errors import StoreClosedError

if TYPE_CHECKING:
    from dao.backend import Reader

__all__ = ["Closing", "Gated"]


class _Closable(Protocol):
    def close(self) -> None: ...


class Closing:
    """Closes a reader once, after whatever reads ahead with it.

    Attributes
    ----------
    is_closed
        Whether that was done, or has begun.
    """

    def __init__(self) -> None:
        self.is_closed = False
        self._lock = threading.Lock()
        self._reading: weakref.WeakSet[Any] = weakref.WeakSet()

    def check(self) -> None:
        """Raise an error if it is closed.

        Raises
        ------
        dao.errors.StoreClosedError
            With what to do.
        """
        if self.is_closed:
            msg = "This store has been closed. Open it again with dao.load_store."
            raise StoreClosedError(msg)

    def reads(self, source: _Closable) -> None:
        """Remember what reads ahead: it is closed first."""
        with self._lock:
            self._reading.add(source)
        self.check()

    def close(self, reader: Reader) -> None:
        """Close whatever reads ahead, and the reader."""
        self.is_closed = True
        with self._lock:
            reading = list(self._reading)
        for source in reading:
            source.close()
        reader.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"is_closed": self.is_closed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        self.is_closed = state["is_closed"]


class Gated:
    """A field of a store that cannot be had after the store was closed."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        """Return the value."""
        if instance is None:
            raise AttributeError(self._name)  # the field has no default
        values = vars(instance)
        values["_closing"].check()
        return values[self._name]

    def __set__(self, instance: Any, value: Any) -> None:
        """Keep the value."""
        vars(instance)[self._name] = value
