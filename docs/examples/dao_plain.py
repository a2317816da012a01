import anndata as ad
import numpy as np
import zarr

from dao.backend import DenseRows, SparseRows
from dao.directory import StoreDirectory
from dao.errors import ArgumentError, CorruptStoreError, UnknownDatasetError


class PlainBackend:
    def open(self, path, *, memory, options):
        if options:
            raise ArgumentError(f"The backend 'plain' has no option {next(iter(options))!r}.")
        return PlainReader(path)


class PlainReader:
    def __init__(self, path):
        self.directory = StoreDirectory(path)

    def manifest(self):
        return self.directory.manifest

    def table(self, path, columns=None):
        return self.directory.table(path, columns)

    def document(self, path):
        return self.directory.document(path)

    def rows(self, dataset, matrix, rows):
        found = {d.id: d for d in self.manifest().datasets}.get(dataset)
        if found is None or matrix not in found.matrices:
            raise UnknownDatasetError(f"The store has no {matrix!r} of {dataset!r}.")
        info = found.matrices[matrix]
        wanted, slots = np.unique(rows, return_inverse=True)
        if len(wanted) and not 0 <= wanted[0] <= wanted[-1] < info.shape[0]:
            raise ArgumentError(f"{matrix!r} of {dataset!r} has {info.shape[0]} rows.")
        for array in info.arrays.values():
            self._check(array)
        try:
            element = zarr.open(self.directory.root / found.path / matrix, mode="r")
            if info.encoding == "dense":
                return DenseRows(element.oindex[wanted], slots)
            part = ad.io.sparse_dataset(element)[wanted]
        except Exception as error:
            raise CorruptStoreError(f"{matrix!r} of {dataset!r} is damaged: {error}.") from error
        starts, lengths = part.indptr[:-1].astype(np.int64), np.diff(part.indptr).astype(np.int64)
        return SparseRows(part.data, part.indices, starts[slots], lengths[slots], info.shape[1])

    def _check(self, array):
        self.directory.read(array.metadata)
        for k, size in enumerate(array.shard_sizes):
            key = f"c/{k}" if len(array.shape) == 1 else f"c/{k}/0"
            file = (self.directory.root / array.metadata.path).parent / key
            if size and not (file.is_file() and file.stat().st_size == size):
                raise CorruptStoreError(f"{file} is missing or has another size.")

    def close(self):
        pass
