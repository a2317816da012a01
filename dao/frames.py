"""The columns of a DataFrame as a store would hold them, for filters on what is not in one yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from dao.column import Column, empty_column, from_arrow

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["frame_column", "frame_columns"]


def frame_columns(frame: pd.DataFrame, names: Collection[str] | None = None) -> dict[str, Column]:
    """Return columns of a table by name.

    Parameters
    ----------
    names
        Which ones; all if None. Names that the table lacks are left out.

    Raises
    ------
    dao.errors.ObsTypeError
        If no store can hold one of them.
    """
    found = {str(c): frame[c] for c in frame.columns if names is None or str(c) in names}
    return {name: frame_column(name, values) for name, values in found.items()}


def frame_column(name: str, values: pd.Series, label: str = "a table") -> Column:
    """Return a column as a store gives it back that was written with these values.

    Parameters
    ----------
    label
        How messages name the table.

    Raises
    ------
    dao.errors.ObsTypeError
        If no store can hold it.
    """
    from dao.write.obs import encode_obs

    table = encode_obs(label, pd.DataFrame({name: values}))
    array, info = table.arrays[name], table.columns[name]
    if info.dtype == "null":
        return empty_column(info, len(array), [])
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return from_arrow(array, info, None, own_codes=True)
