"""Reading the small files of a store, each checked against the manifest.

Backends for the dao format compose this: it serves the manifest, the tables and the JSON
documents, and they decode the matrices.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dao.errors import CorruptStoreError, DaoError
from dao.files import REPAIR, LocalFiles, parquet_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dao.files import StoreFiles
    from dao.format.manifest import FileInfo

__all__ = ["StoreDirectory"]


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

    def document(self, path: str) -> Any:
        """Return a JSON document of the store."""
        return json.loads(self.read(self._files[path]))
