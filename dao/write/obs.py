"""obs tables: from a DataFrame to parquet with every type kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dao.errors import ObsTypeError
from dao.files import parquet_footer_sha256
from dao.format.manifest import ObsInfo
from dao.format.obs_schema import INDEX_COLUMN, RESERVED_COLUMNS, SOURCE_ROW_COLUMN
from dao.write.columns import column_to_arrow
from dao.write.files import file_info

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from dao.format.manifest import ColumnInfo

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
    index_name
        What obs_names are called; empty if nothing.
    """

    names: pa.Array
    arrays: Mapping[str, pa.Array]
    columns: Mapping[str, ColumnInfo]
    categories: Mapping[str, Sequence[str]]
    index_name: str = ""

    def __len__(self) -> int:
        return len(self.names)


def encode_obs(dataset: str, obs: pd.DataFrame) -> ObsTable:
    """Return obs in Arrow types that parquet holds and dao can unite.

    Raises
    ------
    dao.errors.ObsTypeError
        If a column holds what cannot be stored so that the same is read.
    """
    arrays, columns, categories = {}, {}, {}
    for name in obs.columns:
        try:
            arrays[name], columns[name], texts = column_to_arrow(obs[name])
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            msg = (
                f"obs column {name!r} of dataset {dataset!r} cannot be stored: {reason}. Convert "
                "it to text, numbers, times or categories, or leave it out with obs_columns=."
            )
            raise ObsTypeError(msg) from error
        if texts is not None:
            categories[name] = texts
    names = pa.array([str(n) for n in obs.index], pa.large_string())
    return ObsTable(names, arrays, columns, categories, _index_name(obs))


def _index_name(obs: pd.DataFrame) -> str:
    """Return what obs_names are called, unless a column has that name, too."""
    name = obs.index.name
    if not isinstance(name, str) or name in obs.columns or name in RESERVED_COLUMNS:
        return ""
    return str(name)


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
    return ObsInfo(file_info(root, path), footer, dict(table.columns), table.index_name)
