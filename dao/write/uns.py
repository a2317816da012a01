"""uns as JSON: what JSON can hold is kept, the rest is named."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from dao.warn import warn
from dao.write.lazy import is_dask

__all__ = ["convert_uns", "uns_to_json"]

# json and its readers follow about a thousand levels, and integers of 4,300 digits.
_DEEPEST = 200
_MOST_BITS = 14_000


def uns_to_json(uns: Mapping[str, Any], label: str) -> dict[str, Any]:
    """Return uns with arrays as lists and NumPy scalars as numbers.

    Tables, sparse matrices and other objects are left out, with one warning that names them.
    """
    converted, left = convert_uns(uns)
    if left:
        shown = ", ".join(map(repr, left[:5])) + (", …" if len(left) > 5 else "")
        warn(f"uns of {label}: left out what JSON cannot hold: {shown}.")
    return converted


def convert_uns(uns: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the same as `uns_to_json`, and the paths of the keys that were left out."""
    left: list[str] = []
    converted = dict(_mapping(uns, "", left, (id(uns),)))
    return converted, tuple(left)


class _UnsupportedError(Exception):
    pass


def _mapping(
    value: Mapping[Any, Any], where: str, left: list[str], inside: tuple[int, ...]
) -> dict[str, Any]:
    """Return a mapping with text as keys; what cannot be kept is named in ``left``."""
    result: dict[str, Any] = {}
    for key, item in value.items():
        place = f"{where}.{key}" if where else str(key)
        if str(key) in result:  # 1 and "1" would be one key
            left.append(place)
            continue
        try:
            result[str(key)] = _converted(item, place, left, inside)
        except _UnsupportedError:
            left.append(place)
    return result


def _converted(value: Any, where: str, left: list[str], inside: tuple[int, ...]) -> Any:
    value = _plain(value)
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        if id(value) in inside or len(inside) > _DEEPEST:
            raise _UnsupportedError
        inside = (*inside, id(value))
        if isinstance(value, Mapping):
            return _mapping(value, where, left, inside)
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return [_converted(v, where, left, inside) for v in items]
    return _scalar(value)


def _plain(value: Any) -> Any:
    """Return NumPy's arrays and scalars as lists and numbers of Python."""
    if is_dask(value):  # of an object that is read lazily
        value = value.compute()
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise _UnsupportedError
    if isinstance(value, np.ndarray | np.generic):
        # Times would become plain integers, records and complex numbers nothing that JSON has.
        kind = value.dtype.kind
        if kind not in "biufOUST" or (kind == "f" and value.dtype.itemsize > 8):
            raise _UnsupportedError
        return value.tolist()
    return value


def _scalar(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise _UnsupportedError from None
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        raise _UnsupportedError
    if value is None or isinstance(value, bool | str | int | float):
        return value
    raise _UnsupportedError
