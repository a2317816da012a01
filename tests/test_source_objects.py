"""AnnData objects of every kind as sources, and what looks like a source and is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import dao
from dao.errors import ArgumentError, DaoError, SourceError

if TYPE_CHECKING:
    from pathlib import Path

Write = Any
Make = Any


def in_source_order(store: dao.Store, genes: Any) -> ad.AnnData:
    """Return the only dataset of a store with the rows and genes of its source."""
    adata = store.to_anndata()
    return adata[np.argsort(adata.obs["_source_row"].to_numpy()), list(genes)].copy()


def dense(matrix: Any) -> np.ndarray[Any, Any]:
    """Return any matrix as an array."""
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


def test_what_a_backed_object_says_wins(tmp_path: Path, write: Write, make_study: Make) -> None:
    """Its obs, names, uns and obsm are those in memory; only X comes from the file."""
    study = make_study()
    study.write_h5ad(tmp_path / "b.h5ad")
    backed = ad.read_h5ad(tmp_path / "b.h5ad", backed="r")
    backed.obs["score"] = np.arange(50.0)
    backed.obs["new"] = pd.Categorical(["x", "y"] * 25)
    backed.var_names = [f"H{i}" for i in range(40)]
    backed.uns["title"] = "changed"
    backed.obsm["place"] = np.arange(100.0).reshape(50, 2)
    backed.layers["doubled"] = study.X * 7
    store = write({"b": backed}, layers=["doubled"], obsm=["place"])
    got = in_source_order(store, backed.var_names)
    np.testing.assert_array_equal(dense(got.X), dense(study.X))
    np.testing.assert_array_equal(dense(got.layers["doubled"]), 7 * dense(study.X))
    np.testing.assert_array_equal(got.obsm["place"], backed.obsm["place"])
    assert got.obs["score"].tolist() == list(range(50))
    assert got.obs["new"].tolist() == ["x", "y"] * 25
    assert store.uns == {"b": {"title": "changed"}}


@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_views_of_backed_objects(tmp_path: Path, write: Write, make_study: Make, form: str) -> None:
    """A view has the rows and columns that it shows, whatever the file holds."""
    study = make_study()
    whole = dense(study.X)
    convert: Any = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": np.asarray}[form]
    study.X = convert(whole)
    study.raw = ad.AnnData(convert(whole[:, ::-1] * 2), study.obs, study.var)
    study.write_h5ad(tmp_path / "b.h5ad")
    backed = ad.read_h5ad(tmp_path / "b.h5ad", backed="r")
    backed.obs["mine"] = np.arange(50)
    mask = np.arange(50) % 3 == 0
    for number, view in enumerate((backed[mask], backed[5:20, ["G9", "G2"]], backed[[7, 3]])):
        got = in_source_order(write(view, name=f"{number}.dao"), view.var_names)
        np.testing.assert_array_equal(dense(got.X), dense(view.to_memory().X))
        assert got.obs["mine"].tolist() == view.obs["mine"].tolist()
    raw = in_source_order(write(backed[mask], name="r.dao", layer="raw"), study.var_names)
    np.testing.assert_array_equal(dense(raw.X), 2 * whole[mask, ::-1])


def test_files_behind_backed_objects(tmp_path: Path, write: Write, make_study: Make) -> None:
    """A closed file is opened for the write and closed again, a moved one is followed."""
    study = make_study()
    study.write_h5ad(tmp_path / "b.h5ad")
    backed = ad.read_h5ad(tmp_path / "b.h5ad", backed="r")
    backed.file.close()
    got = in_source_order(write(backed, name="closed.dao"), study.var_names)
    np.testing.assert_array_equal(dense(got.X), dense(study.X))
    assert not backed.file.is_open
    moved = ad.read_h5ad(tmp_path / "b.h5ad", backed="r+")
    moved.filename = tmp_path / "moved.h5ad"
    assert not (tmp_path / "b.h5ad").exists()
    got = in_source_order(write(moved, name="moved.dao"), study.var_names)
    np.testing.assert_array_equal(dense(got.X), dense(study.X))
    moved.file.close()
    (tmp_path / "moved.h5ad").unlink()
    with pytest.raises(SourceError, match=r"moved\.h5ad"):
        write(moved, name="gone.dao")


@pytest.mark.parametrize(
    "form", [np.asarray, sp.csr_matrix, sp.csc_matrix, sp.csr_array], ids=lambda f: f.__name__
)
def test_dask_arrays_are_read_in_pieces(write: Write, make_study: Make, form: Any) -> None:
    """X, layers and obsm of dask arrays are computed block by block, and have their values."""
    da = pytest.importorskip("dask.array")
    study = make_study(n_obs=203)
    whole = dense(study.X)
    asked: list[int] = []

    def block(part: Any) -> Any:
        asked.append(len(part))
        return form(part)

    meta = form(np.zeros((0, 0), np.float32))
    lazy = da.from_array(whole, chunks=(20, 40)).map_blocks(block, dtype=np.float32, meta=meta)
    study.X, study.layers["doubled"], study.obsm["X_pca"] = lazy, lazy, lazy
    got = in_source_order(write(study, layers=["doubled"], obsm=["X_pca"]), study.var_names)
    for matrix in (got.X, got.layers["doubled"], got.obsm["X_pca"]):
        np.testing.assert_array_equal(dense(matrix), whole)
    assert max(asked) <= 20


def test_dask_arrays_of_unknown_shape_are_refused() -> None:
    """What has no shape yet is told how to get one."""
    da = pytest.importorskip("dask.array")
    from dao.write.lazy import dask_matrix

    rows = da.from_array(np.eye(9), chunks=(3, 9))
    with pytest.raises(SourceError, match="compute_chunk_sizes"):
        dask_matrix(rows[rows[:, 0] >= 0], "X")


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_objects_that_are_read_lazily(
    tmp_path: Path, write: Write, make_study: Make, suffix: str
) -> None:
    """What `anndata.experimental.read_lazy` returns, and views of it, as if it were in memory."""
    pytest.importorskip("xarray")
    study = make_study()
    study.obsm["X_pca"] = study.obsm["X_pca"].astype(np.float64)
    path = tmp_path / f"s.{suffix}"
    getattr(study, {"h5ad": "write_h5ad", "zarr": "write_zarr"}[suffix])(path)
    file: Any = h5py.File(path) if suffix == "h5ad" else path
    lazy = ad.experimental.read_lazy(file)
    store = write({"s": lazy}, layers=["doubled"], obsm=["X_pca"])
    got = in_source_order(store, study.var_names)
    np.testing.assert_array_equal(dense(got.X), dense(study.X))
    np.testing.assert_array_equal(dense(got.layers["doubled"]), dense(study.layers["doubled"]))
    np.testing.assert_array_equal(got.obsm["X_pca"], study.obsm["X_pca"])
    for column in study.obs:
        assert got.obs[column].tolist() == study.obs[column].tolist() or column in {
            "score",
            "batch",
        }
    np.testing.assert_array_equal(got.obs["score"].to_numpy(float), study.obs["score"])
    assert store.uns == {"s": {"title": "study 0"}}
    part = in_source_order(write(lazy[5:20], name="view.dao"), study.var_names)
    np.testing.assert_array_equal(dense(part.X), dense(study.X)[5:20])


@pytest.mark.parametrize("place", ["memory", "h5ad", "zarr"])
def test_a_layer_called_raw(tmp_path: Path, write: Write, make_study: Make, place: str) -> None:
    """Beside a raw it has to be said which is meant; alone it is the layer."""
    study = make_study()
    study.layers["raw"] = study.X * 3
    alone = study.copy()
    study.raw = ad.AnnData(study.X * 5, study.obs, study.var)
    sources: dict[str, Any] = {"both": study, "alone": alone}
    if place != "memory":
        for name, adata in sources.items():
            sources[name] = tmp_path / f"{name}.{place}"
            getattr(adata, f"write_{place}")(sources[name])
    with pytest.raises(ArgumentError, match="layers/raw"):
        write(sources["both"], layer="raw")
    for name, layer, factor in (
        ("both", "layers/raw", 3),
        ("both", "raw/X", 5),
        ("both", "layers/doubled", 2),
        ("alone", "raw", 3),
        ("alone", "layers/raw", 3),
    ):
        store = write(sources[name], name=f"{name}{factor}.dao", layer=layer, mode="overwrite")
        got = in_source_order(store, study.var_names)
        np.testing.assert_array_equal(dense(got.X), factor * dense(study.X))
    with pytest.raises(DaoError, match="has no raw"):
        write(make_study(), layer="raw")


@pytest.mark.parametrize("place", ["memory", "h5ad", "zarr", "backed"])
def test_no_x(tmp_path: Path, write: Write, make_study: Make, place: str) -> None:
    """Without X the layers are named, and one of them can be X."""
    study = make_study()
    counts = dense(study.X)
    study.X = None
    bare = make_study()
    bare.X = None
    del bare.layers["doubled"]
    sources: list[Any] = [study, bare]
    if place != "memory":
        paths = [tmp_path / f"{i}.{place}" for i in range(2)]
        for adata, path in zip(sources, paths, strict=True):
            (adata.write_zarr if place == "zarr" else adata.write_h5ad)(path)
        sources = [ad.read_h5ad(p, backed="r") if place == "backed" else p for p in paths]
    with pytest.raises(SourceError, match=r"has no X\. Pass layer=.*'doubled'"):
        write(sources[0])
    with pytest.raises(SourceError, match="nothing to write"):
        write(sources[1])
    got = in_source_order(write(sources[0], layer="doubled"), study.var_names)
    np.testing.assert_array_equal(dense(got.X), 2 * counts)


@pytest.mark.filterwarnings("ignore:the matrix subclass", "ignore:Layer 'x' should not")
def test_arrays_of_unusual_kinds(write: Write, make_study: Make) -> None:
    """Values are right, or the error says what to do with them."""
    study = make_study()
    counts = dense(study.X)
    good: dict[str, Any] = {
        "matrix": np.matrix(counts),
        "unmasked": np.ma.array(counts),
        "half": counts.astype(np.float16),
        "big-endian": counts.astype(">f8"),
        "columns": np.asfortranarray(counts),
        "flags": counts > 0,
        "array": sp.csr_array(counts),
        "array by columns": sp.csc_array(counts),
        "int64": sp.csr_matrix(counts.astype(np.int64)),
    }
    for name, matrix in good.items():
        study.layers["x"] = matrix
        got = in_source_order(write(study, layer="x", mode="overwrite"), study.var_names).X
        np.testing.assert_array_equal(dense(got), dense(matrix), name)
    bad: dict[str, tuple[Any, str]] = {
        "masked": (np.ma.masked_equal(counts, 0), "filled"),
        "complex": (counts.astype(complex), "complex128.*real"),
        "objects": (counts.astype(object), "object.*astype"),
        "long": (counts.astype(np.longdouble), "astype"),
        "text": (counts.astype(str), "Convert"),
    }
    for name, (matrix, words) in bad.items():
        study.layers["x"] = matrix
        with pytest.raises(SourceError, match=words):
            write(study, layer="x", name=f"{name}.dao")


def test_sparse_formats_in_memory() -> None:
    """A format that is neither CSR nor CSC is brought to rows; repeated entries are added up."""
    from dao.write.matrix import memory_matrix
    from dao.write.workers import Scratch

    random = sp.random(30, 20, 0.3, "csr", rng=np.random.default_rng(0))
    forms = [random.asformat(f) for f in ("coo", "lil", "dok", "bsr", "dia")]
    twice = sp.coo_matrix(([1.0, 2.0, 4.0], ([0, 0, 3], [5, 5, 2])), shape=(30, 20))
    for matrix in (*forms, twice, sp.coo_array(random)):
        rows = memory_matrix(matrix, "X").read(0, 30, Scratch())
        np.testing.assert_array_equal(rows.to_scipy(20).toarray(), matrix.toarray())


def test_what_is_not_a_source_is_told_what_to_pass(
    tmp_path: Path, write: Write, make_study: Make
) -> None:
    """Tables, arrays, collections, functions: each with the call that makes a source of it."""
    study = make_study()
    study.raw = study.copy()
    study.obs_names_make_unique()
    collection = ad.experimental.AnnCollection({"a": study, "b": make_study(1)})
    for value, words in (
        (study.to_df(), r"anndata\.AnnData\(table\)"),
        (study.obs["cell_type"], "AnnData"),
        (dense(study.X), "AnnData"),
        (study.X, "AnnData"),
        (study.raw, "layer='raw'"),
        (collection, r"collection\.adatas"),
        (collection[:5], r"to_adata\(\)"),
        (ad.read_h5ad, "call it"),
        (3, "Pass a path"),
        (None, "Pass a path"),
    ):
        for given in (value, [value], {"a": value}, dao.Source(value, id="a")):
            with pytest.raises(SourceError, match=words):
                write(given)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["layers/x"] = [1]
        for name in ("row_attrs", "col_attrs"):
            file.create_group(name)
        with pytest.raises(SourceError, match="path of the file"):
            write(file)
    with pytest.raises(SourceError, match="read_loom"):
        write(tmp_path / "x.h5")


@pytest.mark.filterwarnings("ignore:From 0.4")
def test_multimodal_data_is_told_to_name_one(
    tmp_path: Path, write: Write, make_study: Make
) -> None:
    """MuData, in memory and in a file."""
    mudata = pytest.importorskip("mudata")
    both = mudata.MuData(
        {"rna": make_study(), "prot": make_study(genes=[f"P{i}" for i in range(40)])}
    )
    both.write(tmp_path / "m.h5mu")
    for given in (both, {"a": both}, dao.Source(both)):
        with pytest.raises(SourceError, match=r"mdata\['rna'\]"):
            write(given)
    with pytest.raises(SourceError, match=r"'prot', 'rna'.*mudata"):
        write(tmp_path / "m.h5mu")
    assert write({"rna": both["rna"]}).n_obs == 50


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("form", ["csr", "dense", "wide"])
def test_missing_chunks_of_zarr_are_damage(
    tmp_path: Path, write: Write, make_study: Make, version: int, form: str
) -> None:
    """A file that is missing would be read as zeros, of X and of layers."""
    import zarr

    study = make_study(n_obs=90)
    study.X = study.X.toarray() if form == "dense" else study.X
    study.layers["doubled"] = study.X * 2
    path = tmp_path / "s.zarr"
    group = zarr.open_group(str(path), mode="w", zarr_format=version)
    chunks = {"csr": (100,), "dense": (30, 20), "wide": (1 << 20,)}[form]
    for name in ("obs", "var"):
        ad.io.write_elem(group, name, getattr(study, name))
    ad.io.write_elem(
        group, "X", study.X, dataset_kwargs={"chunks": chunks} if form != "wide" else {}
    )
    ad.io.write_elem(group, "layers", {"doubled": study.layers["doubled"]})
    got = in_source_order(write({"s": path}, name="whole.dao"), study.var_names)
    np.testing.assert_array_equal(dense(got.X), dense(study.X))
    files = sorted(
        p for p in (path / "X").rglob("*") if p.is_file() and not p.name.startswith((".z", "zarr."))
    )
    assert len(files) > 1  # zarr 3.4 puts chunks into shards
    for file in files:
        content = file.read_bytes()
        file.unlink()
        with pytest.raises(SourceError, match=r"is missing, and would be read as zeros"):
            write({"s": path})
        file.write_bytes(content)


def test_chunks_that_writers_leave_out(tmp_path: Path, write: Write) -> None:
    """No entries at all, or only in the first column of a few cells, is not damage."""
    for name, x in (
        ("empty", sp.csr_matrix((4, 3), dtype=np.float32)),
        ("first", sp.csr_matrix(np.array([[2, 0], [0, 0], [5, 0]], np.float32))),
        ("single", sp.csr_matrix(np.array([[2], [3]], np.float32))),
    ):
        study = ad.AnnData(x, obs=pd.DataFrame(index=[f"c{i}" for i in range(x.shape[0])]))
        study.write_zarr(tmp_path / f"{name}.zarr")
        got = in_source_order(write(tmp_path / f"{name}.zarr", name=f"{name}.dao"), study.var_names)
        np.testing.assert_array_equal(dense(got.X), x.toarray())


@pytest.mark.filterwarnings("ignore:Observation names")
def test_sources_without_cells_or_with_equal_names(write: Write, make_study: Make) -> None:
    """No cells are no error; names that repeat are kept, and genes that repeat are summed."""
    study = make_study()
    assert write({"none": study[:0].copy(), "some": study}, name="none.dao").n_obs == 50
    study.obs_names = ["cell"] * 50
    study.var_names = [f"G{i // 2}" for i in range(40)]
    got = in_source_order(write(study), [f"G{i}" for i in range(20)])
    np.testing.assert_array_equal(dense(got.X), dense(study.X)[:, ::2] + dense(study.X)[:, 1::2])
    assert set(got.obs_names) == {"cell"}
    with pytest.raises(DaoError, match="No feature"):
        write(study[:, :0].copy(), name="empty.dao")


def test_lists_of_mixed_kinds(tmp_path: Path, write: Write, make_study: Make) -> None:
    """Files, objects, stores and sources in one list."""
    make_study(1).write_h5ad(tmp_path / "a.h5ad")
    make_study(2).write_zarr(tmp_path / "b.zarr")
    first = write({"c": make_study(3)}, name="c.dao")
    given = [tmp_path / "a.h5ad", str(tmp_path / "b.zarr"), first, make_study(4)]
    store = write([*given, dao.Source(tmp_path / "a.h5ad", id="again")])
    assert store.datasets == ["a", "b", "c", "dataset_3", "again"]
    assert store.n_obs == 250
