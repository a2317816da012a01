"""Reading the files of a store in a local folder, each checked against the manifest.

Backends for the dao format compose this: it serves the manifest, the tables and the JSON
documents, and they decode the matrices.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from dao.errors import CorruptStoreError, StorageError, StoreNotFoundError
from dao.format.manifest import MANIFEST_NAME, FileInfo, Manifest
from dao.generations import Hold, read_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["StoreDirectory", "parquet_footer_sha256"]

_MANY_ROWS = 1 << 20

_REPAIR = "Restore it from a copy, or write the store again; `dao validate` lists all damage."


class StoreDirectory:
    """The small files of a store in a local folder.

    Parameters
    ----------
    path
        The folder that holds ``dao.json``.
    generation
        An earlier one; the current one if None. As long as this object lives, its files stay.

    Raises
    ------
    dao.errors.StoreNotFoundError
        If there is no store at ``path``.
    """

    def __init__(self, path: str | os.PathLike[str], generation: int | None = None) -> None:
        self.root = Path(path)
        self.manifest, self._hold = _held_manifest(self.root, generation)
        self._files: dict[str, FileInfo] = {self.manifest.vocabulary.path: self.manifest.vocabulary}
        self._footers: dict[str, str] = {}
        for space in self.manifest.feature_spaces:
            self._files[space.file.path] = space.file
        for ontology in self.manifest.ontologies.values():
            self._files[ontology.file.path] = ontology.file
        for dataset in self.manifest.datasets:
            for info in dataset.files:
                self._files[info.path] = info
            for matrix in dataset.matrices.values():
                for array in matrix.arrays.values():
                    self._files[array.metadata.path] = array.metadata
            self._footers[dataset.obs.file.path] = dataset.obs.footer_sha256

    def read(self, info: FileInfo) -> bytes:
        """Return the content of a small file, checked.

        Raises
        ------
        dao.errors.CorruptStoreError
            If the file is missing or is not what was written.
        """
        content = self._open(info)
        if len(content) != info.size or hashlib.sha256(content).hexdigest() != info.sha256:
            msg = f"{self.root / info.path} is not the file that was written. {_REPAIR}"
            raise CorruptStoreError(msg)
        return content

    def table(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return a parquet table of the store; obs tables read only the columns asked for."""
        info = self._files[path]
        names = None if columns is None else list(columns)
        try:
            if path not in self._footers:
                return pq.read_table(io.BytesIO(self.read(info)), columns=names)
            self._check_footer(info, self._footers[path])
            return _read_columns(self.root / path, names)
        except (OSError, pa.ArrowException) as error:
            if isinstance(error, CorruptStoreError):
                raise
            msg = f"{self.root / path} cannot be read ({error}). {_REPAIR}"
            raise CorruptStoreError(msg) from error

    def document(self, path: str) -> Any:
        """Return a JSON document of the store."""
        return json.loads(self.read(self._files[path]))

    def _open(self, info: FileInfo) -> bytes:
        try:
            return (self.root / info.path).read_bytes()
        except FileNotFoundError as error:
            msg = f"{self.root / info.path} is missing. {_REPAIR}"
            raise CorruptStoreError(msg) from error
        except OSError as error:
            msg = f"{self.root / info.path} cannot be read: {error.strerror}."
            raise StorageError(msg) from error

    def _check_footer(self, info: FileInfo, sha256: str) -> None:
        path = self.root / info.path
        try:
            size = path.stat().st_size
        except FileNotFoundError as error:
            msg = f"{path} is missing. {_REPAIR}"
            raise CorruptStoreError(msg) from error
        if size != info.size or parquet_footer_sha256(path) != sha256:
            msg = f"{path} is not the file that was written. {_REPAIR}"
            raise CorruptStoreError(msg)


def _read_columns(path: Path, names: list[str] | None) -> pa.Table:
    """Read columns whose pages are checked; those of many rows in several threads."""
    with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
        if file.metadata.num_rows < _MANY_ROWS:
            return file.read(columns=names, use_threads=False)
    options = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    checked = ds.ParquetFileFormat(default_fragment_scan_options=options)
    # Unlike `ParquetFile`, this reads the row groups of one column at the same time.
    return ds.dataset(path, format=checked).to_table(columns=names)


def parquet_footer_sha256(path: Path) -> str:
    """Return the SHA-256 of a parquet file's footer, its length and the closing magic."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8))
        length = int.from_bytes(file.read(4), "little") + 8
        file.seek(max(0, size - length))
        return hashlib.sha256(file.read()).hexdigest()


def _held_manifest(root: Path, generation: int | None) -> tuple[Manifest, Hold]:
    """Return a manifest, and the claim to its files."""
    while True:
        content = _read_manifest(root)
        manifest = Manifest.from_json(content, str(root / MANIFEST_NAME))
        if generation not in {None, manifest.generation}:
            earlier = read_manifest(root, int(generation or 0))
            return earlier, Hold(root, earlier.generation)
        hold = Hold(root, manifest.generation)
        # In between another generation may have come, and the files of this one may have gone.
        if _read_manifest(root) == content:
            return manifest, hold


def _read_manifest(root: Path) -> bytes:
    try:
        return (root / MANIFEST_NAME).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        if not root.exists():
            hint = "there is nothing at this path"
        elif root.is_file():
            hint = "this is a file; a store is a folder (write one with dao.write_store)"
        elif (root / ".dao-write.lock").exists():
            hint = "a write into this folder was begun and not finished; run it again"
        else:
            hint = f"this folder has no {MANIFEST_NAME}"
        msg = f"{root} is not a dao store: {hint}."
        raise StoreNotFoundError(msg) from error
    except OSError as error:
        msg = f"{root / MANIFEST_NAME} cannot be read: {error.strerror}."
        raise StorageError(msg) from error
