"""A selection in a file: JSON that people read, and the rows beside it in Parquet."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dao.choose.unchanged import same_features, still_there
from dao.errors import (
    ArgumentError,
    CorruptStoreError,
    StorageError,
    StoreChangedError,
    StoreNotFoundError,
)
from dao.files import parquet_table
from dao.format.manifest import MANIFEST_NAME, FileInfo
from dao.format.saved import SavedDataset, SavedSelection
from dao.paths import is_path, local_path
from dao.provenance import created_by, now
from dao.remote.url import is_url
from dao.replacing import replace_file
from dao.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from dao.format.manifest import Manifest
    from dao.store import Store

__all__ = ["load_selection", "save_selection"]


def save_selection(store: Store, file: str | os.PathLike[str]) -> None:
    """Write what makes a selection; see `dao.Store.save_selection`."""
    path, rows_path = _paths(file)
    positions = store.selection.positions(store.manifest)
    datasets = np.searchsorted(store.manifest.offsets, positions, side="right") - 1
    content = _rows_as_parquet(store.manifest, datasets, positions)
    info = FileInfo(rows_path.name, len(content), hashlib.sha256(content).hexdigest())
    counts = np.bincount(datasets, minlength=len(store.manifest.datasets))
    saved = _described(store, path, counts, info)
    # The rows first: a pair that does not belong together is noticed by the checksum.
    replace_file(rows_path, content)
    replace_file(path, saved.to_json().encode())


def load_selection(
    file: str | os.PathLike[str],
    store: str | os.PathLike[str] | Sequence[Any] | Mapping[str, Any] | None = None,
    **options: Any,
) -> Store:
    """Open a store with the cells and features of a saved selection.

    Parameters
    ----------
    file
        What `Store.save_selection` wrote.
    store
        Where the store is, if it has moved, as `dao.load_store` takes it: else it is looked for
        where it was, seen from the file, and then at its old path.
    **options
        Of `dao.load_store`: ``backend``, ``memory`` and others.

    Raises
    ------
    dao.errors.StoreNotFoundError
        If the file or the store is not there.
    dao.errors.StoreChangedError
        If the store does not have these cells and features any more; says what changed.
        Datasets that were appended change nothing.
    dao.errors.FormatError, dao.errors.CorruptStoreError
        If the file is damaged.

    Examples
    --------
    >>> store.subset(cell_type="B cell").save_selection(tmp_path / "b_cells.json")
    >>> load_selection(tmp_path / "b_cells.json").n_obs
    100
    """
    from dao.load import load_store

    path, rows_path = _paths(file)
    saved = SavedSelection.from_json(_content(path), str(path))
    if saved.obs_columns is not None:
        options = {"columns": saved.obs_columns, **options}
    where = _store_path(saved, path) if store is None else store
    opened = load_store(where, **options)
    manifest = opened.manifest
    if manifest.uuid != saved.uuid:
        msg = (
            f"{path} was saved from another store than the one at {where}: that was written anew, "
            f"or is a different one (uuid {manifest.uuid} instead of {saved.uuid})."
        )
        raise StoreChangedError(msg)
    still_there(saved.datasets, manifest, f"{path} cannot be used")
    positions = _positions(_table(rows_path, saved), manifest)
    chosen = replace(
        opened,
        selection=Selection.everything(manifest).take(positions),
        organisms=tuple(saved.n_vars),
    )
    return same_features(chosen, saved, str(path))


def _described(store: Store, path: Path, counts: NDArray[Any], rows: FileInfo) -> SavedSelection:
    manifest = store.manifest
    remote = is_url(store.path)
    columns = None if set(store.obs_columns) == set(manifest.obs_columns) else store.obs_columns
    features = store.chosen_features
    return SavedSelection(
        created=now(),
        created_by=created_by(),
        store=store.path,
        relative_store="" if remote else os.path.relpath(store.path, path.parent),
        uuid=manifest.uuid,
        generation=manifest.generation,
        n_obs=store.n_obs,
        in_store_order=store.selection.order is None,
        datasets=tuple(
            SavedDataset(d.id, d.organism, n, d.n_obs, d.path, d.obs.file.sha256)
            for d, n in zip(manifest.datasets, counts.tolist(), strict=True)
            if n
        ),
        n_vars={o: manifest.space(o).n_vars for o in store.organisms},
        features=None if features is None else tuple(features),
        zero_features=tuple(sorted(store.zero_features)),
        obs_columns=columns,
        rows=rows,
    )


def _rows_as_parquet(
    manifest: Manifest, datasets: NDArray[Any], positions: NDArray[np.int64]
) -> bytes:
    ids = pa.array([d.id for d in manifest.datasets], pa.string())
    rows = positions - manifest.offsets[datasets]
    table = pa.table(
        {
            "dataset": pa.DictionaryArray.from_arrays(pa.array(datasets.astype(np.int32)), ids),
            "row": pa.array(
                rows.astype(np.uint32 if not len(rows) or rows.max() < 1 << 32 else np.uint64)
            ),
        }
    )
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        use_dictionary=["dataset"],
        column_encoding={"row": "DELTA_BINARY_PACKED"},
    )
    return sink.getvalue()


def _positions(table: pa.Table, manifest: Manifest) -> NDArray[np.int64]:
    """Return where the saved rows are in the whole store."""
    named = table["dataset"].combine_chunks()
    ids = named.dictionary.to_pylist()
    starts = np.array([manifest.offsets[manifest.ordinals.get(i, 0)] for i in ids], np.int64)
    rows = np.asarray(table["row"]).astype(np.int64)
    return starts[np.asarray(named.indices)] + rows if len(rows) else rows


def _table(path: Path, saved: SavedSelection) -> pa.Table:
    content = _content(path)
    info = saved.rows
    if (len(content), hashlib.sha256(content).hexdigest()) != (info.size, info.sha256):
        msg = f"{path} is not the file that was saved with {path.with_suffix('.json').name}."
        raise CorruptStoreError(msg)
    return parquet_table(content)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        msg = f"There is no saved selection at {path}: it is a .json and a .parquet file."
        raise StoreNotFoundError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}."
        raise StorageError(msg) from error


def _paths(file: str | os.PathLike[str]) -> tuple[Path, Path]:
    if not is_path(file):
        msg = f"A selection is saved under the name of a file, not {file!r}."
        raise ArgumentError(msg)
    path = local_path(file, "file")
    stem = path.name.removesuffix(".json").removesuffix(".parquet")
    return path.with_name(f"{stem}.json"), path.with_name(f"{stem}.parquet")


def _store_path(saved: SavedSelection, path: Path) -> str:
    nearby = path.parent / saved.relative_store
    if saved.relative_store and (nearby / MANIFEST_NAME).exists():
        return str(nearby.resolve())
    if not is_url(saved.store) and not Path(saved.store).exists():
        msg = (
            f"The store of {path} is neither at {nearby} nor at {saved.store}. Say where it is: "
            f"dao.load_selection({str(path)!r}, store='...')."
        )
        raise StoreNotFoundError(msg)
    return saved.store
