"""Where tasks run: a cluster that is found or given, dask's own threads or processes, or here."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from dao.errors import ArgumentError, StorageError
from dao.forks import job
from dao_backends.forked import Forked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Scheduler"]

_RETRIES = 2  # of a task that failed: another worker may see what this one did not


_ALONE = "A forked process cannot use the dask scheduler of its parent, so it reads by itself."


class Scheduler:
    """Runs tasks on whatever dask uses at the time.

    Parameters
    ----------
    client
        A `distributed.Client`, or the address of a scheduler; if None the client of this process,
        and without one what dask is set to (threads, if nothing is said).
    timeout
        Seconds that a cluster may take for one request.

    Raises
    ------
    dao.errors.ArgumentError
        If an argument is something else.
    """

    def __init__(self, client: Any = None, timeout: float = 300.0) -> None:
        is_client = client is None or isinstance(client, str) or hasattr(client, "compute")
        if not is_client:
            msg = f"client={client!r}: give a distributed.Client or the address of a scheduler."
            raise ArgumentError(msg)
        if not isinstance(timeout, int | float) or not timeout > 0:
            msg = f"timeout={timeout!r}: give seconds, above 0."
            raise ArgumentError(msg)
        self._address = client if isinstance(client, str) else None
        self._client = None if isinstance(client, str) else client
        self._own: Any = None
        self._timeout = timeout

    def run(
        self,
        function: Callable[..., Any],
        calls: Sequence[tuple[Any, ...]],
        n_requests: int = 1,
    ) -> list[Any]:
        """Return ``function(*arguments)`` of each call; ``n_requests`` are worth how much time.

        Raises
        ------
        dao.errors.StorageError
            If the cluster did not answer in time, or lost the workers that were asked.
        BaseException
            What a task raised.
        """
        if Forked.is_child:
            Forked.warn_once(_ALONE)
        if Forked.is_child or _is_worker():
            return [function(*arguments) for arguments in calls]
        dask = _untyped("dask")
        client = self._find()
        called = function if client is not None else job(function)
        lazy = dask.delayed(called, pure=False, traverse=False)
        tasks = [lazy(*arguments) for arguments in calls]
        if client is None:
            return list(dask.compute(*tasks, traverse=False))
        return self._on_cluster(client, tasks, self._timeout * n_requests)

    def close(self) -> None:
        """Close the connection, if it was made here."""
        if self._own is not None:
            self._own.close()
            self._own = None

    def __getstate__(self) -> dict[str, Any]:
        given = self._client.scheduler.address if self._client is not None else self._address
        return {"_address": given, "_timeout": self._timeout, "_client": None, "_own": None}

    def _find(self) -> Any:
        if self._client is not None:
            return self._client
        if self._address is not None:
            if self._own is None:
                connect = _untyped("distributed").Client
                self._own = connect(self._address, set_as_default=False, timeout=self._timeout)
            return self._own
        if "distributed" not in sys.modules:
            return None  # there can be no client
        try:
            return _untyped("distributed").default_client()
        except ValueError:
            return None

    def _on_cluster(self, client: Any, tasks: Sequence[Any], timeout: float) -> list[Any]:
        from distributed.client import FutureCancelledError
        from distributed.comm.core import CommClosedError
        from distributed.scheduler import KilledWorker

        futures = client.compute(list(tasks), retries=_RETRIES)
        try:
            with client.as_current():
                _untyped("distributed").wait(futures, timeout=timeout)
            return list(client.gather(futures))
        except TimeoutError as error:
            msg = (
                f"The cluster at {client.scheduler.address} did not read {len(tasks)} parts in "
                f"{timeout:g} s. Look at its dashboard, or give load_store a longer timeout=."
            )
            raise StorageError(msg) from error
        except (KilledWorker, FutureCancelledError, CommClosedError) as error:
            msg = f"The dask cluster lost the workers that were to read rows: {error}"
            raise StorageError(msg) from error
        finally:
            client.cancel(futures)


def _untyped(package: str) -> Any:
    """Return a package of which type checkers know too little."""
    return importlib.import_module(package)


def _is_worker() -> bool:
    """Whether this runs in a task of a cluster, which must not wait for other tasks."""
    if "distributed" not in sys.modules:
        return False
    try:
        _untyped("distributed").get_worker()
    except ValueError:
        return False
    return True
