"""What a recipe may hold: keys and the kinds of their values, every problem noted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dao.errors import ExpressionError, RecipeError, near_matches
from dao.format.declared import parse_obs_schema
from dao.where import parse

__all__ = ["OPTIONS", "Problems", "check_recipe", "usable_entries"]


@dataclass(frozen=True)
class Problems:
    """What is wrong with a recipe, each with its place."""

    where: str
    found: list[str] = field(default_factory=list)

    def add(self, place: str, message: str) -> None:
        """Note one problem."""
        self.found.append(f"{place}: {message}" if place else message)

    def raise_if_any(self) -> None:
        """Raise one error that lists all problems.

        Raises
        ------
        dao.errors.RecipeError
            If any was noted.
        """
        if self.found:
            listed = "".join(f"\n  {p}" for p in self.found)
            msg = f"{self.where} cannot be used; nothing was read or written:{listed}"
            raise RecipeError(msg)


Check = Callable[[Any], str | None]


def _is(kind: type | tuple[type, ...], words: str) -> Check:
    def check(value: Any) -> str | None:
        wrong = not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
        return f"must be {words}, not {value!r}" if wrong else None

    return check


def _texts(value: Any) -> str | None:
    listed = [value] if isinstance(value, str) else value
    if isinstance(listed, list) and all(isinstance(v, str) and v for v in listed):
        return None
    return f"must be a text or a list of texts, not {value!r}"


def _expression(value: Any) -> str | None:
    if not isinstance(value, str):
        return f"must be an expression as text, not {value!r}"
    try:
        parse(value)
    except ExpressionError as error:
        return str(error)
    return None


_TEXT = _is(str, "a text")
_TABLE = _is(dict, "a table")
_OF_ALL: dict[str, Check] = {"organism": _TEXT, "layer": _TEXT, "feature_key": _TEXT}
_OF_CELLS: dict[str, Check] = {"obs": _TABLE, "constants": _TABLE, "subset": _expression}

# The arguments of `dao.write_store` that a recipe may give.
OPTIONS: dict[str, Check] = {
    **_OF_ALL,
    "features": _is((str, list, dict), "a text, a list of ids or a table"),
    "layers": _texts,
    "obsm": _texts,
    "obs_columns": _texts,
    "obs_schema": _TABLE,
    "shuffle": _is(bool, "true or false"),
    "cluster_by": _texts,
    "seed": _is(int, "a whole number"),
    "profile": _TEXT,
    "memory": _is((str, int), 'a size as "2GiB"'),
}
_TOP: dict[str, Check] = {
    **OPTIONS,
    "store": _TEXT,
    "defaults": _TABLE,
    "source": _is(list, "written as [[source]]"),
}
_DEFAULTS = {**_OF_ALL, **_OF_CELLS}
_SOURCE: dict[str, Check] = {**_DEFAULTS, "path": _texts, "id": _TEXT}


def check_recipe(content: Mapping[str, Any], problems: Problems) -> None:
    """Note every unknown key, missing key and wrong value of a recipe."""
    _check_keys("", content, _TOP, problems)
    for problem in parse_obs_schema(content.get("obs_schema", {}))[1]:
        problems.add("obs_schema", problem)
    defaults = content.get("defaults", {})
    if isinstance(defaults, dict):
        _check_keys("defaults", defaults, _DEFAULTS, problems)
        _check_cells("defaults", defaults, problems)
    sources = content.get("source", [])
    if not sources:
        problems.add("", "there is no [[source]]; each needs a path")
    for number, source in enumerate(sources if isinstance(sources, list) else (), 1):
        place = f"source {number}"
        if not isinstance(source, dict):
            problems.add(place, f"must be a table, not {source!r}")
            continue
        if "path" not in source:
            problems.add(place, "has no path")
        _check_keys(place, source, _SOURCE, problems)
        _check_cells(place, source, problems)


def usable_entries(content: Mapping[str, Any], problems: Problems) -> list[dict[str, Any]]:
    """Return the defaults, then every source whose files can be looked for.

    Where anything is wrong, only paths and ids are left of them: enough to find the rest of what
    is wrong.
    """
    given = content.get("source", [])
    entries = [
        entry
        for entry in (given if isinstance(given, list) else ())
        if isinstance(entry, dict)
        and _texts(entry.get("path")) is None
        and isinstance(entry.get("id", ""), str)
    ]
    if problems.found:
        return [{}, *({k: e[k] for k in ("path", "id") if k in e} for e in entries)]
    return [content.get("defaults", {}), *entries]


def _check_keys(
    place: str, found: Mapping[str, Any], known: Mapping[str, Check], problems: Problems
) -> None:
    for key, value in found.items():
        if key not in known:
            problems.add(place, f"unknown key {key!r}.{near_matches(key, known)}")
            continue
        problem = known[key](value)
        if problem:
            problems.add(f"{place}.{key}" if place else key, problem)


def _check_cells(place: str, found: Mapping[str, Any], problems: Problems) -> None:
    """Look into obs and constants."""
    obs = found.get("obs")
    for name, what in obs.items() if isinstance(obs, dict) else ():
        problem = _rename_problem(what)
        if problem:
            problems.add(f"{place}.obs.{name}", problem)
    constants = found.get("constants")
    for name, value in constants.items() if isinstance(constants, dict) else ():
        if not isinstance(value, str | bool | int | float):
            problems.add(f"{place}.constants.{name}", f"must be one value, not {value!r}")


def _rename_problem(what: Any) -> str | None:
    if isinstance(what, str):
        return None
    if not isinstance(what, dict):
        return f"must be a column, or {{column = ..., values = {{...}}}}, not {what!r}"
    known: Sequence[str] = ("column", "values")
    unknown = [k for k in what if k not in known]
    if unknown:
        return f"unknown key {unknown[0]!r}.{near_matches(unknown[0], known)}"
    if not isinstance(what.get("column"), str) or not isinstance(what.get("values", {}), dict):
        return "column must be a text, and values a table of old = new"
    return None
