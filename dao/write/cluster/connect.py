"""Connect: a client of a cluster, and whether its workers can write where it writes."""

from __future__ import annotations

import importlib
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao.errors import ArgumentError, MissingExtraError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["check_client", "check_shared", "connected"]


def check_client(client: Any) -> None:
    """Refuse what is no client of a cluster.

    Raises
    ------
    dao.errors.ArgumentError
        Saying what can be given.
    """
    if client is None or isinstance(client, str):
        return
    if not all(hasattr(client, name) for name in ("submit", "cancel", "run", "nthreads")):
        msg = f"client={client!r}: give a dask.distributed.Client or the address of a scheduler."
        raise ArgumentError(msg)
    if client.asynchronous:
        msg = "client= is asynchronous, and writing waits: give a Client() made without that."
        raise ArgumentError(msg)
    if client.status != "running":
        msg = f"client= is {client.status}: give a Client that is connected to a scheduler."
        raise ArgumentError(msg)


@contextmanager
def connected(client: Any) -> Iterator[Any]:
    """Yield a client: the one given, or for an address one that is closed in the end.

    Raises
    ------
    dao.errors.StorageError
        If nobody answers at the address.
    dao.errors.MissingExtraError
        If dask is not installed.
    """
    if not isinstance(client, str):
        yield client
        return
    try:
        connect = importlib.import_module("distributed").Client
    except ImportError as error:
        msg = "client= needs a package: pip install 'dao-store[dask]'"
        raise MissingExtraError(msg) from error
    try:
        own = connect(client, set_as_default=False)
    except (OSError, ValueError) as error:
        msg = f"No dask scheduler answers at {client}: {error}"
        raise StorageError(msg) from error
    try:
        yield own
    finally:
        own.close()


def check_shared(client: Any, root: Path, sources: Iterable[Any]) -> None:
    """Ask all workers whether they are of the same version, and see the files that are seen here.

    Parameters
    ----------
    root
        Folder of the store, which need not exist yet.
    sources
        What is read; of the files of each folder one is looked for.

    Raises
    ------
    dao.errors.StorageError
        If one is not, or does not; nothing was written.
    """
    from dao import __version__

    paths = (s for s in sources if isinstance(s, Path))
    wanted = {str(p.parent): str(p) for p in paths if p.exists()}
    here = next(p for p in (root, *root.parents) if p.is_dir())
    with ExitStack() as stack:
        probe = None
        with suppress(OSError):  # where nothing can be written the lock says so, in words
            probe = wanted[""] = stack.enter_context(
                tempfile.NamedTemporaryFile(dir=here, prefix=".dao-", suffix=".probe")
            ).name
        answers = client.run(_look, list(wanted.values()))
    for worker, (version, unseen) in answers.items():
        if version != __version__:
            msg = f"The worker {worker} has dao-store {version}, and here it is {__version__}."
            raise StorageError(msg)
        for path in unseen:
            seen = here if path == probe else path
            msg = (
                f"The worker {worker} does not see {seen} as this process does: writing with "
                "client= needs folders that all machines share, at the same path."
            )
            raise StorageError(msg)


def _look(paths: list[str]) -> tuple[str, list[str]]:
    """Return the version of dao, and which paths are not there."""
    from dao import __version__

    return __version__, [path for path in paths if not Path(path).exists()]
