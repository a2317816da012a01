"""Arguments as users pass them, one function for each kind, checked in one way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from math import inf
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.errors import ArgumentError, near_matches

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "any_seed",
    "choice",
    "flag",
    "is_whole",
    "listed",
    "mapping",
    "names",
    "number",
    "numbers",
    "optional_text",
    "shown",
    "text",
    "whole",
]

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
    found = listed(value)
    if found is None or not all(isinstance(name, str) for name in found):
        msg = f"{argument}={shown(value)}: pass a name or a list of names."
        raise ArgumentError(msg)
    if len(set(found)) != len(found):
        msg = f"{argument}={shown(value)} names something twice."
        raise ArgumentError(msg)
    return [str(name) for name in found]


def listed(value: Any) -> list[Any] | None:
    """Return what a list, set, array, Index, Series or generator holds; None for anything else."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return None
    try:
        return list(value)
    except TypeError:  # an array without axes can be iterated over in name only
        return None


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


def optional_text(argument: str, value: Any, example: str) -> str | None:
    """Return a text, or None; see `text`."""
    return None if value is None else text(argument, value, example)


def choice(argument: str, value: Any, known: Collection[str]) -> str:
    """Return one of a few texts.

    Raises
    ------
    dao.errors.ArgumentError
        If it is none of them.
    """
    if not isinstance(value, str) or value not in known:
        either = " or ".join(map(repr, known))
        near = near_matches(value, known) if isinstance(value, str) and len(known) > 2 else ""
        msg = f"{argument}={shown(value)}: pass {either}.{near}"
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


def is_whole(value: Any) -> bool:
    """Return whether a value is a whole number of Python or NumPy."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def whole(
    argument: str, value: Any, least: int = 0, most: int = _LARGEST, or_else: str = ""
) -> int:
    """Return a whole number of Python or NumPy.

    Raises
    ------
    dao.errors.ArgumentError
        If it is not one, or is too small or too large; ``or_else`` names what else there is.
    """
    if is_whole(value) and least <= int(value) <= most:
        return int(value)
    is_bounded = most < _LARGEST or (is_whole(value) and int(value) > most)
    limits = f"from {least:,} to {most:,}" if is_bounded else f"of at least {least}"
    hint = f", as {int(value)}" if isinstance(value, float) and value.is_integer() else ""
    msg = f"{argument}={shown(value)}: pass a whole number {limits}{or_else}{hint}."
    raise ArgumentError(msg)


def any_seed(value: Any) -> int:
    """Return a seed of any size, as NumPy takes them.

    Raises
    ------
    dao.errors.ArgumentError
        If it is not a whole number, or is negative.
    """
    return int(value) if is_whole(value) and value >= 0 else whole("seed", value)


def number(argument: str, value: Any, above: float = -inf, or_else: str = "") -> float:
    """Return a finite number of Python or NumPy.

    Raises
    ------
    dao.errors.ArgumentError
        If it is not one, or not above a limit; ``or_else`` names what else there is.
    """
    is_number = isinstance(value, Real | Decimal) and not isinstance(value, bool | np.bool_)
    with suppress(ArithmeticError):  # of whole numbers that no float can hold
        if is_number and above < float(value) < inf:
            return float(value)
    limit = "" if above == -inf else f" above {above:g}"
    msg = f"{argument}={shown(value)}: pass a number{limit}{or_else}."
    raise ArgumentError(msg)


def numbers(argument: str, value: Any) -> NDArray[np.float64]:
    """Return a list, array, Index or Series of finite numbers as an array of float64.

    Raises
    ------
    dao.errors.ArgumentError
        If it is anything else.
    """
    found: Any = None
    with suppress(TypeError, ValueError, OverflowError):  # ragged lists, text, complex numbers
        array = np.asarray(value if isinstance(value, np.ndarray) else listed(value))
        found = array.astype(np.float64) if array.dtype.kind in "iufO" else None
    if found is None or found.ndim != 1 or not np.isfinite(found).all():
        msg = f"{argument}={shown(value)}: pass a list or array of finite numbers."
        raise ArgumentError(msg)
    return np.array(found, np.float64)


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
