"""One obs column of some rows: from Arrow, to pandas, with codes that the whole store shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dao.cached import cached_property
from dao.errors import CorruptStoreError
from dao.format.categories import parse_category
from dao.format.times import parse_decimal, parse_time

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dao.format.manifest import ColumnInfo

__all__ = ["Column", "Texts", "constant_column", "empty_column", "from_arrow", "joined"]


class Texts(Sequence[str]):
    """Texts in an Arrow array, which become Python's one by one only where that is asked for.

    Parameters
    ----------
    array
        Of Arrow's ``large_string``, without missing values.
    """

    def __init__(self, array: pa.Array) -> None:
        self.array = array

    @classmethod
    def of(cls, categories: Sequence[Any]) -> Texts:
        """Return texts as they are, or made from a sequence of strings."""
        if isinstance(categories, Texts):
            return categories
        return cls(pa.array(categories, pa.large_string()))

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return list(self.array[place].to_pylist())
        return str(self.array[place].as_py())

    def __iter__(self) -> Iterator[str]:
        return iter(self.array.to_pylist())


@dataclass(frozen=True)
class Column:
    """A column of some rows.

    Attributes
    ----------
    info
        What the column is in the whole store.
    values
        Codes into ``categories`` for categoricals and strings (-1 for missing), the numbers,
        booleans, durations or times (in UTC where they have a zone) themselves otherwise; dates
        and decimals as objects.
    missing
        Where the value is missing.
    categories
        The values behind the codes; None for numbers, booleans and times.
    """

    info: ColumnInfo
    values: NDArray[Any]
    missing: NDArray[np.bool_]
    categories: Sequence[Any] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[Any] | slice) -> Column:
        """Return the column of these rows."""
        taken = Column(self.info, self.values[rows], self.missing[rows], self.categories)
        if self.info.kind == "categorical":
            # Making a dtype hashes all categories: too slow to do for every batch.
            taken.__dict__["dtype"] = self.dtype
        return taken

    def to_pandas(self) -> Any:
        """Return an array with the dtype that pandas users expect."""
        if self.info.kind == "categorical":
            return pd.Categorical.from_codes(self.values, dtype=self.dtype, validate=False)
        if self.categories is not None:
            return self._texts()
        if self.info.kind == "int" and self.missing.any():
            return pd.arrays.IntegerArray(self.values, self.missing)
        if self.info.kind == "bool" and self.missing.any():
            return pd.arrays.BooleanArray(self.values, self.missing)
        time = parse_time(self.info.dtype)
        return self.values if time is None or time.zone is None else _zoned(self.values, time.zone)

    def _texts(self) -> NDArray[np.object_]:
        """Return the texts behind the codes, None where they are missing.

        A batch of a column of a million texts makes Python objects of its own rows alone.
        """
        known = Texts.of(self.categories or []).array
        if len(self) < len(known):
            taken = known.take(pa.array(self.values, mask=self.values < 0))
            return np.asarray(taken.to_numpy(zero_copy_only=False))
        texts = np.empty(len(known) + 1, object)
        texts[:-1] = known.to_numpy(zero_copy_only=False)
        return np.asarray(texts[self.values])

    def to_arrow(self) -> pa.Array:
        """Return an Arrow array; codes stay codes, as a dictionary."""
        if self.info.kind == "other":
            return _other_to_arrow(self)
        if self.categories is None:
            return pa.array(self.values, mask=self.missing)
        codes = pa.array(self.values, mask=self.missing)
        held = self.categories
        values = Texts.of(held).array if self.info.dtype == "string" else pa.array(held)
        return pa.DictionaryArray.from_arrays(codes, values, ordered=self.info.ordered, safe=False)

    @cached_property
    def dtype(self) -> pd.CategoricalDtype:
        """The dtype of a categorical column."""
        return pd.CategoricalDtype(list(self.categories or ()), ordered=self.info.ordered)


def from_arrow(
    array: pa.Array, info: ColumnInfo, known: Sequence[Any] | None, *, own_codes: bool = False
) -> Column:
    """Return a column as it is stored in one dataset, in the codes and dtype of the store.

    Parameters
    ----------
    known
        For categoricals: their categories in the whole store.
    own_codes
        Whether codes may be any that say the same: those of the dataset, and for texts one
        for each row.
    """
    missing = np.asarray(array.is_null()) if array.null_count else np.zeros(len(array), np.bool_)
    if info.kind == "categorical":
        own = [parse_category(t, info.dtype) for t in array.dictionary.to_pylist()]
        codes = _codes(array.indices, missing)
        if own_codes:
            return Column(info, codes, missing, own)
        place = {c: i for i, c in enumerate(known or ())}
        strangers = [c for c in own if c not in place]
        if strangers:
            msg = f"{strangers[0]!r} is no category of the store. Restore its obs/ from a copy."
            raise CorruptStoreError(msg)
        shared = np.array([*(place[c] for c in own), -1], np.int32)
        return Column(info, shared[codes], missing, known)
    if info.kind == "string":
        is_plain = not pa.types.is_dictionary(array.type)
        if is_plain and own_codes:
            codes = np.where(missing, -1, np.arange(len(array), dtype=np.int32))
            return Column(info, codes, missing, Texts(array.fill_null("")))
        array = array.dictionary_encode() if is_plain else array
        codes = _codes(array.indices, missing).astype(np.int32, copy=False)
        return Column(info, codes, missing, Texts(array.dictionary.cast(pa.large_string())))
    if info.kind == "other":
        return Column(info, _other_values(array, info.dtype), missing)
    fill: Any = np.nan if pa.types.is_floating(array.type) else False
    values = np.asarray(
        array.fill_null(pa.scalar(fill).cast(array.type)) if missing.any() else array
    )
    if info.kind == "float" and missing.any():
        values = np.where(missing, np.nan, values)
    return Column(info, values.astype(info.dtype, copy=False), missing)


def _codes(indices: pa.Array, missing: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the codes of a dictionary with -1 for missing, faster than `fill_null` does."""
    if not indices.null_count:
        return np.asarray(indices)
    data = indices.buffers()[1]
    held = pa.Array.from_buffers(indices.type, len(indices), [None, data], offset=indices.offset)
    return np.where(missing, held.type.to_pandas_dtype()(-1), np.asarray(held))


