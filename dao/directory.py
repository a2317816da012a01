"""Reading the small files of a store, each checked against the manifest.

Backends for the dao format compose this: it serves the manifest, the tables and the JSON
documents, and they decode the matrices.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dao.errors import CorruptStoreError, DaoError
from dao.files import REPAIR, LocalFiles, parquet_table
from dao.missing import changed_since

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dao.files import StoreFiles
    from dao.format.manifest import FileInfo, Manifest

__all__ = ["StoreDirectory"]

_FEW = 16


class StoreDirectory:
    """The small files of a store.

    Parameters
    ----------
    path
        The local folder that holds ``dao.json``; or where else the files are.
    generation
        An earlier one of a local folder; the current one if None. As long as this object lives, its
        files stay.

    Raises
    ------
    dao.errors.StoreNotFoundError
        If there is no store.
    """

    def __init__(
        self, path: str | os.PathLike[str] | StoreFiles, generation: int | None = None
    ) -> None:
        where = LocalFiles(Path(path), generation) if isinstance(path, str | os.PathLike) else path
        self._source: StoreFiles = where
        self.root: Any = self._source.root
        self.manifest = self._source.manifest()
        self._files = {info.path: info for info in _small_files(self.manifest)}
        # Errors that were looked at, which pass several blocks of `explained`.
        self._damage: deque[CorruptStoreError] = deque(maxlen=_FEW)
        self._footers = {d.obs.file.path: d.obs.footer_sha256 for d in self.manifest.datasets}

    def close(self) -> None:
        """Give back what is open, and the claim to the files; what is read later opens it again."""
        self._source.close()

    def read(self, info: FileInfo) -> bytes:
        """Return the content of a small file, checked.

        Raises
        ------
        dao.errors.CorruptStoreError
            If the file is missing or is not what was written.
        """
        content = self._source.read(info)
        if len(content) != info.size or hashlib.sha256(content).hexdigest() != info.sha256:
            msg = f"{self.root / info.path} is not the file that was written. {REPAIR}"
            raise CorruptStoreError(msg)
        return content

    def table(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return a parquet table of the store; obs tables read only the columns asked for."""
        info = self._files[path]
        names = None if columns is None else list(columns)
        try:
            if path not in self._footers:
                table = parquet_table(self.read(info), names)
                _ = table.schema.pandas_metadata  # whoever makes a frame of it reads this
                return table
            return self._source.columns(info, self._footers[path], names)
        except (OSError, ValueError, pa.ArrowException) as error:
            if isinstance(error, DaoError):
                raise
            msg = f"{self.root / path} cannot be read ({error}). {REPAIR}"
            raise CorruptStoreError(msg) from error

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Raise a better error where damage is that the store was overwritten or removed."""
        try:
            yield
        except CorruptStoreError as error:
            if error in self._damage:
                raise
            now: DaoError | None = None
            with suppress(DaoError):  # then nothing better is known
                now = changed_since(self.root, self.manifest, self._source.manifest_now())
            if now is not None:
                raise now from error
            self._damage.append(error)
            raise

    def document(self, path: str) -> Any:
        """Return a JSON document of the store."""
        return json.loads(self.read(self._files[path]))


def _small_files(manifest: Manifest) -> Iterator[FileInfo]:
    yield from manifest.files
    for dataset in manifest.datasets:
        yield from dataset.files
        yield from (array.metadata for array in dataset.arrays.values())
