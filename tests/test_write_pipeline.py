"""The stages of the writer: the same store whatever the threads, the memory and the compression."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np
import pytest
import scipy.sparse as sp
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import dao
from dao.errors import SourceError
from dao.write import buckets, layout, matrix, spool, workers
from dao.write.arrange import Arrangement
from dao.write.hdf5 import chunked_elements
from dao.write.lzf import decode_lzf
from dao.write.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMS: Mapping[str, Any] = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": np.asarray}
COMPRESSIONS: Mapping[str, dict[str, Any]] = {
    "contiguous": {},
    "chunked": {"chunks": (100,)},
    "gzip": {"chunks": (100,), "compression": "gzip"},
    "gzip+shuffle": {"chunks": (100,), "compression": "gzip", "shuffle": True},
    "lzf": {"chunks": (100,), "compression": "lzf"},
    "lzf+shuffle": {"chunks": (100,), "compression": "lzf", "shuffle": True},
    "shuffle": {"chunks": (100,), "shuffle": True},
    "fletcher32": {"chunks": (100,), "compression": "gzip", "fletcher32": True},
    "big-endian": {"chunks": (100,), "compression": "gzip"},
}
DECODED_HERE = {"chunked", "gzip", "gzip+shuffle", "lzf", "lzf+shuffle"}


@pytest.fixture
def study() -> ad.AnnData:
    """Counts whose largest come late, so that later pieces need wider dtypes than earlier ones."""
    random = np.random.default_rng(0)
    dense = random.poisson(0.4, (900, 130)).astype(np.float32)
    dense[600, 5], dense[700, 7] = 300, 70_000
    dense[:, 17] = 0
    return ad.AnnData(sp.csr_matrix(dense))


def content(store: dao.Store) -> dict[str, bytes]:
    """Return every file of a store but the manifest and its copy, which have a time and a random id."""
    root = Path(store.path)
    return {
        str(p.relative_to(root)): p.read_bytes()
        for p in root.rglob("*")
        if p.is_file() and p.name not in {"dao.json", "1.json"}
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [3, 300, 65_536, -5, 2.5, 1e300])
def test_the_same_bytes_whatever_the_threads_and_the_memory(
    tmp_path: Path, study: ad.AnnData, monkeypatch: pytest.MonkeyPatch, form: str, value: float
) -> None:
    """One thread or many, one piece or hundreds, in memory or over the disk: the same files."""
    dense = study.X.toarray().astype(np.float64)
    dense[800, 3] = value
    source = {"a": ad.AnnData(FORMS[form](dense))}
    whole = content(dao.write_store(tmp_path / "whole.dao", source, progress=False))
    spills = []
    original = spool.RowSpool.spill
    monkeypatch.setattr(spool.RowSpool, "spill", lambda s: spills.append(1) or original(s))
    for n, memory in ((1, "2GiB"), (3, "2GiB"), (1, "250kB"), (4, "250kB")):
        monkeypatch.setattr(workers, "n_threads", lambda n=n: n)
        monkeypatch.setattr(matrix, "_PIECE_ELEMENTS", 2_000)
        monkeypatch.setattr(buckets, "_BUCKET_ELEMENTS", 3_000)
        path = tmp_path / f"{n}-{memory}.dao"
        store = dao.write_store(path, source, memory=memory, progress=False)
        assert content(store) == whole, (n, memory)
        assert bool(spills) == (memory == "250kB")
        spills.clear()


def write_h5ad(path: Path, study: ad.AnnData, how: str, **dtypes: str) -> None:
    """Write a study whose X is stored in a certain way."""
    study.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        for name in ("data", "indices"):
            values = file[f"X/{name}"][:]
            del file[f"X/{name}"]
            values = values.astype(dtypes.get(name, values.dtype))
            if how == "big-endian":
                values = values.astype(values.dtype.newbyteorder(">"))
            file["X"].create_dataset(name, data=values, **COMPRESSIONS[how])


@pytest.mark.parametrize("how", COMPRESSIONS)
@pytest.mark.parametrize("form", ["csr", "csc"])
@pytest.mark.parametrize(("data", "indices"), [("f4", "i4"), ("f8", "i8"), ("u1", "u2")])
def test_every_compression(
    tmp_path: Path, study: ad.AnnData, how: str, form: str, data: str, indices: str
) -> None:
    """However HDF5 stores them, the same values are read."""
    dense = np.minimum(study.X.toarray(), 255)
    study.X = FORMS[form](dense)
    write_h5ad(tmp_path / "a.h5ad", study, how, data=data, indices=indices)
    with h5py.File(tmp_path / "a.h5ad") as file:
        for array in (file["X/data"], file["X/indices"]):
            # A single byte has no order.
            plain = how in DECODED_HERE or (how == "big-endian" and array.dtype.itemsize == 1)
            assert (chunked_elements(array) is not None) == plain
    store = dao.write_store(tmp_path / "s.dao", tmp_path / "a.h5ad", progress=False)
    adata = store.to_anndata()
    rows = adata.obs["_source_row"].to_numpy()
    np.testing.assert_array_equal(adata[:, study.var_names].X.toarray(), dense[rows])
    assert adata.X.dtype == np.dtype(data)


def test_chunks_that_were_never_written(tmp_path: Path, study: ad.AnnData) -> None:
    """What HDF5 fills in is read as HDF5 fills it in."""
    n = study.X.nnz
    study.write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        values = file["X/data"][:]
        del file["X/data"]
        stored = file["X"].create_dataset(
            "data", shape=(n,), dtype="f4", chunks=(100,), compression="gzip", fillvalue=7
        )
        stored[:1_000] = values[:1_000]
    study.X.data[1_000:] = 7
    store = dao.write_store(tmp_path / "s.dao", tmp_path / "a.h5ad", progress=False)
    adata = store.to_anndata()
    rows = adata.obs["_source_row"].to_numpy()
    assert abs(adata[:, study.var_names].X - study.X[rows]).sum() == 0


@pytest.mark.parametrize("name", ["data", "indices"])
@pytest.mark.parametrize("how", ["gzip", "gzip+shuffle", "lzf", "lzf+shuffle"])
def test_damaged_chunks(tmp_path: Path, study: ad.AnnData, how: str, name: str) -> None:
    """A chunk that does not decode is an error that names the matrix; nothing is left behind."""
    path = tmp_path / "a.h5ad"
    write_h5ad(path, study, how)
    with h5py.File(path, "r+") as file:
        stored = file[f"X/{name}"].id
        for first in (200, 30_000):
            if first < file[f"X/{name}"].shape[0]:
                mask, chunk = stored.read_direct_chunk((first,))
                stored.write_direct_chunk((first,), chunk[: len(chunk) // 2], mask)
    with pytest.raises(SourceError, match=r"X of .*a\.h5ad cannot be read"):
        dao.write_store(tmp_path / "s.dao", path, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5ad"]
    assert not [t for t in threading.enumerate() if t.name.startswith("dao-write")]


def test_a_bit_in_gzip(tmp_path: Path, study: ad.AnnData) -> None:
    """gzip carries a checksum, and it is compared."""
    path = tmp_path / "a.h5ad"
    write_h5ad(path, study, "gzip")
    with h5py.File(path) as file:
        place = file["X/data"].id.get_chunk_info(file["X/data"].id.get_num_chunks() - 2)
    with path.open("r+b") as raw:
        raw.seek(place.byte_offset + place.size - 1)
        last = raw.read(1)
        raw.seek(-1, 1)
        raw.write(bytes([last[0] ^ 1]))
    with pytest.raises(SourceError, match="cannot be read"):
        dao.write_store(tmp_path / "s.dao", path, progress=False)


@given(
    st.lists(
        st.tuples(st.integers(0, 255), st.integers(0, 7), st.integers(1, 400)),
        min_size=1,
        max_size=40,
    )
)
@settings(max_examples=100, deadline=None)
def test_lzf_is_what_h5py_writes(parts: list[tuple[int, int, int]]) -> None:
    """Runs, ramps and noise, as h5py packs them, come back; no other length is accepted."""
    content = np.concatenate([(a + b * np.arange(n)) % 256 for a, b, n in parts]).astype(np.uint8)
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        data = file.create_dataset("x", data=content, chunks=content.shape, compression="lzf")
        skipped, stored = data.id.read_direct_chunk((0,))
    if skipped:
        return  # it would not have become smaller
    packed = np.frombuffer(stored, np.uint8)
    out = np.zeros(len(content), np.uint8)
    assert decode_lzf(packed, out) == len(content)
    np.testing.assert_array_equal(out, content)
    assert decode_lzf(packed, out[:-1]) == -1
    assert decode_lzf(packed[:-1], out) != len(content)


@given(st.binary(max_size=300), st.integers(0, 400))
@settings(max_examples=300, deadline=None)
def test_lzf_of_anything_stays_in_its_place(stored: bytes, n: int) -> None:
    """Whatever the bytes are, nothing is written outside of the buffer."""
    guarded = np.full(n + 200, 77, np.uint8)
    written = decode_lzf(np.frombuffer(stored, np.uint8), guarded[100 : 100 + n])
    assert -1 <= written <= n
    # A copy from before the beginning.
    assert decode_lzf(np.array([0, 1, 0b001_00000, 1, 0, 2], np.uint8), guarded[:50].copy()) == -1
    assert (guarded[:100] == 77).all()
    assert (guarded[100 + n :] == 77).all()


@st.composite
def pieces(draw: st.DrawFn) -> tuple[Any, ...]:
    """Rows in any order, with repeats and zeros, and where their columns go."""
    n_rows, n_columns, n_vars = (draw(st.integers(1, n)) for n in (5, 9, 150))
    dtype = draw(st.sampled_from(["f4", "f8", "u1", "i2", "i8"]))
    values = [0, 1, 2, 3] + ([-1] if dtype[0] != "u" else [])
    values += [-0.0, 0.5] if dtype[0] == "f" else []
    rows = [
        draw(st.lists(st.tuples(st.integers(0, n_columns - 1), st.sampled_from(values))))
        for _ in range(n_rows)
    ]
    targets = draw(st.lists(st.integers(-1, n_vars - 1), min_size=n_columns, max_size=n_columns))
    wanted = draw(st.lists(st.booleans(), min_size=n_rows, max_size=n_rows))
    return rows, dtype, targets, wanted, n_vars


@given(pieces())
@settings(max_examples=300, deadline=None)
def test_arranging_is_what_scipy_does(piece: tuple[Any, ...]) -> None:
    """Renumbering, sorting, adding up and leaving out, against a dense matrix."""
    rows, dtype, targets, wanted, n_vars = piece
    indptr = np.cumsum([0, *map(len, rows)])
    flat = [pair for row in rows for pair in row]
    given_rows = Rows(
        indptr, np.array([c for c, _ in flat], np.int32), np.array([v for _, v in flat], dtype)
    )
    kept = [t for t in targets if t >= 0]
    arrangement = Arrangement(
        np.array(targets, np.int32), n_vars, np.dtype(dtype), summed=len(set(kept)) < len(kept)
    )
    got = arrangement(given_rows, np.array(wanted), workers.Scratch())
    expected = np.zeros((len(rows), n_vars))
    for r, row in enumerate(rows):
        for column, value in row:
            if wanted[r] and targets[column] >= 0:
                expected[r, targets[column]] += value
    bounds = np.append(0, np.cumsum(got.lengths))
    dense = np.zeros_like(expected)
    for r in range(len(rows)):
        own = slice(bounds[r], bounds[r + 1])
        assert (np.diff(got.columns[own].astype(np.int64)) > 0).all()
        dense[r, got.columns[own]] = got.values[own]
    np.testing.assert_array_equal(dense, expected)
    assert (got.values != 0).all()
    assert (got.range.minimum, got.range.maximum) == (
        min(0, expected.min()),
        max(0, expected.max()),
    )


def test_repeated_entries_do_not_wrap(tmp_path: Path) -> None:
    """Entries in the same place add up, also beyond the dtype that they had."""
    parts = (np.array([200, 100, 1], np.uint8), np.array([1, 1, 0]), np.array([0, 2, 3]))
    study = ad.AnnData(sp.csr_matrix(parts, shape=(2, 2)))
    study.write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad") as file:
        assert file["X/data"].shape == (3,)
    store = dao.write_store(tmp_path / "s.dao", tmp_path / "a.h5ad", shuffle=False, progress=False)
    x = store.to_anndata()[:, ["0", "1"]].X.toarray()
    assert x.tolist() == [[0, 300], [1, 0]]


@pytest.mark.parametrize("form", ["csr", "dense"])
@pytest.mark.parametrize("pipeline", ["zarr.core.codec_pipeline.BatchedCodecPipeline", "zarrs"])
def test_shards_are_those_of_zarr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, pipeline: str
) -> None:
    """Several shards, the last one not full and its last chunk neither: zarr and zarrs read them."""

    def small(length: int, width: int, *_: int) -> tuple[int, int]:
        chunk = max(1, min(128 // width, length))
        return chunk, 8 * chunk

    monkeypatch.setattr(layout, "chunking", small)
    random = np.random.default_rng(0)
    dense = (random.random((117, 60)) < {"csr": 0.3, "dense": 0.9}[form]) * 300.0
    store = dao.write_store(tmp_path / "s.dao", {"a": ad.AnnData(dense)}, progress=False)
    info = store.manifest.datasets[0].matrices["X"]
    assert info.encoding == form
    assert all(len(a.shard_sizes) > 1 for n, a in info.arrays.items() if n != "indptr")
    assert dao.validate_store(tmp_path / "s.dao").ok
    for name, array in info.arrays.items():
        shard = tmp_path / f"s.dao/datasets/a/X/{name}/c" / str(len(array.shard_sizes) - 1)
        stored = (shard / "0" if form == "dense" else shard).read_bytes()
        per_shard = array.shard // array.chunk
        index = np.frombuffer(stored[-16 * per_shard - 4 : -4], "<u8").reshape(-1, 2)
        used = -(-array.shape[0] // array.chunk) - (len(array.shard_sizes) - 1) * per_shard
        assert (index[used:] == 2**64 - 1).all()
        assert index[:used, 1].sum() == len(stored) - 16 * per_shard - 4
    path = "zarrs.ZarrsCodecPipeline" if pipeline == "zarrs" else pipeline
    with zarr.config.set({"codec_pipeline.path": path}):
        group: Any = zarr.open_group(str(tmp_path / "s.dao" / "datasets" / "a"), mode="r")
        x = ad.io.read_elem(group["X"])
    x = x.toarray() if form == "csr" else x
    columns = store.var_names.get_indexer([str(i) for i in range(60)])
    rows = store.obs["_source_row"].to_numpy()
    np.testing.assert_array_equal(x[:, columns], dense[rows])


def test_workers_wait_for_what_runs() -> None:
    """After an error nothing is left running, and nothing more is begun."""
    begun: list[int] = []
    release = threading.Event()

    def work(i: int) -> None:
        begun.append(i)
        if i == 0:
            message = "broken"
            raise ValueError(message)
        release.wait(0.2)
        begun.append(-i)

    with workers.Workers() as pool:
        with pytest.raises(ValueError, match="broken"):
            pool.run(work, ((i,) for i in range(1_000)))
        assert len(begun) < 20
        assert sorted(-i for i in begun if i < 0) == sorted(i for i in begun if i > 0)


def test_pieces_cover_every_line() -> None:
    """Pieces follow each other; those of a chunked dense matrix end where chunks end."""
    for step, limit in ((1, 50), (4, 50), (4, 500), (7, 10)):
        bounds = np.arange(31, dtype=np.int64) * 20
        shape = 30, 20
        m = matrix.SourceMatrix(
            shape, np.dtype("f4"), "dense", 600, lambda *_: None, bounds, None, step
        )
        ranges = list(m.pieces(limit))
        assert [a for a, _ in ranges] == [0, *(b for _, b in ranges[:-1])]
        assert ranges[-1][1] == 30
        assert all(a < b for a, b in ranges)
        if limit >= 20 * step:
            assert all(b % step == 0 for _, b in ranges[:-1])


def test_reading_from_several_threads(tmp_path: Path) -> None:
    """Chunks that are taken as they are, and reads by h5py, do not get into each other's way."""
    values = np.random.default_rng(0).integers(0, 9, 400_000).astype(np.int32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=values, chunks=(500,), compression="lzf", shuffle=True)
        file.create_dataset("y", data=values, chunks=(500,), compression="gzip", fletcher32=True)
    with h5py.File(tmp_path / "a.h5") as file, workers.Workers() as pool:
        chunked = chunked_elements(file["x"])
        assert chunked is not None

        def read(start: int) -> None:
            out = np.empty(50_000, np.int32)
            chunked.read(start, start + len(out), out, pool.scratch)
            np.testing.assert_array_equal(out, values[start : start + len(out)])
            np.testing.assert_array_equal(file["y"][start : start + len(out)], out)

        pool.run(read, ((start,) for start in [*range(0, 350_000, 35_000)] * 4))
