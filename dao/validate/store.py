"""Validate: read every byte of a store and hold it against the format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dao.arguments import flag
from dao.backend import find_backend
from dao.bars import bar
from dao.errors import ArgumentError, DaoError, FormatVersionError
from dao.generations import generation_path, kept_generations, read_manifest
from dao.obs import ObsStore
from dao.paths import location
from dao.validate.matrices import check_matrix
from dao.validate.report import Report
from dao.validate.tables import check_categories, check_dataset_tables, check_tables
from dao.write.tidy import tidy

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from dao.backend import Reader

__all__ = ["validate_store"]


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
    repair, old_generations = flag("repair", repair), flag("old_generations", old_generations)
    root = location(path)
    if isinstance(root, str):
        msg = f"{root}: only local folders are checked. Copy the store to one."
        raise ArgumentError(msg)
    report = Report(str(root))
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
        kept = report.attempt(read_manifest, root, generation)
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
    n_problems = len(report.problems)
    check_tables(reader, manifest, report, seen)
    obs = ObsStore(reader)
    if len(report.problems) == n_problems:
        check_categories(obs, manifest, report)
    fresh = [d for d in manifest.datasets if d.path not in seen]
    seen |= {d.path for d in fresh}
    n_rows = sum(matrix.shape[0] for d in fresh for matrix in d.matrices.values())
    with bar(f"generation {manifest.generation}", n_rows, "rows", show=progress) as advance:
        for dataset in fresh:
            check_dataset_tables(reader, root, dataset, report, obs)
            for name, matrix in dataset.matrices.items():
                report.attempt(check_matrix, reader, root, dataset, name, matrix, report, advance)
