"""Matrices stored by columns become rows: whatever their order, in memory or over the disk."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import dao
from dao.errors import SourceError
from dao.format.encodings import index_dtype, narrowest_dtype
from dao.write import buckets
from dao.write.buckets import Buckets, BucketSpool
from dao.write.fill import fill
from dao.write.matrices import MatrixJob, Workshop, open_spool
from dao.write.matrix import memory_matrix
from dao.write.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator


def job_of(x: Any, shape: tuple[int, int], targets: Any, shift: int) -> MatrixJob:
    """Return a job whose buckets have ``1 << shift`` rows."""
    return MatrixJob(
        "X",
        "fast",
        shape,
        np.asarray(targets, np.int32),
        x.dtype,
        "csc",
        buckets=Buckets(shape, shift),
    )


@contextmanager
def filled(
    job: MatrixJob, x: Any, places: Any, memory: int
) -> Iterator[tuple[BucketSpool, Workshop]]:
    """Yield a spool with all values of a matrix, and the workshop that it uses."""
    with TemporaryDirectory() as folder, Workers(2) as pool:
        shop = Workshop.within(memory, pool)
        with open_spool(job, x.nnz, shop, Path(folder)) as spool:
            assert isinstance(spool, BucketSpool)
            fill(spool, memory_matrix(x, "X"), job, np.asarray(places), shop, lambda _: None)
            yield spool, shop


def rows_of(spool: BucketSpool, job: MatrixJob, step: int) -> Iterator[tuple[int, Any, Any]]:
    """Yield the rows in their order, ``step`` of them in a task: place, columns, values."""
    indptr, dtype = spool.indptr(), narrowest_dtype(spool.value_range, job.plain)
    firsts = np.arange(0, job.shape[0], step)
    stops = np.minimum(firsts + step, job.shape[0])
    done = 0
    with Workers(1) as pool:
        for window, tasks in spool.windows(firsts, stops, indptr):
            for task in tasks:
                first, stop = int(firsts[task]), int(stops[task])
                columns, values = window.take(first, stop, dtype, pool.scratch)
                for row in range(first, stop):
                    own = slice(*(indptr[row : row + 2] - indptr[first]))
                    yield row, columns[own].copy(), values[own].copy()
                    done += 1
    assert done == job.shape[0]


@st.composite
def columns(draw: st.DrawFn) -> tuple[Any, ...]:
    """Columns in any order, with repeats and zeros, and where rows and columns go."""
    n_obs, n_columns, n_vars = (draw(st.integers(1, n)) for n in (30, 6, 9))
    dtype = draw(st.sampled_from(["f4", "f8", "u1", "i2", "i8"]))
    values = [0, 1, 2, 200] + ([-1, 70_000] if dtype in {"i8", "f8"} else [])
    values += [-0.0, 0.5] if dtype[0] == "f" else []
    one = st.tuples(st.integers(0, n_obs - 1), st.sampled_from(values))
    repeats = draw(st.booleans())
    unique = None if repeats else (lambda entry: entry[0])
    found = [draw(st.lists(one, max_size=30, unique_by=unique)) for _ in range(n_columns)]
    rows = [row for column in found for row, _ in column]
    x = sp.csc_matrix(
        (
            np.array([v for column in found for _, v in column]).astype(dtype),
            np.array(rows, np.int32),
            np.cumsum([0, *map(len, found)]),
        ),
        shape=(n_obs, n_columns),
    )
    targets = draw(st.lists(st.integers(-1, n_vars - 1), min_size=n_columns, max_size=n_columns))
    order = draw(st.permutations(range(n_obs)))
    wanted = draw(st.integers(1, n_obs))
    places = np.array([place if place < wanted else -1 for place in order])
    return x, places, targets, (wanted, n_vars)


@given(columns(), st.sampled_from([1 << 30, 3_000]), st.integers(0, 5), st.integers(1, 7))
@settings(max_examples=150, deadline=None)
def test_columns_become_rows(
    given_columns: tuple[Any, ...], memory: int, shift: int, step: int
) -> None:
    """Every value comes to its row, sums are complete, against a dense matrix."""
    x, places, targets, shape = given_columns
    expected = np.zeros(shape)
    for column, target in enumerate(targets):
        for k in range(x.indptr[column], x.indptr[column + 1]):
            if target >= 0 and places[x.indices[k]] >= 0:
                expected[places[x.indices[k]], target] += float(x.data[k])
    job = job_of(x, shape, targets, shift)
    dense = np.zeros(shape)
    with filled(job, x, places, memory) as (spool, _):
        for row, found, values in rows_of(spool, job, step):
            assert (np.diff(found.astype(np.int64)) > 0).all()
            assert found.dtype == index_dtype(shape[1])
            assert (values != 0).all()
            dense[row, found] = values
        assert (spool.value_range.minimum, spool.value_range.maximum) == (
            min(0, expected.min()),
            max(0, expected.max()),
        )
    np.testing.assert_array_equal(dense, expected)


@pytest.mark.parametrize("n_vars", [300, 70_000])
def test_rows_of_very_different_lengths(n_vars: int) -> None:
    """Where most values are in a few buckets, these are read in several windows."""
    random = np.random.default_rng(0)
    lengths = np.where(np.arange(3000) // 500 == 4, 250, 2)
    dense = np.zeros((3000, 300), np.float32)
    for row, n in enumerate(lengths):
        dense[row, random.choice(300, n, replace=False)] = random.integers(1, 300, n)
    x, memory = sp.csc_matrix(dense), 400_000
    job = job_of(x, (3000, n_vars), np.arange(300) + n_vars - 300, shift=9)
    with filled(job, x, np.arange(3000), memory) as (spool, shop):
        assert len(spool.runs) > 1
        for row, found, values in rows_of(spool, job, 10):
            np.testing.assert_array_equal(found, np.flatnonzero(dense[row]) + n_vars - 300)
            np.testing.assert_array_equal(values, dense[row][dense[row] > 0])
        assert shop.arena.size <= memory // 2 + 8


@given(st.integers(0, 10**9), st.integers(1, 10**5), st.integers(0, 10**12))
def test_buckets_are_neither_few_nor_many(n_obs: int, n_vars: int, n_stored: int) -> None:
    """Rows of a bucket are 16 bits; there are some thousand buckets, or very many rows."""
    found = Buckets.within((n_obs, n_vars), n_stored)
    assert 0 <= found.shift <= 16
    assert (found.n - 1) << found.shift < max(1, n_obs) <= max(1, found.n) << found.shift
    assert found.n <= 2 * buckets._MOST_BUCKETS or found.shift in {0, 16}
    assert 2 ** (8 * found.word.itemsize) >= 1 << (found.row_at + found.shift)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("memory", ["2GiB", "1MB"])
def test_columns_of_zarr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: str) -> None:
    """The same bytes from .zarr as from .h5ad, in memory or over the disk."""
    monkeypatch.setattr(buckets, "_BUCKET_ELEMENTS", 1000)
    dense = np.random.default_rng(0).poisson(0.3, (2000, 200)).astype(np.float32)
    study, written = ad.AnnData(sp.csc_matrix(dense)), []
    study.write_h5ad(tmp_path / "a.h5ad")
    study.write_zarr(tmp_path / "a.zarr")
    for suffix in ("h5ad", "zarr"):
        path, source = tmp_path / f"{suffix}.dao", {"a": tmp_path / f"a.{suffix}"}
        store = dao.write_store(path, source, memory=memory, progress=False)
        rows = store.obs["_source_row"].to_numpy()
        x = store.to_anndata()[:, study.var_names].X
        np.testing.assert_array_equal(x.toarray(), dense[rows])
        written.append([p.read_bytes() for p in sorted(path.glob("datasets/a/X/*/c/*"))])
    assert written[0]
    assert written[0] == written[1]


def test_rows_outside(tmp_path: Path) -> None:
    """Row numbers that are none are an error, before anything is brought there."""
    x = sp.csc_matrix(np.eye(30, dtype=np.float32))
    ad.AnnData(x).write_h5ad(tmp_path / "a.h5ad")
    for wrong in (30, -1):
        with h5py.File(tmp_path / "a.h5ad", "r+") as file:
            file["X/indices"][7] = wrong
        with pytest.raises(SourceError, match="outside of its 30 lines"):
            dao.write_store(tmp_path / "s.dao", tmp_path / "a.h5ad", progress=False)
        assert not (tmp_path / "s.dao").exists()
