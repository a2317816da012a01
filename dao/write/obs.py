"""obs tables: from a DataFrame to parquet with every type kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dao.errors import ObsTypeError
from dao.files import parquet_footer_sha256
from dao.format.manifest import ColumnInfo, ObsInfo
from dao.format.obs_schema import INDEX_COLUMN, SOURCE_ROW_COLUMN
from dao.write.files import file_info

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["ObsTable", "encode_obs", "write_obs"]

_ROW_GROUP = 65_536


@dataclass(frozen=True)
class ObsTable:
    """The obs of a study in Arrow, in source order.

    Attributes
    ----------
    names
        obs_names.
    arrays
        Column -> values.
    columns
        Column -> what it is.
    categories
        Column -> its categories as text, in order, for categoricals.
    """

    names: pa.Array
    arrays: Mapping[str, pa.Array]
    columns: Mapping[str, ColumnInfo]
    categories: Mapping[str, Sequence[str]]

    def __len__(self) -> int:
        return len(self.names)


def encode_obs(dataset: str, obs: pd.DataFrame) -> ObsTable:
    """Return obs in Arrow types that parquet holds and dao can unite.

    Raises
    ------
    dao.errors.ObsTypeError
        If a column holds mixed or unknown objects.
    """
    arrays, columns, categories = {}, {}, {}
    for name in obs.columns:
        try:
            values = obs[name]
            if isinstance(values.dtype, pd.CategoricalDtype):
                arrays[name], columns[name], categories[name] = _categorical(values)
            else:
                arrays[name], columns[name] = _plain(values)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            reason = str(error).splitlines()[0]
            msg = (
                f"obs column {name!r} of dataset {dataset!r} cannot be stored in parquet: "
                f"{reason}. Convert it to strings, numbers or categories, or leave it out with "
                "obs_columns=."
            )
            raise ObsTypeError(msg) from error
    names = pa.array([str(n) for n in obs.index], pa.large_string())
    return ObsTable(names, arrays, columns, categories)


def write_obs(
    root: Path,
    path: str,
    table: ObsTable,
    rows: NDArray[np.int64],
    source_rows: NDArray[np.int64] | None = None,
) -> ObsInfo:
    """Write the given rows of obs, in this order.

    ``source_rows`` of them are kept as ``_source_row``; if None, ``rows`` itself.
    """
    origin = rows if source_rows is None else source_rows[rows]
    taken = {
        INDEX_COLUMN: table.names.take(pa.array(rows)),
        SOURCE_ROW_COLUMN: pa.array(origin.astype(np.int64)),
        **{name: array.take(pa.array(rows)) for name, array in table.arrays.items()},
    }
    with (root / path).open("wb") as file:  # pyarrow would interpret a path
        pq.write_table(
            pa.table(taken),
            file,
            row_group_size=_ROW_GROUP,
            compression="zstd",
            write_page_checksum=True,
        )
    footer = parquet_footer_sha256(root / path)
    return ObsInfo(file_info(root, path), footer, dict(table.columns))


def _categorical(values: pd.Series) -> tuple[pa.Array, ColumnInfo, list[str]]:
    known = values.cat.categories
    dtype = _category_dtype(known)
    text = [str(c) for c in known.tolist()]
    if len(set(text)) != len(text):
        msg = "two of its categories read the same"
        raise ValueError(msg)
    # Arrow decodes a dictionary of Parquet into 32 bits; any other width is one more step.
    codes = values.cat.codes.to_numpy().astype(np.int32)
    array = pa.DictionaryArray.from_arrays(
        pa.array(codes, mask=codes < 0), pa.array(text, pa.string()), ordered=values.cat.ordered
    )
    ordered = bool(values.cat.ordered)
    return array, ColumnInfo("categorical", dtype, ordered, bool((codes < 0).any())), text


def _category_dtype(categories: pd.Index) -> str:
    kind = pd.api.types.infer_dtype(categories, skipna=False)
    if kind in {"string", "empty"}:
        return "string"
    if kind == "boolean":
        return "bool"
    if kind in {"integer", "floating"}:
        return "int64" if kind == "integer" else "float64"
    msg = f"its categories are {kind}"
    raise TypeError(msg)


def _plain(values: pd.Series) -> tuple[pa.Array, ColumnInfo]:
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind.startswith("mixed") and kind != "mixed-integer-float":
        msg = f"it mixes types ({kind})"
        raise TypeError(msg)
    array = pa.array(values, from_pandas=True)
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    nullable = array.null_count > 0
    t = array.type
    if pa.types.is_null(t):
        return pa.nulls(len(array), pa.string()), ColumnInfo("string", "null", False, True)
    if pa.types.is_string(t) or pa.types.is_large_string(t):
        return array.cast(pa.large_string()), ColumnInfo("string", "string", False, nullable)
    if pa.types.is_boolean(t):
        return array, ColumnInfo("bool", "bool", False, nullable)
    if pa.types.is_integer(t):
        return array, ColumnInfo("int", str(np.dtype(t.to_pandas_dtype())), False, nullable)
    if pa.types.is_floating(t):
        return array, ColumnInfo("float", str(np.dtype(t.to_pandas_dtype())), False, nullable)
    if pa.types.is_temporal(t) or pa.types.is_decimal(t):
        return array, ColumnInfo("other", str(t), False, nullable)
    msg = f"it holds {t}"
    raise TypeError(msg)