def constant_column(info: ColumnInfo, n: int, categories: Sequence[Any], value: Any) -> Column:
    """Return a categorical column that has one value everywhere."""
    codes = np.full(n, list(categories).index(value), np.int32)
    return Column(info, codes, np.zeros(n, np.bool_), categories)


def empty_column(info: ColumnInfo, n: int, categories: Sequence[Any]) -> Column:
    """Return a column that has a missing value everywhere."""
    missing = np.ones(n, np.bool_)
    if info.kind in {"categorical", "string"}:
        return Column(info, np.full(n, -1, np.int32), missing, categories)
    if info.kind == "other":
        return Column(info, _other_values(pa.nulls(n), info.dtype), missing)
    fill = np.nan if info.kind == "float" else 0
    return Column(info, np.full(n, fill, np.dtype(info.dtype)), missing)


def joined(info: ColumnInfo, parts: Sequence[Column], categories: Sequence[Any] | None) -> Column:
    """Return the parts of one column, of one dataset after another, as one.

    Parameters
    ----------
    categories
        For categoricals and strings: the values behind the codes of the result. Strings have
        codes of their own in each part.
    """
    if not parts:
        return empty_column(info, 0, categories or [])
    values = [p.values for p in parts]
    if info.kind == "string":
        values = [_recoded(p, Texts.of(categories or [])) for p in parts]
    missing = np.concatenate([p.missing for p in parts])
    return Column(info, np.concatenate(values), missing, categories)


def _recoded(column: Column, texts: Texts) -> NDArray[np.int32]:
    own = Texts.of(column.categories or [])
    found = np.asarray(pc.index_in(own.array, value_set=texts.array).fill_null(-1))
    codes = np.append(found, -1).astype(np.int32)
    return np.asarray(codes[column.values])


def _other_type(dtype: str) -> pa.DataType | None:
    """Return the Arrow type of a time, duration, date or decimal; None if the text is none."""
    time, decimal = parse_time(dtype), parse_decimal(dtype)
    if time is not None:
        return (
            pa.duration(time.unit)
            if time.name == "duration"
            else pa.timestamp(time.unit, time.zone)
        )
    if decimal is not None:
        return (pa.decimal256 if dtype.startswith("decimal256") else pa.decimal128)(*decimal)
    try:
        return pa.type_for_alias(dtype)
    except ValueError:
        return None


def _other_values(array: pa.Array, dtype: str) -> NDArray[Any]:
    """Return times and durations as NumPy has them, and anything else as Python's objects."""
    wanted, time = _other_type(dtype), parse_time(dtype)
    if wanted is not None and array.type != wanted:
        array = array.cast(wanted)
    if time is None:
        return np.asarray(array.to_pandas().to_numpy(object))
    ticks = array.cast(pa.int64())
    ticks = ticks.fill_null(np.iinfo(np.int64).min) if ticks.null_count else ticks  # NaT
    return np.asarray(ticks).view(time.dtype)


def _other_to_arrow(column: Column) -> pa.Array:
    wanted, time = _other_type(column.info.dtype), parse_time(column.info.dtype)
    if time is None:
        return pa.array(column.values, wanted, mask=column.missing)
    return pa.array(column.values.view(np.int64), mask=column.missing).cast(wanted)


def _zoned(values: NDArray[Any], zone: str) -> Any:
    return pd.DatetimeIndex(values).tz_localize("UTC").tz_convert(zone).array
