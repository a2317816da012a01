"""A reader around a reader, which passes every call on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from dao.backend import DenseRows, Reader, SparseRows
    from dao.format.manifest import Manifest

__all__ = ["WrappedReader"]


class WrappedReader:
    """Passes every call on; a base for readers that change something.

    Parameters
    ----------
    reader
        The reader that does the work.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def manifest(self) -> Manifest:
        """Return what the store holds."""
        return self.reader.manifest()

    def table(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return a parquet table of the store."""
        return self.reader.table(path, columns)

    def document(self, path: str) -> Any:
        """Return a JSON document of the store."""
        return self.reader.document(path)

    def rows(self, dataset: str, matrix: str, rows: NDArray[np.int64]) -> SparseRows | DenseRows:
        """Return rows of a matrix."""
        return self.reader.rows(dataset, matrix, rows)

    def close(self) -> None:
        """Let go of files and caches."""
        self.reader.close()
