"""A column of obs as an Arrow array, and what the manifest says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from dao.format.categories import category_text
from dao.format.manifest import ColumnInfo
from dao.format.times import UNITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["column_to_arrow", "fits_of", "simplified"]

_ADVICE = {
    "period": "convert periods with .dt.to_timestamp() or .astype(str)",
    "interval": "convert intervals with .astype(str), or store their ends as two columns",
    "complex": "store the real and the imaginary part as two columns",
    "bytes": "decode bytes with .str.decode('utf-8')",
}
_NS_OF = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def simplified(values: pd.Series) -> pd.Series:
    """Return a column in a dtype that NumPy or pandas itself has, with the same values.

    Sparse columns become dense, dictionaries of Arrow categories, and bytes come in the order
    of this machine.
    """
    dtype: Any = values.dtype
    if isinstance(dtype, pd.SparseDtype):
        values = pd.Series(np.asarray(values.array), values.index, name=values.name)
    elif isinstance(dtype, pd.ArrowDtype) and pa.types.is_dictionary(dtype.pyarrow_dtype):
        array = pa.chunked_array(pa.array(values)).unify_dictionaries().combine_chunks()
        held = pd.Categorical.from_codes(
            array.indices.fill_null(-1).to_numpy(zero_copy_only=False),
            array.dictionary.to_pylist(),
            ordered=dtype.pyarrow_dtype.ordered,
        )
        values = pd.Series(held, values.index, name=values.name)
    elif isinstance(dtype, np.dtype) and not dtype.isnative:
        values = values.astype(dtype.newbyteorder("="))
    return values.astype(np.float32) if values.dtype == np.float16 else values


def column_to_arrow(values: pd.Series) -> tuple[pa.Array, ColumnInfo, list[str] | None]:
    """Return a column as Parquet can hold it, what it is, and its categories as text.

    Raises
    ------
    TypeError, ValueError, OverflowError, pyarrow.ArrowException
        If it cannot be stored so that the same values are read.
    """
    values = simplified(values)
    if isinstance(values.dtype, pd.CategoricalDtype):
        return _categorical(values)
    array, info = _plain(values)
    empty = array.null_count == len(array) and info.dtype != "null"
    return array, replace(info, empty=empty, fits=fits_of(array)), None


def fits_of(array: pa.Array) -> tuple[str, ...]:
    """Return the other dtypes (for times: units) that hold every value; see `ColumnInfo`."""
    if pa.types.is_timestamp(array.type) or pa.types.is_duration(array.type):
        held = array.drop_null().cast(pa.int64()).to_numpy()
        return tuple(
            u for u in UNITS if u != array.type.unit and _in_unit(held, array.type.unit, u)
        )
    if not pa.types.is_integer(array.type):
        return ()
    return _integer_fits(array.drop_null().to_numpy())


def _integer_fits(held: NDArray[Any]) -> tuple[str, ...]:
    low, high = (int(held.min()), int(held.max())) if len(held) else (0, 0)
    fits = []
    if held.dtype.itemsize == 8 and _is_float(held, max(-low, high)):
        fits.append("float64")
    if held.dtype == np.uint64 and high < 2**63:
        fits.append("int64")
    if held.dtype.kind == "i" and low >= 0:
        fits.append("uint64")
    return tuple(fits)


def _is_float(held: NDArray[Any], largest: int) -> bool:
    if largest <= 2**53:
        return True
    floats = held.astype(np.float64)
    limit = 2.0**63 if held.dtype.kind == "i" else 2.0**64
    return bool((floats < limit).all() and (floats.astype(held.dtype) == held).all())


def _in_unit(held: NDArray[np.int64], unit: str, other: str) -> bool:
    if not len(held):
        return True
    if _NS_OF[other] > _NS_OF[unit]:
        return not (held % (_NS_OF[other] // _NS_OF[unit])).any()
    most = (2**63 - 1) // (_NS_OF[unit] // _NS_OF[other])
    return -most <= int(held.min()) and int(held.max()) <= most


def _categorical(values: pd.Series) -> tuple[pa.Array, ColumnInfo, list[str]]:
    listed = values.cat.categories.tolist()
    dtype, fits = _category_dtype(listed)
    text = [category_text(c, dtype) for c in listed]
    # Arrow decodes a dictionary of Parquet into 32 bits; any other width is one more step.
    codes = values.cat.codes.to_numpy().astype(np.int32)
    ordered = bool(values.cat.ordered)
    array = pa.DictionaryArray.from_arrays(
        pa.array(codes, mask=codes < 0), pa.array(text, pa.string()), ordered=ordered
    )
    nullable, empty = bool((codes < 0).any()), not text
    return array, ColumnInfo("categorical", dtype, ordered, nullable, empty, fits), text


def _category_dtype(listed: Sequence[Any]) -> tuple[str, tuple[str, ...]]:
    kind = pd.api.types.infer_dtype(listed, skipna=False) if listed else "string"
    if kind == "string":
        return "string", ()
    if kind == "boolean":
        return "bool", ()
    if kind in {"integer", "floating", "mixed-integer-float"}:
        held = _integers(listed) if kind == "integer" else _floats(listed)
        return str(held.dtype), _integer_fits(held) if kind == "integer" else ()
    msg = (
        f"its categories are {kind}; convert the column to text with .astype(str), or to the "
        "dtype of its categories with .astype(column.cat.categories.dtype)"
    )
    raise TypeError(msg)


def _plain(values: pd.Series) -> tuple[pa.Array, ColumnInfo]:
    array = _array(values)
    nullable = array.null_count > 0
    t = array.type
    if pa.types.is_null(t):
        return pa.nulls(len(array), pa.string()), ColumnInfo("string", "null", False, True)
    if str(t) in {"string", "large_string", "string_view"}:
        return array.cast(pa.large_string()), ColumnInfo("string", "string", False, nullable)
    if pa.types.is_boolean(t):
        return array, ColumnInfo("bool", "bool", False, nullable)
    if pa.types.is_integer(t):
        return array, ColumnInfo("int", str(np.dtype(t.to_pandas_dtype())), False, nullable)
    if pa.types.is_floating(t):
        return array, ColumnInfo("float", str(np.dtype(t.to_pandas_dtype())), False, nullable)
    if pa.types.is_decimal(t) or (pa.types.is_temporal(t) and not pa.types.is_interval(t)):
        # Python has no time of day that is finer.
        array = array.cast(pa.time64("us")) if t == pa.time64("ns") else array
        return array, ColumnInfo("other", str(array.type), False, nullable)
    msg = f"it holds {t}"
    raise TypeError(msg)


def _array(values: pd.Series) -> pa.Array:
    """Return an array in which all that pandas takes for missing is null."""
    kind = "arrow"
    if not isinstance(values.dtype, pd.ArrowDtype):
        # Without what is missing: NaT next to text is not a time.
        known = values.dropna() if values.dtype == object else values
        kind = pd.api.types.infer_dtype(known, skipna=True)
    if kind in _ADVICE:
        msg = f"it holds {kind} values; {_ADVICE[kind]}"
        raise TypeError(msg)
    if values.dtype == object:
        array = _of_objects(values, kind)
    elif isinstance(values.dtype, np.dtype):
        array = pa.array(values, from_pandas=True)
    else:
        array = pa.array(values)
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if pa.types.is_float16(array.type):
        array = array.cast(pa.float32())
    if pa.types.is_floating(array.type) and not isinstance(values.dtype, np.dtype):
        # Of what may be NaN or NA, both are missing.
        array = pa.array(array.to_numpy(zero_copy_only=False), array.type, from_pandas=True)
    return array


def _of_objects(values: pd.Series, kind: str) -> pa.Array:
    missing = values.isna().to_numpy()
    known = values[~missing].tolist()
    if kind in {"integer", "mixed-integer-float", "floating"}:
        held = _integers(known) if kind == "integer" else _floats(known)
        numbers = np.zeros(len(values), held.dtype)
        numbers[~missing] = held
        return pa.array(numbers, mask=missing)
    if kind in {"datetime", "datetime64", "timedelta", "timedelta64"}:
        times = values.where(~missing, pd.NaT).infer_objects()
        if times.dtype != object:
            return pa.array(times, from_pandas=True)
        if any(getattr(v, "nanosecond", 0) or getattr(v, "tzinfo", None) for v in known):
            msg = "it mixes times of several zones; convert it with pd.to_datetime(..., utc=True)"
            raise TypeError(msg)
    elif kind not in {"string", "boolean", "date", "time", "decimal", "empty"}:
        types = list(dict.fromkeys(type(v).__name__ for v in known))
        held_types = f"values of the types {', '.join(types[:4])}"
        msg = f"it holds {types[0]} values" if len(types) == 1 else f"it mixes {held_types}"
        raise TypeError(msg)
    return pa.array(values.where(~missing, None), from_pandas=True)


def _integers(values: Sequence[Any]) -> NDArray[Any]:
    whole = [int(v) for v in values]
    low, high = min(whole, default=0), max(whole, default=0)
    if low >= -(2**63) and high < 2**63:
        return np.array(whole, np.int64)
    if low >= 0 and high < 2**64:
        return np.array(whole, np.uint64)
    msg = "it holds whole numbers beyond 64 bits; convert it with .astype(str)"
    raise ValueError(msg)


def _floats(values: Sequence[Any]) -> NDArray[np.float64]:
    floats = [float(v) for v in values]
    if any(f != v for f, v in zip(floats, values, strict=True) if isinstance(v, int | np.integer)):
        msg = "it holds whole numbers beyond 2^53 next to fractions, which float64 would round"
        raise ValueError(msg)
    return np.array(floats, np.float64)
