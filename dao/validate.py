"""Validate: read every byte of a store and hold it against the format."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.backend import DenseRows, SparseRows, find_backend
from dao.bars import bar
from dao.errors import ArgumentError, CorruptStoreError, DaoError, FormatVersionError
from dao.format.obs_schema import INDEX_COLUMN, SOURCE_ROW_COLUMN
from dao.generations import generation_path, kept_generations, read_manifest
from dao.inside import check_inside
from dao.ranges import ranges
from dao.remote.url import is_url
from dao.write.tidy import tidy

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from dao.backend import Reader
    from dao.format.manifest import DatasetInfo, FileInfo, Manifest, MatrixInfo

__all__ = ["Report", "validate_store"]

_ELEMENTS_AT_ONCE = 1 << 24


@dataclass
class Report:
    """What `validate_store` found.

    Attributes
    ----------
    problems
        What is wrong and where, one sentence each; empty for a sound store.
    garbage
        Files and folders that the manifest does not name: left by a killed writer, or being
        written at this moment. Harmless.
    older
        What only earlier generations need, and no reader holds. They open as long as it is there.
    removed
        What was taken away.
    n_obs, n_values, n_files
        What was read.
    """

    path: str
    problems: list[str] = field(default_factory=list)
    garbage: list[str] = field(default_factory=list)
    older: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    n_obs: int = 0
    n_values: int = 0
    n_files: int = 0

    @property
    def ok(self) -> bool:
        """Whether the store is sound."""
        return not self.problems

    def __str__(self) -> str:
        read = f"{self.n_obs:,} cells, {self.n_values:,} values, {self.n_files:,} files read"
        lines = [f"{self.path}: {'sound' if self.ok else 'DAMAGED'} ({read})"]
        lines += [f"  {p}" for p in self.problems]
        lines += [f"  not part of the store (--repair removes it): {g}" for g in self.garbage]
        if self.older:
            lines.append(
                f"  {len(self.older)} files and folders are of earlier generations only "
                "(--repair --old-generations removes them)"
            )
        lines += [f"  removed: {r}" for r in self.removed]
        return "\n".join(lines)


def validate_store(
    path: str | os.PathLike[str],
    *,
    repair: bool = False,
    old_generations: bool = False,
    progress: bool = True,
) -> Report:
    """Check structure, checksums and every invariant of the format.

    Parameters
    ----------
    path
        Folder of the store.
    repair
        Remove what a killed writer left behind. Damage is never repaired.
    old_generations
        With ``repair``: remove what only earlier generations need, too. Those that a reader on this
        machine has open stay.
    progress
        Show a progress bar on a terminal.

    Returns
    -------
    The report; damage is in ``problems``, not raised.

    Raises
    ------
    dao.errors.StoreNotFoundError
        If there is no store.
    dao.errors.FormatVersionError
        If a newer dao wrote it.
    dao.errors.ArgumentError
        If ``path`` is a URL.
    dao.errors.StoreBusyError
        If ``repair`` is asked for while another process is writing.

    Examples
    --------
    >>> report = validate_store(store_path)
    >>> report.problems
    []
    """
    if is_url(path):
        msg = f"{path}: only local folders are checked. Copy the store to one."
        raise ArgumentError(msg)
    report = Report(str(path))
    root = Path(path)
    try:
        reader = find_backend("zarr").open(str(root), memory=1 << 30, options={})
    except (DaoError, OSError) as error:
        if isinstance(error, FormatVersionError) or not (root / "dao.json").is_file():
            raise
        report.problems.append(str(error))
        return report
    manifest = reader.manifest()
    report.n_obs = manifest.n_obs
    tidied = tidy(root, manifest, repair=repair, old_generations=old_generations)
    report.garbage, report.older, report.removed = tidied
    seen: set[str] = set()
    _check_generation(reader, root, report, seen, progress=progress)
    reader.close()
    for generation in {*kept_generations(root), manifest.generation}:
        report.n_files += 1
        kept = _attempt(report, read_manifest, root, generation)
        if kept is None:
            continue
        if generation == manifest.generation:
            if kept != manifest:
                place = generation_path(root, generation).relative_to(root)
                report.problems.append(f"{place} is not what dao.json is.")
        else:
            options = {"generation": generation}
            reader = find_backend("zarr").open(str(root), memory=1 << 30, options=options)
            _check_generation(reader, root, report, seen, progress=progress)
            reader.close()
    return report


def _check_generation(
    reader: Reader, root: Path, report: Report, seen: set[str], *, progress: bool
) -> None:
    """Check what was not seen yet of a generation."""
    manifest = reader.manifest()
    _check_tables(reader, manifest, report, seen)
    fresh = [d for d in manifest.datasets if d.path not in seen]
    seen |= {d.path for d in fresh}
    n_rows = sum(matrix.shape[0] for d in fresh for matrix in d.matrices.values())
    with bar(f"generation {manifest.generation}", n_rows, "rows", show=progress) as advance:
        for dataset in fresh:
            _check_dataset_tables(reader, root, dataset, report)
            for name, matrix in dataset.matrices.items():
                _attempt(
                    report, _check_matrix, reader, root, dataset, name, matrix, report, advance
                )


def _check_tables(reader: Reader, manifest: Manifest, report: Report, seen: set[str]) -> None:
    checks: list[tuple[Any, ...]] = [(manifest.vocabulary,)]
    checks += [(ontology.file,) for ontology in manifest.ontologies.values()]
    checks += [(s.file, _check_features, s.n_vars) for s in manifest.feature_spaces]
    for file, *check in checks:
        if file.path not in seen:
            seen.add(file.path)
            _check_table(reader, file, report, *check)


def _check_bytes(root: Path, info: FileInfo) -> None:
    check_inside(str(root), info.path)
    try:
        with (root / info.path).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        msg = f"{info.path} cannot be read: {error.strerror}. Restore it from a copy."
        raise CorruptStoreError(msg) from error
    if sha256 != info.sha256:
        msg = f"{info.path} is not the file that was written. Restore it from a copy."
        raise CorruptStoreError(msg)


def _check_dataset_tables(reader: Reader, root: Path, dataset: DatasetInfo, report: Report) -> None:
    manifest = reader.manifest()
    n_vars = manifest.space(dataset.organism).n_vars
    _check_table(reader, dataset.obs.file, report, _check_obs, dataset)
    _check_table(reader, dataset.features, report, _check_measured, dataset, n_vars)
    if dataset.dropped is not None:
        _check_table(reader, dataset.dropped, report)
    _attempt(report, reader.document, dataset.uns.path)
    report.n_files += 1 + 1 + len(dataset.groups)
    # Readers check the parts that they use. For others all bytes of a file must be right.
    for info in (dataset.obs.file, dataset.group, *dataset.groups):
        _attempt(report, _check_bytes, root, info)


def _check_table(
    reader: Reader,
    info: FileInfo,
    report: Report,
    check: Callable[..., str | None] = lambda _: None,
    *arguments: Any,
) -> None:
    table = _attempt(report, reader.table, info.path)
    report.n_files += 1
    problem = check(table, *arguments) if table is not None else None
    if problem:
        report.problems.append(f"{info.path}: {problem}")


def _check_features(table: Any, n_vars: int) -> str | None:
    ids = table["feature_id"].to_pylist()
    if len(ids) != n_vars:
        return f"has {len(ids)} features, the manifest says {n_vars}"
    return None if len(set(ids)) == n_vars and None not in ids else "repeats a feature"


def _check_obs(table: Any, dataset: DatasetInfo) -> str | None:
    if table.num_rows != dataset.n_obs:
        return f"has {table.num_rows} rows, the manifest says {dataset.n_obs}"
    wanted = {INDEX_COLUMN, SOURCE_ROW_COLUMN, *dataset.obs.columns}
    if set(table.column_names) != wanted:
        return "has other columns than the manifest says"
    rows = np.asarray(table[SOURCE_ROW_COLUMN])
    return None if len(np.unique(rows)) == len(rows) else "repeats a source row"


def _check_measured(table: Any, dataset: DatasetInfo, n_vars: int) -> str | None:
    positions = np.asarray(table["position"])
    if len(positions) != dataset.n_measured:
        return f"has {len(positions)} rows, the manifest says {dataset.n_measured}"
    ascending = (np.diff(positions) > 0).all() and (positions >= 0).all()
    return None if ascending and (positions < n_vars).all() else "names features that do not exist"


def _check_matrix(
    reader: Reader,
    root: Path,
    dataset: DatasetInfo,
    name: str,
    matrix: MatrixInfo,
    report: Report,
    advance: Callable[[int], None],
) -> None:
    where = f"{dataset.path}/{name}"
    _check_element(root / where, matrix)
    per_row = max(1, matrix.nnz // max(1, matrix.shape[0]), 1)
    if matrix.encoding == "dense":
        per_row = max(1, matrix.shape[1])
    step = max(1, _ELEMENTS_AT_ONCE // per_row)
    for start in range(0, matrix.shape[0], step):
        rows = np.arange(start, min(start + step, matrix.shape[0]))
        got = reader.rows(dataset.id, name, rows)
        report.n_values += _check_rows(got, where)
        advance(len(rows))
    report.n_files += sum(1 + len(a.shard_sizes) for a in matrix.arrays.values())
    if not matrix.shape[0]:
        reader.rows(dataset.id, name, np.empty(0, np.int64))


def _check_rows(got: SparseRows | DenseRows, where: str) -> int:
    if isinstance(got, DenseRows):
        return int(len(got.slots) * got.values.shape[1])
    if not len(got.starts):
        return 0
    elements = ranges(got.starts, got.lengths)
    indices = got.indices[elements].astype(np.int64)
    if len(indices) and indices.max() >= got.n_vars:
        msg = f"{where}: a column number lies outside of the {got.n_vars} columns."
        raise DaoError(msg)
    row_of = np.repeat(np.arange(len(got.lengths)), got.lengths)
    if ((np.diff(indices) <= 0) & (np.diff(row_of) == 0)).any():
        msg = f"{where}: column numbers do not ascend within a row."
        raise DaoError(msg)
    if (got.values[elements] == 0).any():
        msg = f"{where}: zeros are stored."
        raise DaoError(msg)
    return len(indices)


def _check_element(folder: Path, matrix: MatrixInfo) -> None:
    """Refuse Zarr metadata that tell other readers something else than the manifest tells dao."""
    try:
        attributes = json.loads((folder / "zarr.json").read_text())["attributes"]
    except (OSError, ValueError, KeyError, UnicodeDecodeError) as error:
        msg = f"{folder / 'zarr.json'} cannot be read: {error}."
        raise DaoError(msg) from error
    wanted: dict[str, Any] = {"encoding-type": "array"}
    if matrix.encoding == "csr":
        wanted = {"encoding-type": "csr_matrix", "shape": list(matrix.shape)}
    if any(attributes.get(k) != v for k, v in wanted.items()):
        msg = f"{folder / 'zarr.json'} does not describe an anndata element of this shape."
        raise DaoError(msg)


def _attempt(report: Report, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except DaoError as error:
        report.problems.append(str(error))
    return None
