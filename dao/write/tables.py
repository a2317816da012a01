"""The tables beside the matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from dao.write.align import measured_table
from dao.write.encode import file_info
from dao.write.obs import encode_obs, write_obs

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from dao.format.manifest import FileInfo, ObsInfo
    from dao.write.inspect import Study

__all__ = ["write_table", "write_tables", "write_text"]


def write_tables(
    root: Path, path: str, study: Study, space: pd.Index, table: pd.DataFrame
) -> tuple[ObsInfo, FileInfo, int]:
    """Write obs and the measured features of a study; return also how many these are."""
    encoded = encode_obs(study.id, table)
    obs = write_obs(root, f"{path}/obs.parquet", encoded, study.rows)
    measured = measured_table(study.features, space)
    return obs, write_table(root, f"{path}/features.parquet", measured), len(measured)


def write_table(root: Path, path: str, table: pd.DataFrame) -> FileInfo:
    """Write a small table as Parquet."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    pq.write_table(arrow, root / path, compression="zstd", write_page_checksum=True)
    return file_info(root, path)


def write_text(root: Path, path: str, text: str) -> FileInfo:
    """Write a text in UTF-8."""
    (root / path).write_text(text, encoding="utf-8")
    return file_info(root, path)
