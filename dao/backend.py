"""What a backend is: the protocol, the rows it returns, and how it is found.

A backend turns "these rows of this matrix" into arrays. It is chosen by name through the
entry-point group ``dao.backends``; ``docs/write-a-backend.md`` shows a whole one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from dao.errors import ArgumentError, DaoError, MissingExtraError, UnknownBackendError, near_matches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from dao.format.manifest import Manifest

__all__ = [
    "Backend",
    "ChoosingReader",
    "CountingReader",
    "DenseRows",
    "ForeignReader",
    "FusedReader",
    "Reader",
    "RowTargets",
    "SourcesBackend",
    "SparseRows",
    "Traffic",
    "WindowReader",
    "available_backends",
    "find_backend",
    "refresh_backends",
]

ENTRY_POINT_GROUP = "dao.backends"

# Backends of dao that need an extra: the name of the extra to install.
_EXTRAS = {"dask": "dask", "cloud": "cloud"}


@dataclass(frozen=True, slots=True)
class SparseRows:
    """Rows of a sparse matrix as they were stored, inside larger decoded buffers.

    Row ``i`` is ``values[starts[i] : starts[i] + lengths[i]]`` with its column numbers at
    the same places of ``indices``. Buffers may hold more than the rows; nothing is copied.

    Attributes
    ----------
    values, indices
        1-d arrays of one length; any integer or float dtype; column numbers ascend in a row.
    starts, lengths
        int64, one entry per requested row, in the order of the request.
    n_vars
        Columns of the matrix; every index must be below it, which the caller checks.
    n_chunks, n_bytes
        Chunks decoded and bytes decoded to serve the request, for the statistics.
    """

    values: NDArray[Any]
    indices: NDArray[Any]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    n_vars: int
    n_chunks: int = 0
    n_bytes: int = 0

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.starts)


@dataclass(frozen=True, slots=True)
class DenseRows:
    """Rows of a dense matrix: row ``i`` of the request is ``values[slots[i]]``.

    Attributes
    ----------
    values
        2-d array of decoded rows, of any integer or float dtype.
    slots
        int64, one entry per requested row.
    """

    values: NDArray[Any]
    slots: NDArray[np.int64]
    n_chunks: int = 0
    n_bytes: int = 0

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.slots)


@runtime_checkable
class Reader(Protocol):
    """An open store, as a backend serves it.

    All methods may be called from several threads at once. A reader must survive pickling
    to another process (reopening there what cannot travel) and must not hang or give wrong
    data in a forked child. Errors are those of `dao.errors`; missing or altered bytes are a
    `dao.errors.CorruptStoreError`, never zeros.
    """

    def manifest(self) -> Manifest:
        """Return what the store holds; the same value for the life of the reader."""

    def table(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return a parquet table of the store (obs, features, vocabulary), checked.

        ``path`` is one that the manifest names; ``columns`` limits what is read.
        """

    def document(self, path: str) -> Any:
        """Return a JSON document of the store (uns), checked."""

    def rows(self, dataset: str, matrix: str, rows: NDArray[np.int64]) -> SparseRows | DenseRows:
        """Return rows of ``"X"``, ``"layers/<name>"`` or ``"obsm/<name>"`` of a dataset.

        ``rows`` may be in any order and repeat; they are numbers within the dataset.
        """

    def close(self) -> None:
        """Let go of files and caches; the reader is not used afterwards."""


@runtime_checkable
class WindowReader(Protocol):
    """A reader that can do more: serve several datasets in one request.

    Optional. Where it is there it is called instead of `Reader.rows`, so that a window over
    many datasets costs one round of decoding, not one for each of them.
    """

    def window(
        self, matrix: str, requests: Sequence[tuple[str, NDArray[np.int64]]]
    ) -> list[SparseRows | DenseRows]:
        """Return what `Reader.rows` would for each (dataset, rows).

        Results may share their ``values`` and ``indices``: what is the same array is gathered
        together.
        """


@dataclass(frozen=True, slots=True)
class RowTargets:
    """Where rows are to be written: row i into ``outs[out[i]]``, from item ``start[i]`` on.

    Attributes
    ----------
    outs
        C-contiguous arrays of one dtype; items are counted through all their axes.
    out, start
        int64, one entry per row.
    """

    outs: Sequence[NDArray[Any]]
    out: NDArray[np.int64]
    start: NDArray[np.int64]

    def addresses(self) -> NDArray[np.int64]:
        """Return where in memory each row goes."""
        bases = np.array([out.ctypes.data for out in self.outs], np.int64)
        return bases[self.out] + self.start * self.outs[0].itemsize


@runtime_checkable
class FusedReader(Protocol):
    """A reader that can decode sparse rows straight into the arrays of batches.

    Optional, and faster than `Reader.rows`, whose rows have to be gathered afterwards.

    Both writers only begin: they plan, hand the work to threads and return. What they return is
    called once, waits for the end, and returns how many chunks and bytes were decoded, or raises
    what went wrong. The arrays stay where they are until then.
    """

    def row_lengths(
        self, matrix: str, requests: Sequence[tuple[str, NDArray[np.int64]]]
    ) -> list[NDArray[np.int64]] | None:
        """Return how many values each row has; None if this matrix cannot be written so."""

    def write_csr(
        self,
        matrix: str,
        requests: Sequence[tuple[str, NDArray[np.int64]]],
        values: RowTargets,
        indices: RowTargets,
    ) -> Callable[[], tuple[int, int]]:
        """Begin to write all values and column numbers of rows, cast.

        Targets are of the rows of all requests, one after another.
        """

    def write_dense(
        self,
        matrix: str,
        requests: Sequence[tuple[str, NDArray[np.int64]]],
        rows: RowTargets,
        place: Callable[[int], NDArray[np.unsignedinteger[Any]]],
    ) -> Callable[[], tuple[int, int]]:
        """Begin to write rows with their zeros.

        ``place(n_vars)`` is where each stored column of so wide a matrix goes, in a small dtype;
        for one that is not wanted, the width of the dense rows.
        """


