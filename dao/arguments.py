"""Arguments as users pass them: names, choices, flags and whole numbers, checked in one way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from dao.errors import ArgumentError, near_matches

__all__ = ["choice", "flag", "mapping", "names", "shown", "text", "whole"]

_LARGEST = 2**62


def names(argument: str, value: Any) -> list[str]:
    """Return names, each once, from one name or a list, array, Index or Series of names.

    Raises
    ------
    dao.errors.ArgumentError
        If it is anything else.
    """
    if isinstance(value, str):
        return [str(value)]
    try:
        listed = list(value) if isinstance(value, Iterable) else None
    except TypeError:  # an array without axes can be iterated over in name only
        listed = None
    if listed is None or not all(isinstance(name, str) for name in listed):
        msg = f"{argument}={shown(value)}: pass a name or a list of names."
        raise ArgumentError(msg)
    if len(set(listed)) != len(listed):
        msg = f"{argument}={shown(value)} names something twice."
        raise ArgumentError(msg)
    return [str(name) for name in listed]


def text(argument: str, value: Any, example: str) -> str:
    """Return a text.

    Raises
    ------
    dao.errors.ArgumentError
        If it is not one; the example shows what is.
    """
    if not isinstance(value, str):
        msg = f"{argument}={shown(value)}: pass text, as in {argument}={example!r}."
        raise ArgumentError(msg)
    return str(value)


def choice(argument: str, value: Any, known: Collection[str]) -> str:
    """Return one of a few texts.

    Raises
    ------
    dao.errors.ArgumentError
        If it is none of them.
    """
    if not isinstance(value, str) or value not in known:
        listed = " or ".join(map(repr, known))
        near = near_matches(value, known) if isinstance(value, str) and len(known) > 2 else ""
        msg = f"{argument}={shown(value)}: pass {listed}.{near}"
        raise ArgumentError(msg)
    return str(value)


def flag(argument: str, value: Any) -> bool:
    """Return True or False.

    Raises
    ------
    dao.errors.ArgumentError
        If it is anything else.
    """
    if not isinstance(value, bool | np.bool_):
        msg = f"{argument}={shown(value)}: pass True or False."
        raise ArgumentError(msg)
    return bool(value)


def whole(argument: str, value: Any, least: int = 0) -> int:
    """Return a whole number of Python or NumPy.

    Raises
    ------
    dao.errors.ArgumentError
        If it is not one, or is too small.
    """
    number = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not number or not least <= int(value) < _LARGEST:
        msg = f"{argument}={shown(value)}: pass a whole number of at least {least}."
        raise ArgumentError(msg)
    return int(value)


def mapping(argument: str, value: Any, example: str) -> dict[str, Any]:
    """Return a dict whose keys are texts.

    Raises
    ------
    dao.errors.ArgumentError
        If it is not one; the example shows what is.
    """
    if not isinstance(value, Mapping) or not all(isinstance(k, str) for k in value):
        msg = f"{argument}={shown(value)}: pass a dict, as in {example}."
        raise ArgumentError(msg)
    return dict(value)


def shown(value: Any) -> str:
    """Return a value as a message shows it: short, in one line."""
    if value is None or isinstance(value, str | int | float | bool | np.generic):
        plain = repr(value)
        return plain if len(plain) <= 80 else f"{plain[:77]}..."
    if isinstance(value, list | tuple | set | dict) and len(value) <= 5:
        plain = repr(value)
        if len(plain) <= 80 and "\n" not in plain:
            return plain
    return f"<{type(value).__name__}>"
