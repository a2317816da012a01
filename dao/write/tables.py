"""The tables beside the matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from dao.features.own import own_names
from dao.write.files import file_info
from dao.write.measured import count_matching, dropped_table, measured_table
from dao.write.obs import encode_obs, write_obs
from dao.write.portion import Matched

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from dao.format.manifest import FileInfo, MatchingInfo, ObsInfo
    from dao.write.align import SourceFeatures
    from dao.write.inspect import Study
    from dao.write.portion import Origin

__all__ = ["WrittenTables", "write_table", "write_tables", "write_text"]


@dataclass(frozen=True)
class WrittenTables:
    """The tables of a study on disk; see `dao.format.manifest.DatasetInfo`."""

    obs: ObsInfo
    features: FileInfo
    n_measured: int
    matching: MatchingInfo | None
    dropped: FileInfo | None
    var_columns: tuple[str, ...]


def write_tables(
    root: Path,
    path: str,
    study: Study,
    space: pd.Index,
    table: pd.DataFrame,
    rows: NDArray[np.int64],
    origin: Origin | None,
) -> WrittenTables:
    """Write obs, the measured features of a study, and what of it was dropped.

    Parameters
    ----------
    table
        obs in source order.
    rows
        Which rows of it, in the order of the store.
    origin
        What a store says of the cells besides.
    """
    encoded = encode_obs(study.id, table)
    source_rows = None if origin is None else origin.source_rows
    obs = write_obs(root, f"{path}/obs.parquet", encoded, rows, source_rows)
    found = (origin and origin.matched) or _matched(study.features, space)
    features = write_table(root, f"{path}/features.parquet", found.measured)
    dropped = None
    if found.dropped is not None and len(found.dropped):
        dropped = write_table(root, f"{path}/dropped.parquet", found.dropped)
    names = own_names(found.measured)
    return WrittenTables(obs, features, len(found.measured), found.matching, dropped, names)


def _matched(features: SourceFeatures, space: pd.Index) -> Matched:
    measured, dropped = measured_table(features, space), dropped_table(features, space)
    return Matched(measured, dropped, count_matching(features, space))


def write_table(root: Path, path: str, table: pd.DataFrame) -> FileInfo:
    """Write a small table as Parquet."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    with (root / path).open("wb") as file:  # pyarrow would interpret a path
        pq.write_table(arrow, file, compression="zstd", write_page_checksum=True)
    return file_info(root, path)


def write_text(root: Path, path: str, text: str) -> FileInfo:
    """Write a text in UTF-8."""
    (root / path).write_text(text, encoding="utf-8")
    return file_info(root, path)
