"""uns as JSON: what JSON can hold is kept, the rest is named in a warning."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from dao.warn import warn

__all__ = ["convert_uns", "uns_to_json"]


def uns_to_json(uns: Mapping[str, Any], label: str) -> dict[str, Any]:
    """Return uns with arrays as lists and NumPy scalars as numbers.

    Tables, sparse matrices and other objects are left out, with one warning that names them.
    """
    converted, warning = convert_uns(uns, label)
    if warning:
        warn(warning)
    return converted


def convert_uns(uns: Mapping[str, Any], label: str) -> tuple[dict[str, Any], str | None]:
    """Return the same as `uns_to_json`, and the warning if there is one."""
    dropped: list[str] = []
    converted = dict(_convert(dict(uns), "", dropped))
    if not dropped:
        return converted, None
    shown = ", ".join(dropped[:5]) + (", …" if len(dropped) > 5 else "")
    return converted, f"uns of {label}: left out what JSON cannot hold: {shown}."


class _UnsupportedError(Exception):
    pass


def _convert(value: Any, where: str, dropped: list[str]) -> Any:
    if isinstance(value, Mapping):
        result = {}
        for key, item in value.items():
            place = f"{where}.{key}" if where else str(key)
            try:
                result[str(key)] = _convert(item, place, dropped)
            except _UnsupportedError:
                dropped.append(place)
        return result
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray) and value.dtype.names is None:
        value = value.tolist()
    if isinstance(value, list | tuple | set):
        return [_convert(v, where, dropped) for v in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | str | int | float):
        return value
    raise _UnsupportedError