@runtime_checkable
class ChoosingReader(Protocol):
    """A reader that drops what nobody asked for of sparse rows while it decodes them. Optional."""

    def choose(
        self,
        matrix: str,
        requests: Sequence[tuple[str, NDArray[np.int64]]],
        place: Callable[[int], NDArray[np.unsignedinteger[Any]]],
        n_vars: int,
        *,
        ascending: bool,
    ) -> Callable[[], list[SparseRows]] | None:
        """Begin to decode chosen columns of rows; None if this matrix cannot be read so.

        What is returned is called once, waits for the end, and returns the rows of each request.
        Their column numbers are places, ascending, of ``n_vars`` columns.

        Parameters
        ----------
        matrix, requests
            As of `WindowReader.window`.
        place
            As of `FusedReader.write_dense`: for a column that is not wanted ``n_vars``.
        n_vars
            Number of chosen columns.
        ascending
            Whether they are in the order in which they are stored.
        """


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a reader of a store at a URL has cost so far.

    Attributes
    ----------
    requests
        Requests for bytes; one that had to be repeated counts once.
    cache_hits
        Chunks that were there already.
    """

    requests: int = 0
    cache_hits: int = 0


@runtime_checkable
class CountingReader(Protocol):
    """A reader that counts what it asks a server for. Optional; for the statistics."""

    def traffic(self) -> Traffic:
        """Return what was asked for so far, and what was not."""


@runtime_checkable
class Backend(Protocol):
    """What an entry point of the group ``dao.backends`` names: a class with one method."""

    def open(self, path: str, *, memory: int, options: Mapping[str, Any]) -> Reader:
        """Open the store at ``path`` for reading.

        Parameters
        ----------
        path
            As the user gave it: a local path or a URL.
        memory
            Bytes that the stream may use; caches should stay well below.
        options
            The ``backend_options`` of `dao.load_store`; unknown ones are an
            `dao.errors.ArgumentError`.
        """


@runtime_checkable
class SourcesBackend(Protocol):
    """A backend that can open several files as one store. Optional."""

    def open_sources(
        self, sources: Sequence[Any] | Mapping[str, Any], *, memory: int, options: Mapping[str, Any]
    ) -> Reader:
        """Open files: a list, or a dict of ids, of paths or `dao.Source` objects."""


@runtime_checkable
class ForeignReader(Protocol):
    """A reader over files that dao did not write, and does not write to. Optional."""

    @property
    def foreign(self) -> str:
        """What the files are, as messages name them: ``"h5ad files"``."""


def check_own(reader: Reader, what: str) -> None:
    """Refuse what only a store in dao's own format has.

    Raises
    ------
    dao.errors.ArgumentError
        If the reader is a `ForeignReader`.
    """
    if isinstance(reader, ForeignReader):
        msg = (
            f"{what} is for stores that dao wrote; these are {reader.foreign}, which are only "
            "read. Convert them once with dao.write_store."
        )
        raise ArgumentError(msg)


@cache
def _entry_points() -> dict[str, EntryPoint]:
    # The first of a name wins; importlib lists the environment in path order.
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        found.setdefault(entry.name, entry)
    return found


def refresh_backends() -> None:
    """Forget the known backends, after a package was installed into a running process."""
    _entry_points.cache_clear()


def available_backends() -> list[str]:
    """Return the names that ``load_store(backend=...)`` accepts, ``"auto"`` left out.

    Examples
    --------
    >>> "local" in available_backends()
    True
    """
    return sorted(_entry_points())


def find_backend(name: str) -> Backend:
    """Return a new backend by its entry-point name.

    Raises
    ------
    dao.errors.UnknownBackendError
        If no installed package registers the name.
    dao.errors.MissingExtraError
        If the backend needs a package that is not installed.
    """
    entry = _entry_points().get(name)
    if entry is None:
        if name in _EXTRAS:
            msg = f"backend {name!r}"
            raise missing_extra(msg, _EXTRAS[name])
        msg = f"There is no backend {name!r}.{near_matches(name, available_backends())}"
        raise UnknownBackendError(msg)
    try:
        backend = entry.load()()
    except ImportError as error:
        msg_0 = f"backend {name!r}"
        raise missing_extra(msg_0, _EXTRAS.get(name), error) from error
    except DaoError:
        raise
    except Exception as error:
        msg = f"Backend {name!r} ({entry.value}) could not be loaded: {error}"
        raise UnknownBackendError(msg) from error
    if not isinstance(backend, Backend):
        msg = f"Backend {name!r} ({entry.value}) has no open() method: see docs/write-a-backend.md."
        raise UnknownBackendError(msg)
    return backend


def missing_extra(
    what: str, extra: str | None, error: ImportError | None = None
) -> MissingExtraError:
    """Return the error that tells what to install."""
    reason = f" ({error})" if error else ""
    package = f"'dao-store[{extra}]'" if extra else "--upgrade dao-store"
    return MissingExtraError(f"{what} needs a package{reason}: pip install {package}")
