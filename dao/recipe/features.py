"""What a recipe says of features, as an argument of `dao.write_store`."""

from __future__ import annotations

import difflib
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from dao.errors import ArgumentError, ExpressionError, near_matches
from dao.features import Features
from dao.paths import local_path
from dao.where import parse

if TYPE_CHECKING:
    from pathlib import Path

    from dao.recipe.check import Problems

__all__ = ["expand_features"]

_KEYS = tuple(f.name for f in fields(Features))
_CLOSE = 0.7


def expand_features(given: Any, folder: Path, problems: Problems) -> Any:
    """Return ``features`` with its paths found, relative to the folder of the recipe.

    A table has the arguments of `dao.Features`, or organisms, each with features of its own.
    """
    if not isinstance(given, dict) or given.keys() & set(_KEYS):
        return _features("features", given, folder, problems)
    result = {}
    for organism, what in given.items():
        if difflib.get_close_matches(organism, _KEYS, 1, _CLOSE):
            near = near_matches(organism, _KEYS)
            problems.add("features", f"unknown key {organism!r}.{near}")
        result[organism] = _features(f"features.{organism}", what, folder, problems)
    return result


def _features(place: str, given: Any, folder: Path, problems: Problems) -> Any:
    if not isinstance(given, dict):
        return _table(place, given, folder, problems)
    for key in given.keys() - set(_KEYS):
        problems.add(place, f"unknown key {key!r}.{near_matches(key, _KEYS)}")
    known: dict[str, Any] = {k: v for k, v in given.items() if k in _KEYS}
    if "table" in known:
        known["table"] = _table(f"{place}.table", known["table"], folder, problems)
    if isinstance(known.get("aliases"), str):
        known["aliases"] = _file(f"{place}.aliases", known["aliases"], folder, problems)
    for key in ("id", "symbol", "where"):
        if not isinstance(known.get(key, ""), str):
            problems.add(f"{place}.{key}", f"must be a text, not {known[key]!r}")
    if not isinstance(known.get("ignore_case", False), bool):
        problems.add(f"{place}.ignore_case", "must be true or false")
    try:
        parse(str(known.get("where", "a == 1")))
    except ExpressionError as error:
        problems.add(f"{place}.where", str(error))
    return Features(**known)


def _table(place: str, given: Any, folder: Path, problems: Problems) -> Any:
    if isinstance(given, list) and not all(isinstance(i, str) for i in given):
        problems.add(place, "must be a list of ids, each a text")
    elif not isinstance(given, str | list):
        problems.add(place, f"must be a text or a list of ids, not {given!r}")
    if not isinstance(given, str) or given in {"outer", "inner"}:
        return given
    return _file(place, given, folder, problems)


def _file(place: str, text: str, folder: Path, problems: Problems) -> Path | str:
    try:
        path = local_path(text, place, folder=folder)
    except ArgumentError as error:
        problems.add(place, str(error).removeprefix(f"{place}: "))
        return text
    if not path.exists():
        problems.add(place, f"there is no file {text!r}; give 'outer', 'inner' or a path")
    return path
