"""Fetch: the rows of a window, from the backend, as they were stored."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.backend import ChoosingReader, DenseRows, SparseRows, WindowReader
from dao.batches.fused import Final, begin_final
from dao.errors import BackendContractError, DaoError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from dao.backend import Reader
    from dao.batches.locate import Located
    from dao.batches.spec import MatrixSpec

__all__ = ["Fetched", "Stored", "begin_fetch", "fetch"]


@dataclass(frozen=True, slots=True)
class Stored:
    """One matrix of a window, as the backend gave it.

    Attributes
    ----------
    parts
        What holds the rows: as many as the backend gave different buffers.
    part
        Which of them holds each row of the window.
    slot
        Which row of that part it is.
    is_chosen
        Whether only chosen columns are there, in the order in which they were chosen.
    """

    parts: Sequence[SparseRows | DenseRows]
    part: NDArray[np.int64]
    slot: NDArray[np.int64]
    is_chosen: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """Decoded rows of a stretch of the row stream.

    Attributes
    ----------
    positions
        Of each row in the selection, in stream order.
    index
        Of each row in the whole store.
    cuts
        Where the stretch is to be cut, from 0 to its length.
    final
        Matrices that were decoded into their final form: one for each piece between cuts.
    stored
        The other matrices, as the backend gave them.
    n_chunks, n_bytes
        Chunks and bytes decoded.
    """

    positions: NDArray[np.int64]
    index: NDArray[np.int64]
    cuts: Sequence[int]
    final: Mapping[str, Sequence[Any]]
    stored: Mapping[str, Stored]
    n_chunks: int
    n_bytes: int


def fetch(reader: Reader, matrices: Mapping[str, MatrixSpec], rows: Located) -> Fetched:
    """Return rows of every matrix asked for; see `begin_fetch`."""
    return begin_fetch(reader, matrices, rows)()


def begin_fetch(
    reader: Reader,
    matrices: Mapping[str, MatrixSpec],
    rows: Located,
    *,
    fused: bool = True,
) -> Callable[[], Fetched]:
    """Begin to read rows of every matrix asked for.

    Returns a function that is called once and waits for the end. It also reads what the backend
    cannot begin, so a thread may call it.

    Parameters
    ----------
    reader
        Of the store.
    matrices
        What to read, and how it shall appear.
    rows
        Which rows, and where they are to be cut.
    fused
        Whether they may be decoded straight into their final form, all at once.
    """
    begun: dict[str, Callable[[], Final | Stored]] = {}
    try:
        for name, how in matrices.items() if fused else ():
            final = begin_final(reader, name, how, rows.requests, rows.order, rows.cuts)
            ending = final or _begin_chosen(reader, name, how, rows)
            if ending is not None:
                begun[name] = ending
    except BaseException:
        with suppress(DaoError):  # of what was wrong, the first is told
            _end(begun)
        raise
    return partial(_finish, reader, list(matrices), rows, begun)


def _begin_chosen(
    reader: Reader, matrix: str, how: MatrixSpec, rows: Located
) -> Callable[[], Stored] | None:
    """Begin to decode a matrix without the columns that are not shown; None if that cannot be."""
    if how.dense or not rows.requests or not isinstance(reader, ChoosingReader):
        return None
    place, ascending = how.columns.narrow_place, how.columns.ascending
    ending = reader.choose(matrix, rows.requests, place, how.columns.n_vars, ascending=ascending)
    if ending is None:
        return None
    return lambda: _stored(matrix, ending(), rows, is_chosen=True)


def _end(begun: Mapping[str, Callable[[], Final | Stored]]) -> dict[str, Final | Stored]:
    """Wait for all of them, also after an error; the first error is raised."""
    final: dict[str, Final | Stored] = {}
    errors: list[BaseException] = []
    for name, ending in begun.items():
        try:
            final[name] = ending()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)
    if errors:
        raise errors[0]
    return final


def _finish(
    reader: Reader,
    matrices: Sequence[str],
    rows: Located,
    begun: Mapping[str, Callable[[], Final | Stored]],
) -> Fetched:
    ended = _end(begun)
    final = {name: one for name, one in ended.items() if isinstance(one, Final)}
    stored = {name: one for name, one in ended.items() if isinstance(one, Stored)}
    for name in matrices:
        if name not in begun:
            stored[name] = _stored(name, _read(reader, name, rows.requests), rows)
    costs = [(one.n_chunks, one.n_bytes) for one in final.values()]
    costs += [(part.n_chunks, part.n_bytes) for one in stored.values() for part in one.parts]
    return Fetched(
        rows.positions,
        rows.index,
        rows.cuts,
        {name: one.matrices for name, one in final.items()},
        stored,
        sum(n_chunks for n_chunks, _ in costs),
        sum(n_bytes for _, n_bytes in costs),
    )


def _read(
    reader: Reader, matrix: str, requests: Sequence[tuple[str, NDArray[np.int64]]]
) -> Sequence[SparseRows | DenseRows]:
    """Read one matrix of several datasets."""
    if isinstance(reader, WindowReader):
        return reader.window(matrix, requests)
    return [reader.rows(name, matrix, rows) for name, rows in requests]


def _stored(
    matrix: str,
    found: Sequence[SparseRows | DenseRows],
    rows: Located,
    *,
    is_chosen: bool = False,
) -> Stored:
    """Return what a backend returned for several datasets as one."""
    for (name, wanted), got in zip(rows.requests, found, strict=True):
        _check(name, matrix, got, len(wanted))
    order = rows.order
    parts: list[list[SparseRows | DenseRows]] = []
    part, slot = np.empty(len(order), np.int64), np.empty(len(order), np.int64)
    known: dict[tuple[int, int], int] = {}
    at = 0
    for got in found:
        n = len(got)
        number = known.setdefault(_buffers(got), len(parts))
        if number == len(parts):
            parts.append([])
        here = order[at : at + n]
        part[here] = number
        slot[here] = sum(map(len, parts[number])) + np.arange(n)
        parts[number].append(got)
        at += n
    return Stored([_joined(some) for some in parts], part, slot, is_chosen)


def _buffers(rows: SparseRows | DenseRows) -> tuple[int, int]:
    """Return what is equal for rows in the same memory."""
    indices = id(rows.indices) if isinstance(rows, SparseRows) else 0
    return id(rows.values), indices


def _joined(some: Sequence[SparseRows | DenseRows]) -> SparseRows | DenseRows:
    """Return rows of several datasets that lie in the same memory as one."""
    if len(some) == 1:
        return some[0]
    cost = sum(r.n_chunks for r in some), sum(r.n_bytes for r in some)
    sparse = [r for r in some if isinstance(r, SparseRows)]
    if not sparse:
        dense = [r for r in some if isinstance(r, DenseRows)]
        return DenseRows(dense[0].values, np.concatenate([r.slots for r in dense]), *cost)
    return SparseRows(
        sparse[0].values,
        sparse[0].indices,
        np.concatenate([r.starts for r in sparse]),
        np.concatenate([r.lengths for r in sparse]),
        max(r.n_vars for r in sparse),
        *cost,
    )


def _check(dataset: str, matrix: str, got: SparseRows | DenseRows, n_rows: int) -> None:
    """Refuse rows that the kernels, which do not check bounds, could not trust."""
    if isinstance(got, DenseRows):
        ok = len(got.slots) == n_rows and (
            not n_rows or (got.slots.min() >= 0 and got.slots.max() < len(got.values))
        )
    else:
        ok = len(got.starts) == len(got.lengths) == n_rows and len(got.values) == len(got.indices)
        if ok and n_rows:
            last = int((got.starts + got.lengths).max())
            ok = got.starts.min() >= 0 and got.lengths.min() >= 0 and last <= len(got.values)
    if not ok:
        msg = f"The backend returned rows of {matrix} of {dataset!r} that do not fit together."
        raise BackendContractError(msg)
