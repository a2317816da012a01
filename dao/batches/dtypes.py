"""The argument ``dtype``: what people pass, and what a batch can have."""

from __future__ import annotations

from typing import Any

import numpy as np

from dao.errors import ArgumentError

__all__ = ["parse_dtype"]

_KNOWN = frozenset(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))
_GIVEN = _KNOWN | {"float32", "float64"}
_CHOICES = "pass 'float32', 'float64', an integer type such as 'int32', or 'native'"


def parse_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the dtype of X and layers.

    Raises
    ------
    dao.errors.ArgumentError
        If it is none, or one that batches cannot have.
    """
    name = str(dtype)
    if "float16" in name or name == "half":
        msg = (
            f"dtype={dtype!r}: counts above 2,048 (float16) or 256 (bfloat16) would be rounded. "
            "Stream float32 and cast on the device, as in batch['X'].to(torch.bfloat16)."
        )
        raise ArgumentError(msg)
    if dtype is None:
        msg = f"dtype=None: {_CHOICES}."
        raise ArgumentError(msg)
    if type(dtype).__module__ == "torch":
        msg = f"dtype={dtype!r} is a dtype of torch: {_CHOICES}."
        raise ArgumentError(msg)
    try:
        wanted: np.dtype[Any] = np.dtype(dtype)
    except (TypeError, ValueError) as error:
        msg = f"dtype={dtype!r} is not a dtype: {_CHOICES}."
        raise ArgumentError(msg) from error
    if str(wanted) not in _GIVEN:
        msg = f"dtype={dtype!r} cannot be given: {_CHOICES}."
        raise ArgumentError(msg)
    return wanted
