"""Where the files of a store are: in a local folder. `dao.remote.files` has them at a URL."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow.fs import LocalFileSystem

from dao.errors import CorruptStoreError, StorageError, StoreNotFoundError
from dao.format.manifest import MANIFEST_NAME, Manifest
from dao.generations import Hold, read_manifest
from dao.inside import check_inside
from dao.missing import missing_file
from dao.nearby import is_foreign_zarr, store_around, stores_near

if TYPE_CHECKING:
    from pathlib import Path

    from dao.format.manifest import FileInfo

__all__ = ["REPAIR", "LocalFiles", "StoreFiles", "parquet_footer_sha256", "parquet_table"]

_MANY_ROWS = 1 << 20

REPAIR = "Restore it from a copy, or write the store again; `dao validate` lists all damage."


class StoreFiles(Protocol):
    """The bytes of a store's small files, wherever they are.

    Attributes
    ----------
    root
        What names the store in messages; ``root / path`` names a file of it.
    """

    root: Any

    def manifest(self) -> Manifest:
        """Return the manifest; its files stay as long as this object lives, where that is known.

        Raises
        ------
        dao.errors.StoreNotFoundError
            If there is none.
        """

    def close(self) -> None:
        """Give back what is open, and the claim to the files."""

    def manifest_now(self) -> bytes | None:
        """Return what ``dao.json`` holds now; None if it is not there.

        Raises
        ------
        dao.errors.StorageError
            If it cannot be read.
        """

    def read(self, info: FileInfo) -> bytes:
        """Return a whole file, not checked.

        Raises
        ------
        dao.errors.CorruptStoreError
            If it is missing.
        dao.errors.StorageError
            If it cannot be read.
        """

    def columns(self, info: FileInfo, footer_sha256: str, names: list[str] | None) -> pa.Table:
        """Return columns of a parquet file whose pages have checksums; all if None.

        Raises
        ------
        dao.errors.CorruptStoreError
            If its footer is not the one that was written.
        OSError, pyarrow.ArrowException
            If a page is damaged.
        """


class LocalFiles:
    """Files in a local folder, of the current generation or an earlier one."""

    def __init__(self, root: Path, generation: int | None = None) -> None:
        self.root, self._generation = root, generation
        self._hold: Hold | None = None

    def manifest(self) -> Manifest:
        """Return the manifest."""
        manifest, self._hold = _held_manifest(self.root, self._generation)
        return manifest

    def close(self) -> None:
        """Give back the claim to the files."""
        if self._hold is not None:
            self._hold.release()
            self._hold = None

    def manifest_now(self) -> bytes | None:
        """Return what ``dao.json`` holds now; None if it is not there."""
        try:
            return _read_manifest(self.root)
        except StoreNotFoundError:
            return None

    def read(self, info: FileInfo) -> bytes:
        """Return a whole file, not checked."""
        check_inside(str(self.root), info.path)
        try:
            return (self.root / info.path).read_bytes()
        except FileNotFoundError as error:
            raise missing_file(self.root, info.path) from error
        except OSError as error:
            msg = f"{self.root / info.path} cannot be read: {error.strerror}."
            raise StorageError(msg) from error

    def columns(self, info: FileInfo, footer_sha256: str, names: list[str] | None) -> pa.Table:
        """Return columns of a parquet file whose pages have checksums."""
        path = self.root / info.path
        check_inside(str(self.root), info.path)
        try:
            size = path.stat().st_size
        except FileNotFoundError as error:
            raise missing_file(self.root, info.path) from error
        if size != info.size or parquet_footer_sha256(path) != footer_sha256:
            msg = f"{path} is not the file that was written. {REPAIR}"
            raise CorruptStoreError(msg)
        return _read_columns(path, names)


def _read_columns(path: Path, names: list[str] | None) -> pa.Table:
    """Read columns whose pages are checked; those of many rows in several threads."""
    here = LocalFileSystem()  # else pyarrow would look for URLs in the path
    with pq.ParquetFile(
        path, pre_buffer=False, page_checksum_verification=True, filesystem=here
    ) as file:
        if file.metadata.num_rows < _MANY_ROWS:
            return file.read(columns=names, use_threads=False)
    options = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    checked = ds.ParquetFileFormat(default_fragment_scan_options=options)
    # Unlike `ParquetFile`, this reads the row groups of one column at the same time.
    return ds.dataset(path, format=checked, filesystem=here).to_table(columns=names)


def parquet_table(content: bytes, names: list[str] | None = None) -> pa.Table:
    """Return columns of a parquet file that is in memory; all if None.

    In this thread: those of Arrow, when they read from an object of Python and it ends meanwhile,
    abort or hang (https://github.com/apache/arrow/issues/50482).
    """
    with pq.ParquetFile(pa.BufferReader(content), pre_buffer=False) as file:
        return file.read(columns=names, use_threads=False)


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
        if generation is not None and generation != manifest.generation:
            earlier = read_manifest(root, generation)
            return earlier, Hold(root, earlier.generation)
        hold = Hold(root, manifest.generation)
        # In between another generation may have come, and the files of this one may have gone.
        if _read_manifest(root) == content:
            return manifest, hold


def _read_manifest(root: Path) -> bytes:
    check_inside(str(root), MANIFEST_NAME)
    try:
        return (root / MANIFEST_NAME).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        around = store_around(root)
        if around is not None:
            hint = f"it is a part of the store {around}; open that"
        elif not root.exists():
            hint = "there is nothing at this path"
        elif root.is_file() or is_foreign_zarr(root):
            what = "a file; a store is a folder" if root.is_file() else "another Zarr folder"
            hint = (
                f"this is {what}. To stream it as it is, pass a list or dict, as in "
                f"dao.load_store([{root.name!r}]); to have a store, write one with dao.write_store"
            )
        elif (root / ".dao-write.lock").exists():
            hint = "a write into this folder was begun and not finished; run it again"
        else:
            hint = f"this folder has no {MANIFEST_NAME}"
        near = "" if around else stores_near(root)
        msg = f"{root} is not a dao store: {hint}.{near}"
        raise StoreNotFoundError(msg) from error
    except OSError as error:
        msg = f"{root / MANIFEST_NAME} cannot be read: {error.strerror}."
        raise StorageError(msg) from error
