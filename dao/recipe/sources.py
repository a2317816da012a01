"""From the entries of a recipe to sources: globs, defaults for all, overrides for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dao.errors import ArgumentError, DatasetIdError, near_matches
from dao.format.names import check_dataset_id
from dao.nearby import names_in
from dao.paths import local_path, matches
from dao.write.source import Source, default_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from dao.recipe.check import Problems

__all__ = ["expand_sources"]

Settings = dict[str, Any]


def expand_sources(entries: Sequence[Settings], folder: Path, problems: Problems) -> list[Source]:
    """Return a source for every file that the entries name.

    A file that is named by itself keeps what the patterns that match it say, and its own entry
    decides. Named by itself several times, it becomes several datasets.

    Parameters
    ----------
    entries
        The defaults for all, then what each ``[[source]]`` says.
    folder
        Paths are relative to it.
    """
    defaults, *given = entries
    named = [
        (path, is_pattern, entry)
        for number, entry in enumerate(given, 1)
        for path, is_pattern in _files(entry, number, folder, problems)
    ]
    sources = []
    for file in dict.fromkeys(path for path, _, _ in named):
        here = [(is_pattern, entry) for path, is_pattern, entry in named if path == file]
        shared = [defaults, *(e for is_pattern, e in here if is_pattern)]
        own = [e for is_pattern, e in here if not is_pattern] or [{}]
        sources += [_source(file, _merged([*shared, entry])) for entry in own]
    _check_ids(sources, problems)
    return sources


def _files(
    entry: Settings, number: int, folder: Path, problems: Problems
) -> list[tuple[Path, bool]]:
    given = [entry["path"]] if isinstance(entry["path"], str) else entry["path"]
    found = []
    for text in given:
        try:
            path = local_path(text, f"source {number}.path", folder=folder)
        except ArgumentError as error:
            problems.add(f"source {number}.path", str(error).partition(": ")[2])
            continue
        matched = matches(path)
        found += [(path, False)] if matched is None else [(m, True) for m in matched]
        if matched is None and not path.exists():
            near = near_matches(path.name, names_in(path.parent))
            problems.add(f"source {number}.path", f"there is no file {text!r}.{near}")
            found.pop()
        elif matched == []:
            problems.add(f"source {number}.path", f"no file matches {text!r}")
    if "id" in entry and len(found) > 1:
        problems.add(
            f"source {number}.id", f"{entry['id']!r} cannot be the id of {len(found)} files"
        )
    return found


def _merged(parts: Sequence[Settings]) -> Settings:
    """Return settings of which later ones win; obs and constants are merged name by name."""
    result: Settings = {}
    for part in parts:
        for key, value in part.items():
            result[key] = {**result.get(key, {}), **value} if isinstance(value, dict) else value
    return result


def _source(path: Path, settings: Settings) -> Source:
    # TOML knows no None: an empty text takes back what an earlier part says.
    renames = {new: what for new, what in settings.get("obs", {}).items() if what != ""}
    return Source(
        path,
        id=settings.get("id"),
        organism=settings.get("organism"),
        layer=settings.get("layer"),
        feature_key=settings.get("feature_key") or None,
        obs={new: _rename(what) for new, what in renames.items()},
        constants={n: v for n, v in settings.get("constants", {}).items() if v != ""},
        subset=settings.get("subset") or None,
    )


def _rename(what: str | Settings) -> str | tuple[str, Mapping[Any, Any]]:
    if isinstance(what, str):
        return what
    return (what["column"], what["values"]) if "values" in what else what["column"]


def _check_ids(sources: Sequence[Source], problems: Problems) -> None:
    seen: dict[str, Source] = {}
    for place, source in enumerate(sources):
        name = source.id if source.id is not None else default_id(source, place)
        try:
            check_dataset_id(name)
        except DatasetIdError as error:
            problems.add(source.label, str(error))
        if name.lower() in seen:
            other = seen[name.lower()].label
            problems.add(source.label, f"has the id {name!r}, and so has {other}; give an id")
        seen[name.lower()] = source
