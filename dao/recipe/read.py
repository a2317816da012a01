"""Read a recipe: all of it is checked before any source is opened."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dao.errors import ArgumentError, RecipeError
from dao.paths import local_path
from dao.recipe.check import OPTIONS, Problems, check_recipe, usable_entries
from dao.recipe.features import expand_features
from dao.recipe.sources import expand_sources
from dao.remote.url import is_url

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    from dao.write.source import Source

__all__ = ["Recipe", "read_recipe"]


@dataclass(frozen=True)
class Recipe:
    """A store to be written; ``dao.write_store(r.store, r.sources, **r.options)`` writes it.

    Attributes
    ----------
    store
        Where, or None if the recipe does not say.
    sources
        A source for every file.
    options
        Further arguments of `dao.write_store`.

    Examples
    --------
    >>> text = '''
    ... store = "atlas.dao"
    ... organism = "human"
    ... [[source]]
    ... path = "gut.h5ad"
    ... '''
    >>> _ = (tmp_path / "atlas.toml").write_text(text)
    >>> _ = (tmp_path / "gut.h5ad").write_bytes(b"")
    >>> recipe = read_recipe(tmp_path / "atlas.toml")
    >>> recipe.store.name, len(recipe.sources), dict(recipe.options)
    ('atlas.dao', 1, {'organism': 'human'})
    """

    store: Path | str | None
    sources: tuple[Source, ...]
    options: Mapping[str, Any]


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read and check a recipe in TOML.

    Paths in it are relative to its folder. Its keys are the arguments of `dao.write_store`,
    ``store``, ``[defaults]`` for all sources, and a ``[[source]]`` for each path or pattern.

    Raises
    ------
    dao.errors.RecipeError
        With every unknown key, wrong value and missing file.

    Examples
    --------
    >>> recipe = tmp_path / "atlas.toml"
    >>> _ = (tmp_path / "gut.h5ad").write_bytes(b"")
    >>> _ = recipe.write_text('''
    ... store = "atlas.dao"
    ... organism = "human"
    ... [[source]]
    ... path = "*.h5ad"
    ... obs = {cell_type = "Celltype"}
    ... ''')
    >>> read = read_recipe(recipe)
    >>> read.store.name, [s.path.name for s in read.sources], read.options
    ('atlas.dao', ['gut.h5ad'], {'organism': 'human'})
    """
    path = local_path(path)
    content = _load(path)
    problems = Problems(str(path))
    check_recipe(content, problems)
    options = {k: v for k, v in content.items() if k in OPTIONS}
    if isinstance(options.get("features"), str | list | dict):
        options["features"] = expand_features(options["features"], path.parent, problems)
    sources = expand_sources(usable_entries(content, problems), path.parent, problems)
    where = _store(content.get("store"), path.parent, problems)
    problems.raise_if_any()
    return Recipe(where, tuple(sources), options)


def _store(given: Any, folder: Path, problems: Problems) -> Path | str | None:
    if not isinstance(given, str) or is_url(given):
        return given if isinstance(given, str) else None
    try:
        return local_path(given, "store", folder=folder)
    except ArgumentError as error:
        problems.add("store", str(error).removeprefix("store: "))
        return None


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        what = "There is no recipe" if isinstance(error, FileNotFoundError) else "Cannot read"
        msg = f"{what} {path} ({error.strerror})."
        raise RecipeError(msg) from error
    except (ValueError, RecursionError) as error:
        msg = f"{path} is not TOML: {error}."
        raise RecipeError(msg) from error
