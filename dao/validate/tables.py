"""Tables: vocabulary, features, ontologies, and what a dataset has besides its matrices."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import CorruptStoreError
from dao.format.obs_schema import INDEX_COLUMN, SOURCE_ROW_COLUMN
from dao.format.origins import origins_in
from dao.inside import check_inside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from dao.backend import Reader
    from dao.format.manifest import DatasetInfo, FileInfo, Manifest
    from dao.obs import ObsStore
    from dao.validate.report import Report

__all__ = ["check_categories", "check_dataset_tables", "check_tables"]


def check_tables(reader: Reader, manifest: Manifest, report: Report, seen: set[str]) -> None:
    """Check the tables of a whole store that were not seen yet."""
    checks: list[tuple[Any, ...]] = [(manifest.vocabulary,)]
    checks += [(ontology.file,) for ontology in manifest.ontologies.values()]
    checks += [(s.file, _check_features, s.n_vars) for s in manifest.feature_spaces]
    for file, *check in checks:
        if file.path not in seen:
            seen.add(file.path)
            _check_table(reader, file, report, *check)


def check_categories(obs: ObsStore, manifest: Manifest, report: Report) -> None:
    """Check that the categories of all columns can be read, and come once each."""
    for name, info in manifest.obs_columns.items():
        if info.kind != "categorical":
            continue
        categories = report.attempt(obs.categories, name)
        if categories is None:
            return
        if len(set(categories)) < len(categories):
            report.problems.append(f"{manifest.vocabulary.path}: repeats a category of {name!r}")


def check_dataset_tables(
    reader: Reader, root: Path, dataset: DatasetInfo, report: Report, obs: ObsStore
) -> None:
    """Check what a dataset has besides its matrices."""
    manifest = reader.manifest()
    n_vars = manifest.space(dataset.organism).n_vars
    n_problems = len(report.problems)
    _check_table(reader, dataset.obs.file, report, _check_obs, dataset)
    if len(report.problems) == n_problems:
        _check_columns(obs, manifest.ordinals[dataset.id], dataset.obs.columns, report)
    _check_table(reader, dataset.features, report, _check_measured, dataset, n_vars)
    if dataset.dropped is not None:
        _check_table(reader, dataset.dropped, report)
    report.attempt(reader.document, dataset.uns.path)
    report.n_files += 1 + 1 + len(dataset.groups)
    # Readers check the parts that they use. For others all bytes of a file must be right.
    for info in (dataset.obs.file, dataset.group, *dataset.groups):
        report.attempt(_check_bytes, root, info)


def _check_table(
    reader: Reader,
    info: FileInfo,
    report: Report,
    check: Callable[..., str | None] = lambda _: None,
    *arguments: Any,
) -> None:
    table = report.attempt(reader.table, info.path)
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
    if len(np.unique(rows)) != len(rows):
        return "repeats a source row"
    try:
        origins_in(dataset, rows)
    except CorruptStoreError:
        return "has a source row that lies in none of the origins of the dataset"
    return None


def _check_columns(obs: ObsStore, ordinal: int, names: Iterable[str], report: Report) -> None:
    """Read each column as users do, in the types and codes of the whole store."""
    n_problems = len(report.problems)
    for name in names:
        report.attempt(obs.column, ordinal, name)
        if len(report.problems) > n_problems:
            return  # of damage to a file, one problem is enough


def _check_measured(table: Any, dataset: DatasetInfo, n_vars: int) -> str | None:
    positions = np.asarray(table["position"])
    if len(positions) != dataset.n_measured:
        return f"has {len(positions)} rows, the manifest says {dataset.n_measured}"
    ascending = (np.diff(positions) > 0).all() and (positions >= 0).all()
    return None if ascending and (positions < n_vars).all() else "names features that do not exist"


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
