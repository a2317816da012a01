"""The reader: manifest and tables made once, rows read from the files when they are asked for."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao.errors import ArgumentError, CorruptStoreError, SourceError, near_matches
from dao.forks import Lock
from dao.stamps import Stamp
from dao.write.inspect import inspect_opened, of_all
from dao.write.job import make_job
from dao.write.opened import open_source
from dao.write.plan import make_plan
from dao.write.source import normalise_sources
from dao.write.workers import Scratch
from dao_backends.foreign.catalog import make_catalog
from dao_backends.foreign.study import OpenStudy, align, by_rows, describe
from dao_backends.request import checked_request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from dao.backend import DenseRows, SparseRows
    from dao.format.manifest import Manifest
    from dao.write.job import Job
    from dao.write.opened import OpenSource
    from dao.write.source import Source
    from dao_backends.foreign.aligned import AlignedMatrix

__all__ = ["ForeignFiles"]

# Arguments of `dao.write_store` that mean the same here.
_OF_SOURCES = ("organism", "layer", "feature_key")
_OF_JOBS = ("layers", "obsm", "obs_columns", "obs_schema")
_OPTIONS = (*_OF_SOURCES, *_OF_JOBS, "features")
_CSC_SHARE = 2  # of the memory budget, for matrices that are turned around


class ForeignFiles:
    """A read-only store over files that dao did not write.

    Parameters
    ----------
    sources
        Paths, or `dao.Source` objects of paths, or a dict of these.
    kind
        What the files are, for messages.
    options
        Arguments of `dao.write_store` that say how studies are understood.

    Raises
    ------
    dao.errors.DaoError
        For whatever would keep `dao.write_store` from writing them.
    """

    def __init__(self, sources: Any, kind: str, *, memory: int, options: Mapping[str, Any]) -> None:
        for name in options:
            if name not in _OPTIONS:
                msg = f"This backend has no option {name!r}.{near_matches(name, _OPTIONS)}"
                raise ArgumentError(msg)
        self.foreign, self._memory = kind, memory
        given = normalise_sources(sources, **{k: options.get(k) for k in _OF_SOURCES})
        self._stamps = {str(s.id): _stamp(s) for s in given}
        job = make_job(Path(), shuffle=False, **{k: options[k] for k in _OF_JOBS if k in options})
        self._prepare()
        try:
            self._open(given, job, options.get("features", "outer"))
        except BaseException:
            self.close()
            raise

    def _open(self, given: Sequence[Source], job: Job, features: Any) -> None:
        found = of_all(given, lambda source: self._look(source, job))
        plan = make_plan(job, [one.study for one in found], features, None)
        found = [replace(one, study=s) for one, s in zip(found, plan.studies, strict=True)]
        self._studies = {s.id: s for s in plan.studies}
        self._rows = {one.study.id: one.rows for one in found}
        self._targets = {s.id: s.features.targets(plan.space(s)) for s in plan.studies}
        self._n_vars = {s.id: len(plan.space(s)) for s in plan.studies}
        infos: dict[str, dict[str, Any]] = {}
        for one in found:
            infos[one.study.id] = {}
            for name in ("X", *job.matrices):
                matrix, info = describe(self._align(one.study.id, one.opened, name), self._scratch)
                self._matrices[one.study.id, name] = matrix
                infos[one.study.id][name] = info
        stamps = {name: stamp.digest for name, stamp in self._stamps.items()}
        self._catalog = make_catalog(plan, found, infos, stamps, self.foreign)

    def _look(self, source: Source, job: Job) -> OpenStudy:
        opened = open_source(source, self._files)
        study, obs, rows = inspect_opened(source, opened, job)
        return OpenStudy(study, opened, obs, rows)

    def manifest(self) -> Manifest:
        """Return what a store of these files would hold."""
        return self._catalog.manifest

    def table(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return a table of the store, from memory."""
        table = self._catalog.tables[path]
        return table if columns is None else table.select(list(columns))

    def document(self, path: str) -> Any:
        """Return the uns of a dataset."""
        return self._catalog.documents[path]

    def rows(self, dataset: str, matrix: str, rows: NDArray[np.int64]) -> SparseRows | DenseRows:
        """Return rows of a matrix over the feature space, read from the file.

        Raises
        ------
        dao.errors.CorruptStoreError, dao.errors.StoreChangedError
            If the file is not there any more, is damaged or has changed.
        """
        _, rows = checked_request(self.manifest(), dataset, matrix, rows)
        stamp = self._stamps[dataset]
        try:
            found = self._matrix(dataset, matrix).take(rows, self._scratch)
        except SourceError as error:
            stamp.check()
            raise CorruptStoreError(str(error)) from error
        stamp.check()  # afterwards, so that what changes meanwhile is found too
        return found

    def close(self) -> None:
        """Close the files."""
        self._files.close()
        self._matrices.clear()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what cannot travel: open files, locks and buffers."""
        state = self.__dict__.copy()
        for name in ("_files", "_matrices", "_lock", "_scratch"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def _prepare(self) -> None:
        self._files = ExitStack()
        self._lock = Lock()
        self._scratch = Scratch()
        self._matrices: dict[tuple[str, str], AlignedMatrix] = {}

    def _matrix(self, dataset: str, name: str) -> AlignedMatrix:
        known = self._matrices.get((dataset, name))
        if known is not None:
            return known
        infos = self.manifest().dataset(dataset).matrices
        with self._lock:
            opened = open_source(self._studies[dataset].source, self._files)
            for other, info in infos.items():
                if (dataset, other) not in self._matrices:
                    matrix = self._align(dataset, opened, other)
                    self._matrices[dataset, other] = replace(matrix, dtype=info.dtype)
        return self._matrices[dataset, name]

    def _align(self, dataset: str, opened: OpenSource, name: str) -> AlignedMatrix:
        study = self._studies[dataset]
        matrix = opened.x if name == "X" else opened.matrix(name)
        where = f"{name} of {study.source.label}"
        matrix = by_rows(matrix, where, self._memory // _CSC_SHARE, self._scratch)
        rows, targets = self._rows[dataset], self._targets[dataset]
        return align(name, matrix, study, rows, targets, self._n_vars[dataset])


def _stamp(source: Source) -> Stamp:
    if not isinstance(source.path, Path):
        msg = f"{source.label} is in memory: write it with dao.write_store, or use it as it is."
        raise ArgumentError(msg)
    try:
        return Stamp(source.path)
    except OSError as error:
        msg = f"{source.path} cannot be opened (source {source.id!r}): {error.strerror}."
        raise SourceError(msg) from error
