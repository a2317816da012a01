"""Chunks far larger than a piece: each is decoded once, whatever is read of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr

import dao
from dao.write import staged
from dao.write.matrix import compressed_matrix, dense_matrix
from dao.write.workers import Scratch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHAPE = (300, 40)
CHUNKS = [(300, 1), (300, 40), (300, 7), (170, 3), (299, 40)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make arrays of a test large."""
    monkeypatch.setattr(staged, "_MOST_TOGETHER", 1_000)
    monkeypatch.setattr(staged, "_BLOCK_ELEMENTS", 1_500)


@pytest.fixture
def values() -> Any:
    """Return counts, few of which are not zero."""
    return np.random.default_rng(0).poisson(0.3, SHAPE).astype(np.float32)


def in_hdf5(folder: Path, values: Any, chunks: Any) -> Any:
    file = h5py.File(folder / "x.h5", "w")
    return file.create_dataset("x", data=values, chunks=chunks, compression="gzip")


def in_zarr(folder: Path, values: Any, chunks: Any) -> Any:
    array = zarr.create_array(
        folder / "x.zarr", shape=values.shape, dtype=values.dtype, chunks=chunks
    )
    array[:] = values
    return array


class Counted:
    """An array that counts how many elements are decoded for what is read of it."""

    def __init__(self, array: Any) -> None:
        self.array, self.decoded = array, 0
        self.shape, self.dtype, self.size = array.shape, array.dtype, array.size
        self.chunks = array.chunks

    def __getitem__(self, where: Any) -> Any:
        where = where if isinstance(where, tuple) else (where,)
        n = 1
        for axis, length in enumerate(self.shape):
            own = where[axis] if axis < len(where) else slice(None)
            start, stop, _ = own.indices(length)
            chunk = self.chunks[axis]
            n *= (
                0
                if start >= stop
                else min(-(-stop // chunk) * chunk, length) - start // chunk * chunk
            )
        self.decoded += n
        return self.array[where]


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
@pytest.mark.parametrize("make", [in_hdf5, in_zarr])
def test_dense_rows(
    tmp_path: Path, values: Any, make: Callable[..., Any], chunks: tuple[int, int]
) -> None:
    """Rows in any order are those of the array, and all of it was decoded once."""
    counted = Counted(make(tmp_path, values, chunks))
    matrix = dense_matrix(counted, "x")
    for start, stop in [(290, 300), (0, 1), (5, 5), *((a, a + 30) for a in range(0, 300, 30))]:
        rows = matrix.read(start, stop, Scratch()).to_scipy(SHAPE[1])
        assert (rows.toarray() == values[start:stop]).all()
    assert counted.decoded == values.size


@pytest.mark.parametrize("make", [in_hdf5, in_zarr])
def test_sparse_rows_of_one_chunk(tmp_path: Path, values: Any, make: Callable[..., Any]) -> None:
    """The elements of a sparse matrix whose arrays are a chunk each are decoded once."""
    sparse = sp.csr_matrix(values)
    parts: dict[str, Any] = {"indptr": sparse.indptr}
    for name in ("data", "indices"):
        folder = tmp_path / name
        folder.mkdir()
        array = getattr(sparse, name)
        parts[name] = Counted(make(folder, array, array.shape))
    matrix = compressed_matrix(parts, SHAPE, "csr", "x")
    for start in range(0, 300, 20):
        rows = matrix.read(start, start + 20, Scratch()).to_scipy(SHAPE[1])
        assert (rows.toarray() == values[start : start + 20]).all()
    assert parts["data"].decoded == parts["indices"].decoded == sparse.nnz


@pytest.mark.parametrize("chunks", [(300, 1), (300, 40)], ids=str)
def test_files_with_large_chunks(tmp_path: Path, values: Any, chunks: tuple[int, int]) -> None:
    """They are written, and read as they are."""
    adata = ad.AnnData(values, obs=pd.DataFrame(index=[f"c{i}" for i in range(300)]))
    adata.var_names = [f"g{i}" for i in range(40)]
    adata.write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        attributes = dict(file["X"].attrs)
        del file["X"]
        file.create_dataset("X", data=values, chunks=chunks, compression="gzip")
        file["X"].attrs.update(attributes)
    written = dao.write_store(tmp_path / "s.dao", tmp_path / "a.h5ad", progress=False)
    for store in (written, dao.load_store(tmp_path / "a.h5ad", backend="h5ad")):
        found = store.select_features(list(adata.var_names)).to_anndata()
        assert (values == found[adata.obs_names].X).all()


def test_what_is_read_in_place(tmp_path: Path, values: Any) -> None:
    """Small chunks, and chunks that are not encoded, need no file."""
    assert staged.staged(values) is None
    assert staged.staged(in_hdf5(tmp_path, values, (20, 40))) is None
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        assert staged.staged(file.create_dataset("x", data=values, chunks=(300, 40))) is None
