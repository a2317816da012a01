"""The tasks of writing: a dataset whole; or its tables, its rows in sorted runs, its shards.

A large matrix is shuffled as on one machine (`dao.write.spool`), but several workers make the
sorted runs, and several read them: each encodes some shards, whose rows it finds in all runs.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.format.encodings import ValueRange, index_dtype, narrowest_dtype
from dao.write.cluster.site import Reference
from dao.write.dataset import (
    Assignment,
    Beside,
    Written,
    destinations,
    matrix_job,
    ordered_obs,
    source_matrix,
    write_beside,
    write_dataset,
)
from dao.write.encode import encode_pointers, encode_rows
from dao.write.fill import fill
from dao.write.matrices import MatrixJob, open_spool
from dao.write.opened import open_source
from dao.write.runs import Run, load_windows
from dao.write.turning import Turner, count_stored, stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dao.write.cluster.attempt import Place
    from dao.write.layout import MatrixLayout
    from dao.write.window import Window

__all__ = [
    "Begun",
    "Collected",
    "Given",
    "Outlined",
    "begin",
    "collect",
    "encode",
    "outline",
    "whole",
]


@dataclass(frozen=True)
class Given:
    """A study and its feature space, each in a file."""

    assignment: Reference[Assignment]
    space: Reference[Any]

    def get(self) -> Assignment:
        """Return what is to be written."""
        return replace(self.assignment.get(), space=self.space.get())


@dataclass(frozen=True)
class Begun:
    """A dataset whose matrices are still to be written.

    Attributes
    ----------
    places
        File with the place in the store of each source row.
    ranges
        Matrix -> ranges of lines of the source, and the elements in each.
    """

    beside: Beside
    places: Path
    jobs: Reference[dict[str, MatrixJob]]
    ranges: Mapping[str, Sequence[tuple[range, int]]]


@dataclass(frozen=True)
class Collected:
    """Rows of a range of a source.

    Attributes
    ----------
    rows
        File of the sorted runs.
    runs
        The same, as it was open there.
    """

    rows: Path
    runs: tuple[Run, ...]
    range: ValueRange

    def open(self, stack: ExitStack) -> list[Run]:
        """Return the runs, open for reading."""
        handle = os.open(self.rows, os.O_RDONLY)
        stack.callback(os.close, handle)
        return [replace(run, file=handle) for run in self.runs]


@dataclass(frozen=True)
class Outlined:
    """A matrix whose shards can be written.

    Attributes
    ----------
    indptr
        File with the elements before each row.
    collected
        Its rows.
    sizes
        Of the shards that are there.
    """

    layout: MatrixLayout
    range: ValueRange
    nnz: int
    indptr: Path
    collected: Reference[Sequence[Collected]]
    sizes: Mapping[str, list[int]]


def whole(place: Place, given: Given | Assignment) -> Written:
    """Write a dataset."""
    assignment = given if isinstance(given, Assignment) else given.get()
    return write_dataset(assignment, place.store, place.shop, place.advance)


def begin(place: Place, given: Given, n_elements: int) -> Begun:
    """Write the tables of a dataset; cut its matrices into ranges of about so many elements."""
    assignment = given.get()
    with ExitStack() as stack:
        opened = open_source(assignment.study.source, stack)
        obs, rows = ordered_obs(assignment, opened)
        np.save(place.kept / "places.npy", destinations(assignment, rows))
        beside = write_beside(assignment, place.store, opened, obs, rows)
        jobs, ranges = {}, {}
        for name in assignment.matrices:
            matrix = source_matrix(opened, name)
            jobs[name] = matrix_job(assignment, name, matrix)
            before = matrix.boundaries
            ranges[name] = [
                (range(a, b), int(before[b] - before[a])) for a, b in matrix.ranges(n_elements)
            ]
    return Begun(beside, place.kept / "places.npy", Reference.to(jobs, place.kept), ranges)


def collect(place: Place, given: Given, begun: Begun, name: str, lines: range) -> Collected:
    """Read a range of a matrix into sorted runs."""
    study, job = given.assignment.get().study, begun.jobs.get()[name]
    places = np.load(begun.places, mmap_mode="r")
    rows = place.kept / "rows"
    with ExitStack() as stack:
        matrix = source_matrix(open_source(study.source, stack), name)
        n_elements = int(matrix.boundaries[lines.stop] - matrix.boundaries[lines.start])
        with open_spool(job, n_elements, place.shop, place.kept, rows) as spool:
            fill(spool, matrix, job, places, place.shop, place.advance, lines)
            spool.spill()
    return Collected(rows, tuple(spool.runs), spool.value_range)


def outline(place: Place, begun: Begun, name: str, collected: Sequence[Collected]) -> Outlined:
    """Decide how a matrix is stored, and write what is not a shard of its rows."""
    job, values = begun.jobs.get()[name], ValueRange()
    indptr = np.zeros(job.shape[0] + 1, np.int64)
    with ExitStack() as stack:
        for part in collected:
            values |= part.range
            for run in part.open(stack):
                if job.buckets is not None:
                    count_stored(run, job.buckets, indptr, place.shop.workers.scratch)
                    continue
                for places, lengths in run.lengths():
                    indptr[places + 1] += lengths
    np.cumsum(indptr, out=indptr)
    np.save(place.kept / "indptr.npy", indptr)
    layout = job.layout(values, int(indptr[-1]))
    layout.create(place.store)
    sizes = encode_pointers(place.store, layout, indptr, place.shop.workers)
    kept = Reference.to(collected, place.kept)
    return Outlined(layout, values, int(indptr[-1]), place.kept / "indptr.npy", kept, sizes)


def encode(
    place: Place, begun: Begun, name: str, outlined: Outlined, shards: range
) -> dict[str, list[int]]:
    """Write some shards of a matrix; return their sizes."""
    indptr = np.load(outlined.indptr, mmap_mode="r")
    with ExitStack() as stack:
        runs = [run for part in outlined.collected.get() for run in part.open(stack)]
        rows = _Rows(begun.jobs.get()[name], runs, outlined.range, place)
        workers = place.shop.workers
        return encode_rows(place.store, outlined.layout, rows, indptr, workers, shards)


@dataclass(frozen=True)
class _Rows:
    """Rows of a matrix that lie in runs."""

    job: MatrixJob
    runs: Sequence[Run]
    values: ValueRange
    place: Place

    def windows(
        self, firsts: NDArray[np.int64], stops: NDArray[np.int64], indptr: NDArray[np.int64]
    ) -> Iterator[tuple[Window, range]]:
        for found in self._windows(firsts, stops, indptr):
            self.place.advance(0)
            yield found

    def _windows(
        self, firsts: NDArray[np.int64], stops: NDArray[np.int64], indptr: NDArray[np.int64]
    ) -> Iterator[tuple[Window, range]]:
        job, arena, workers = self.job, self.place.shop.arena, self.place.shop.workers
        if job.buckets is None:
            columns = index_dtype(job.shape[1])
            return load_windows(self.runs, arena, workers, firsts, stops, indptr, columns)
        dtype = narrowest_dtype(self.values, job.plain)
        turner = Turner(job.buckets, dtype, stored(self.runs, job.buckets), arena, workers)
        return turner.windows(firsts, stops, indptr)
