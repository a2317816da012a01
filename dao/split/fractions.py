"""The arguments of a split: fractions, seed and method, checked before anything is read."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from dao.arguments import any_seed, choice
from dao.errors import ArgumentError, near_matches

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "METHODS",
    "check_fractions",
    "check_method",
    "check_seed",
    "named_fractions",
    "refuse_unknown",
]

METHODS = ("hash", "exact")
_TOLERANCE = 1e-6  # fractions that are written as decimals rarely add up to 1 exactly
_USUAL = {1: ("train",), 2: ("train", "test"), 3: ("train", "val", "test")}
_EXAMPLE = "store.split({'train': 0.8, 'test': 0.2})"
_HABITS = {
    "test_size": "pass the fraction of each part",
    "train_size": "pass the fraction of each part",
    "random_state": "the argument is named seed",
    "stratify": "the argument is named stratify_by, and takes names of obs columns",
    "groups": "the argument is named group_by, and takes names of obs columns",
    "shuffle": "parts are always drawn at random",
}


def check_fractions(fractions: Any) -> NDArray[np.float64]:
    """Return the fractions of the parts, in the order given; see `named_fractions`."""
    return named_fractions(fractions)[1]


def named_fractions(fractions: Any) -> tuple[list[Any], NDArray[np.float64]]:
    """Return the names of the parts and their fractions, in the order given.

    Raises
    ------
    dao.errors.ArgumentError
        If they are not a dict of numbers above 0 that add up to 1.
    """
    is_table = not isinstance(fractions, type) and hasattr(fractions, "keys")
    if not (isinstance(fractions, Mapping) or is_table):
        raise ArgumentError(_not_a_dict(fractions))
    given = dict(fractions)
    if not given:
        msg = f"Give the fraction of each part, as in {_EXAMPLE}."
        raise ArgumentError(msg)
    values = [_number(name, value) for name, value in given.items()]
    total = sum(values)
    if not all(value > 0 for value in values) or not abs(total - 1) <= _TOLERANCE:
        shown = " + ".join(f"{f:g}" for f in values)
        msg = f"Fractions lie above 0 and add up to 1, unlike {shown} = {total:g}."
        if all(value > 0 for value in values) and 2 <= total < float("inf"):
            scaled = {n: round(f / total, 6) for n, f in zip(given, values, strict=True)}
            msg += f" As fractions of the cells these numbers are {scaled}."
        raise ArgumentError(msg)
    return list(given), np.array(values)


def check_seed(seed: Any) -> int:
    """Return the seed as a Python integer.

    Raises
    ------
    dao.errors.ArgumentError
        If it is not a whole number of at least 0.
    """
    if seed is None:
        msg = "seed=None: pass a whole number of at least 0, so that the split can be repeated."
        raise ArgumentError(msg)
    return any_seed(seed)


def check_method(method: Any) -> str:
    """Return the name of a method of splitting.

    Raises
    ------
    dao.errors.ArgumentError
        If there is none of that name.
    """
    return choice("method", method, METHODS)


def refuse_unknown(unknown: Mapping[str, Any]) -> None:
    """Refuse arguments that ``split`` does not have.

    Raises
    ------
    dao.errors.ArgumentError
        With what to pass instead.
    """
    if not unknown:
        return
    if all(isinstance(f, Real) and not isinstance(f, bool) for f in unknown.values()):
        fractions = unknown if len(unknown) > 1 else {}
        if fractions and abs(sum(map(float, unknown.values())) - 1) <= _TOLERANCE:
            msg = f"Pass the fractions as one dict: store.split({dict(unknown)})."
            raise ArgumentError(msg)
    name = next(iter(unknown))
    known = ("fractions", "group_by", "stratify_by", "seed", "method")
    hint = f" {_HABITS[name].capitalize()}." if name in _HABITS else near_matches(name, known)
    msg = f"split() has no argument {name!r}.{hint} Parts are named in a dict, as in {_EXAMPLE}."
    raise ArgumentError(msg)


def _not_a_dict(fractions: Any) -> str:
    if isinstance(fractions, Real) and 0 < float(fractions) < 1:
        rest = round(1 - float(fractions), 6)
        call = f"store.split({{'train': {float(fractions):g}, 'test': {rest:g}}})"
        return f"fractions={fractions!r}: name both parts, as in {call}."
    several = isinstance(fractions, list | tuple) or getattr(fractions, "ndim", 0) == 1
    listed = list(fractions) if several else []
    if listed and all(isinstance(f, Real) for f in listed):
        names = _USUAL.get(len(listed), [f"part{i}" for i in range(len(listed))])
        named = {n: float(f) for n, f in zip(names, listed, strict=True)}
        return f"fractions={fractions!r}: name the parts, as in store.split({named})."
    return f"fractions={fractions!r}: pass a dict of names and fractions, as in {_EXAMPLE}."


def _number(name: object, value: Any) -> float:
    if isinstance(value, str) and value.strip().endswith("%"):
        msg = f"The fraction of {name!r} is {value!r}: pass a number, as 0.8 for 80 %."
        raise ArgumentError(msg)
    if not isinstance(value, Real | Decimal) or isinstance(value, bool | np.bool_):
        msg = f"The fraction of {name!r} is {value!r}: pass a number between 0 and 1."
        raise ArgumentError(msg)
    return float(value)
