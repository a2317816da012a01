"""The objects of one store at a URL: many read at a time, written one by one."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dao.errors import StorageError, StoreBusyError
from dao.forks import Lock, waiting
from dao.panics import panics_as_errors
from dao.remote.given import sort_options
from dao.remote.network import Network, at_once
from dao.remote.options import open_object_store
from dao.remote.outages import Outages, Retries
from dao.remote.problems import explained, is_conflict
from dao.remote.url import StoreUrl, parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from dao.remote.helper import Helper

__all__ = ["Bucket", "Range"]

T = TypeVar("T")


class Range(NamedTuple):
    """Bytes ``start`` to ``stop`` of an object; all of it if ``stop`` is None."""

    path: str
    start: int = 0
    stop: int | None = None


class Bucket:
    """The folder of a store on an object store or web server.

    May be used by several threads, pickled to other processes, and in a forked child, where a
    helper process makes the requests.

    Parameters
    ----------
    url
        Of the store.
    options
        ``storage_options`` as the user gave them.

    Attributes
    ----------
    requests
        Requests for data made so far, repeated ones counted once.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        self.root: StoreUrl = parse_url(url)
        self.options = dict(options or {})
        self._reset(answered=False)
        self._open()  # an option that does not exist is an error at once

    def _reset(self, *, answered: bool) -> None:
        self._stores: dict[bool, Any] = {}
        retries = Retries.of(sort_options(self.options).retry)
        self._outages = Outages(self.root, retries, answered=answered)
        self._helper: Helper | None = None
        self._lock = Lock()
        self.requests = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "options": self.options, "answered": self.answered}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.root, self.options = state["root"], state["options"]
        self._reset(answered=state["answered"])

    @property
    def answered(self) -> bool:
        """Whether the server has answered anything: it is then waited for during an outage."""
        return self._outages.answered

    def close(self) -> None:
        """Let go of connections and of the helper process; what is asked later opens new ones."""
        with self._lock:
            self._stores = {}
            helper, self._helper = self._helper, None
        if helper is not None and helper.pid == os.getpid():
            helper.end()

    # --- reading ------------------------------------------------------------------------------

    def read(self, path: str) -> bytes:
        """Return a whole object.

        Raises
        ------
        dao.remote.problems.MissingObjectError
            If it is not there.
        dao.errors.StorageError
            If it cannot be read.
        """
        return self.ranges([Range(path)])[0]

    def ranges(self, wanted: Sequence[Range]) -> list[bytes]:
        """Return many ranges, one request each, many at a time; errors as those of `read`."""
        with self._lock:
            self.requests += len(wanted)
        if Network.forked:
            return self._helped().ranges(wanted)
        return at_once([partial(self._range, one) for one in wanted])

    def each(self, wanted: Sequence[Range], use: Callable[[int, bytes], None]) -> None:
        """Call ``use(number, content)`` in this thread for each range as it comes."""
        if Network.forked:
            for number, content in enumerate(self.ranges(wanted)):
                use(number, content)
            return
        with self._lock:
            self.requests += len(wanted)
        at_once([partial(self._range, one) for one in wanted], use)

    def size(self, path: str) -> int:
        """Return the bytes of an object; errors as those of `read`."""
        if Network.forked:
            return self._helped().size(path)
        return int(self._try(path, "read", lambda store: store.head(path)["size"]))

    def _range(self, wanted: Range) -> bytes:
        path, start, stop = wanted

        def get(store: Any) -> bytes:
            if stop is None:
                return bytes(store.get(path).bytes())
            return bytes(store.get_range(path, start=start, end=stop))

        return self._try(path, "read", get)

    def read_versioned(self, path: str) -> tuple[bytes, Mapping[str, Any]]:
        """Return a whole object, and what `put_if` needs to replace it."""

        def get(store: Any) -> tuple[bytes, Mapping[str, Any]]:
            got = store.get(path)
            meta = got.meta
            version = {name: meta[name] for name in ("e_tag", "version") if meta[name]}
            return bytes(got.bytes()), version

        return self._try(path, "read", get)

    # --- writing ------------------------------------------------------------------------------

    def put(self, path: str, file: Path) -> None:
        """Upload a file."""
        self._try(path, "written", lambda store: store.put(path, file))

    def put_if(self, path: str, content: bytes, before: Mapping[str, Any] | None) -> None:
        """Upload an object if it is still what it was; None: if there is none.

        Raises
        ------
        dao.errors.StoreBusyError
            If another writer was faster.
        """
        mode: Any = "create" if before is None else dict(before)
        self._try(path, "written", lambda store: store.put(path, content, mode=mode))

    def names(self, prefix: str) -> list[str]:
        """Return the objects of a folder, at any depth."""

        def names(store: Any) -> list[str]:
            return [meta["path"] for some in store.list(prefix) for meta in some]

        return self._try(prefix, "read", names)

    def delete(self, paths: Sequence[str]) -> None:
        """Remove objects, as far as they are there."""
        if paths:
            self._try(paths[0], "written", lambda store: store.delete(list(paths)))

    # --- the library --------------------------------------------------------------------------

    def object_store(self) -> Any:
        """Return the object store of obstore; not to be used in a forked child."""
        return self._open()

    def _open(self) -> Any:
        answered = self.answered
        with self._lock:
            if answered not in self._stores:
                self._stores[answered] = open_object_store(
                    self.root, self.options, first_contact=not answered
                )
            return self._stores[answered]

    def _try(self, path: str, doing: str, function: Callable[[Any], T]) -> T:
        if Network.forked:
            msg = f"{self.root / path} cannot be {doing} in a forked process. Start it by spawn."
            raise StorageError(msg)
        Network.used = True
        return at_once([partial(self._ask, path, doing, function)])[0]

    def _once(self, function: Callable[[Any], T]) -> T:
        store = self._open()
        with waiting():
            return function(store)

    def _ask(self, path: str, doing: str, function: Callable[[Any], T]) -> T:
        began = time.monotonic()
        try:
            with panics_as_errors(self.root / path, "obstore"):
                return self._outages.endure(lambda: self._once(function))
        except Exception as error:  # noqa: BLE001 - the library raises many kinds
            if is_conflict(error):
                msg = f"{self.root} was written by another process meanwhile. Try again."
                raise StoreBusyError(msg) from None
            seconds = time.monotonic() - began
            raise explained(error, self.root / path, doing, seconds) from None

    def _helped(self) -> Helper:
        from dao.remote.helper import Helper

        with self._lock:
            if self._helper is None or self._helper.pid != os.getpid():
                self._helper = Helper(self)
            return self._helper
