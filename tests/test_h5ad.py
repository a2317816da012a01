"""Backend h5ad: the same cells, genes and stream as a store that was written of the files."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import dao
from dao.errors import (
    ArgumentError,
    CorruptStoreError,
    DatasetIdError,
    SourceError,
    StoreChangedError,
    StoreNotFoundError,
    UnknownDatasetError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GENES = [f"ENSG{i:011d}" for i in range(40)]


@pytest.fixture
def studies(make_study: Callable[..., ad.AnnData]) -> dict[str, ad.AnnData]:
    """Three studies: other genes in other orders, repeated ones, CSC, dense, integers."""
    blood = make_study(1, 60, genes=GENES)
    gut = make_study(
        2, 70, genes=[f"{g}.{i % 3}" for i, g in enumerate([*GENES[30:], *GENES[:30]])]
    )
    gut.var_names = [*gut.var_names[:-1], gut.var_names[0][:-1] + "7"]  # a gene of two versions
    gut.X = gut.X.tocsc()
    skin = make_study(3, 50, genes=[*GENES[5:], *(f"NEW{i}" for i in range(5))])
    skin.X = skin.X.toarray().astype(np.int64)
    return {"blood": blood, "gut": gut, "skin": skin}


@pytest.fixture(params=[None, "gzip", "lzf"])
def folder(studies: dict[str, ad.AnnData], tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder of these studies as files."""
    place = tmp_path / "files"
    place.mkdir()
    for name, study in studies.items():
        study.write_h5ad(place / f"{name}.h5ad", compression=request.param)
    return place


@pytest.fixture
def plain(studies: dict[str, ad.AnnData], tmp_path: Path) -> Path:
    """The same without compression, for tests of other things."""
    place = tmp_path / "plain"
    place.mkdir()
    for name, study in studies.items():
        study.write_h5ad(place / f"{name}.h5ad")
    return place


def same_stream(one: dao.Store, other: dao.Store, **arguments: Any) -> None:
    """Compare two streams, batch by batch and array by array."""
    batches = zip(one.generator(**arguments), other.generator(**arguments), strict=True)
    for mine, theirs in batches:
        np.testing.assert_array_equal(mine["index"], theirs["index"])
        pd.testing.assert_frame_equal(mine["obs"], theirs["obs"])
        pairs = [(mine["X"], theirs["X"])]
        for kind in ("layers", "obsm"):
            pairs += [(mine[kind][k], theirs[kind][k]) for k in theirs.get(kind, {})]
        for a, b in pairs:
            assert a.dtype == b.dtype
            assert type(a) is type(b)
            dense = (m.toarray() if sp.issparse(m) else m for m in (a, b))
            np.testing.assert_array_equal(*dense)


def test_it_is_the_store_that_would_be_written(
    folder: Path,
    studies: dict[str, ad.AnnData],
    write: Callable[..., dao.Store],
    assert_holds: Callable[..., None],
) -> None:
    """Cells, genes, obs, uns and streams equal those of a store written without shuffling."""
    options: dict[str, Any] = {"layers": ["doubled"], "obsm": ["X_pca"]}
    store = dao.load_store(folder, backend="h5ad", **options)
    written = write(sorted(folder.iterdir()), shuffle=False, **options)
    assert store.datasets == written.datasets == ["blood", "gut", "skin"]
    assert store.var_names.equals(written.var_names)
    pd.testing.assert_frame_equal(store.var, written.var)
    pd.testing.assert_frame_equal(store.obs, written.obs)
    pd.testing.assert_frame_equal(store.measured(), written.measured())
    pd.testing.assert_frame_equal(store.matching(), written.matching())
    assert store.uns == written.uns
    assert_holds(store, studies)
    for arguments in (
        {"obs_keys": ["cell_type", "n_genes", "dataset"], "layers": ["doubled"], "obsm": ["X_pca"]},
        {"sampler": "random", "x_format": "dense", "var_names": GENES[10:3:-1]},
        {"sampler": "sequential", "dtype": "float64"},
    ):
        same_stream(store, written, batch_size=17, seed=4, **arguments)


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_choosing_works(plain: Path, write: Callable[..., dao.Store]) -> None:
    """Filters, features, splits, sets and positions give what a written store gives."""
    store = dao.load_store(plain, backend="h5ad")
    written = write(sorted(plain.iterdir()), shuffle=False)
    rows = [3, 100, 3, 77]

    def choices(s: dao.Store) -> list[dao.Store]:
        part = s.subset("n_counts > 1000 and cell_type in ('B', 'NK')")
        return [
            part.select_features(GENES[:7]),
            s.split({"a": 0.5, "b": 0.5}, stratify_by="cell_type", seed=2)["b"],
            ~part | part.subset(dataset="gut"),
            s.take(rows),
            s.sample(9, seed=1),
        ]

    for mine, theirs in zip(choices(store), choices(written), strict=True):
        assert mine.n_obs
        pd.testing.assert_frame_equal(mine.obs, theirs.obs)
        same_stream(mine, theirs, batch_size=10, seed=1)
        one, other = mine.to_anndata(), theirs.to_anndata()
        np.testing.assert_array_equal(one.X.toarray(), other.X.toarray())


def test_files_are_known_for_what_they_are(plain: Path, tmp_path: Path, write: Any) -> None:
    """Without a backend, files open by the one for them, and explain says so; stores do not."""
    one = plain / "gut.h5ad"
    for path in (plain, str(one), f"{plain}/*.h5ad", [one, plain / "skin.h5ad"], {"x": one}):
        store = dao.load_store(path)
        assert store.backend == "h5ad"
        assert "as they are" in store.generator().explain()
    saved = dao.load_store(plain).subset(cell_type="B")
    saved.save_selection(tmp_path / "b.json")
    assert dao.load_selection(tmp_path / "b.json").n_obs == saved.n_obs
    written = write([one])
    shutil.copy(one, written.path)
    again = dao.load_store(written.path)
    assert again.backend == "local"
    assert "local folder" in again.generator().explain()
    asked = dao.load_store(written.path, backend="zarr")
    assert "'zarr': as asked for" in asked.generator().explain()
    assert "in memory" in again.to_memory().generator().explain()
    with pytest.raises(StoreNotFoundError, match=r"Did you mean 'gut.h5ad'"):
        dao.load_store(plain / "gut2.h5ad")


def test_lists_patterns_dicts_and_sources(plain: Path, studies: dict[str, ad.AnnData]) -> None:
    """Files are named by a folder, a pattern, a list or a dict, and sources may say more."""
    everything = dao.load_store(plain, backend="h5ad")
    pattern = dao.load_store(f"{plain}/*.h5ad", backend="h5ad")
    assert pattern.manifest.uuid == everything.manifest.uuid
    assert dao.load_store(str(plain / "gut.h5ad"), backend="h5ad").n_obs == studies["gut"].n_obs
    listed = dao.load_store([plain / "skin.h5ad", str(plain / "gut.h5ad")], backend="h5ad")
    assert listed.datasets == ["skin", "gut"]
    source = dao.Source(
        plain / "gut.h5ad",
        obs={"type": "cell_type"},
        constants={"organ": "gut"},
        subset="type == 'B'",
    )
    named = dao.load_store({"first": source, "second": plain / "blood.h5ad"}, backend="h5ad")
    n_b = int((studies["gut"].obs["cell_type"] == "B").sum())
    assert named.subset(organ="gut").n_obs == n_b == named.subset(dataset="first").n_obs
    chosen = named.subset(organ="gut").to_anndata()
    wanted = studies["gut"][(studies["gut"].obs["cell_type"] == "B").to_numpy()]
    assert list(chosen.obs_names) == list(wanted.obs_names)
    assert chosen.X.sum() == wanted.X.sum()


def test_organisms_and_wanted_features(plain: Path, make_study: Callable[..., ad.AnnData]) -> None:
    """Each organism has its feature space, and features= means what it means to write_store."""
    mouse = make_study(9, 20, genes=[f"M{i}" for i in range(40)])
    mouse.uns["organism"] = "mouse"
    mouse.write_h5ad(plain / "mouse.h5ad")
    store = dao.load_store(plain, backend="h5ad")
    assert store.organisms == ("unknown", "Mus musculus")
    assert store["mouse"].shape == (20, 40)
    (plain / "mouse.h5ad").unlink()
    inner = dao.load_store(plain, backend="h5ad", organism="human", features="inner")
    assert set(inner.var_names) == set(GENES[5:]) - {GENES[29]}
    listed = dao.load_store(plain, backend="h5ad", features=GENES[7:4:-1])
    assert listed.var_names.tolist() == GENES[7:4:-1]


def test_a_saved_selection_comes_back(plain: Path, tmp_path: Path) -> None:
    """It holds for the same files, and not for files that have changed."""
    store = dao.load_store(plain, backend="h5ad").subset(cell_type="B")
    store.save_selection(tmp_path / "b.json")
    again = dao.load_selection(tmp_path / "b.json", backend="h5ad")
    pd.testing.assert_frame_equal(again.obs, store.obs)
    files = sorted(plain.iterdir())
    dao.load_store(files, backend="h5ad").head(9).save_selection(tmp_path / "some.json")
    assert dao.load_selection(tmp_path / "some.json", files, backend="h5ad").n_obs == 9
    shutil.copy(plain / "gut.h5ad", tmp_path / "new.h5ad")
    (tmp_path / "new.h5ad").replace(plain / "blood.h5ad")
    with pytest.raises(StoreChangedError):
        dao.load_selection(tmp_path / "b.json", backend="h5ad")


def test_integers_are_given_as_floats_only_where_they_fit(tmp_path: Path) -> None:
    """Wide integers are looked at when the file is opened."""
    for name, largest in (("small", 70_000), ("large", 2**24 + 1)):
        x = np.array([[0, 5], [largest, 0]], np.int64)
        ad.AnnData(x, var=pd.DataFrame(index=["a", "b"])).write_h5ad(tmp_path / f"{name}.h5ad")
    small = dao.load_store(tmp_path / "small.h5ad", backend="h5ad")
    batch = next(
        iter(small.generator(2, sampler="sequential", x_format="dense", var_names=["a", "b"]))
    )
    assert batch["X"].tolist() == [[0, 5], [70_000, 0]]
    large = dao.load_store(tmp_path / "large.h5ad", backend="h5ad")
    with pytest.raises(ArgumentError, match="without changing them"):
        large.generator(2)
    assert large.to_anndata().X.max() == 2**24 + 1


def test_columns_need_memory(plain: Path) -> None:
    """A matrix by columns is turned around where it is small, and else refused with advice."""
    with pytest.raises(SourceError, match=r"stored by columns.*write_store"):
        dao.load_store(plain, backend="h5ad", memory="16KiB")


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_scattered_and_repeated_rows(tmp_path: Path) -> None:
    """Rows in any order from all over a file with many chunks equal those of scipy."""
    random = np.random.default_rng(0)
    x = sp.random(20_000, 200, 0.2, "csr", np.float32, rng=random)
    names = [f"g{i}" for i in range(200)]
    ad.AnnData(x, var=pd.DataFrame(index=names)).write_h5ad(tmp_path / "x.h5ad", compression="lzf")
    store = dao.load_store(tmp_path / "x.h5ad", backend="h5ad")
    columns = [names.index(v) for v in store.var_names]
    for rows in (
        random.integers(0, 20_000, 300),
        np.arange(4_000, 12_000),
        np.array([19_999, 0, 0]),
    ):
        found = store.take(rows).to_anndata().X
        assert (found != x[rows][:, columns]).nnz == 0


def test_what_is_not_there(plain: Path, tmp_path: Path) -> None:
    """Missing files, empty folders, stores and unknown names are errors that say what to do."""
    with pytest.raises(StoreNotFoundError, match=r"Did you mean 'gut.h5ad'"):
        dao.load_store(plain / "gut2.h5ad", backend="h5ad")
    with pytest.raises(StoreNotFoundError, match="No file matches"):
        dao.load_store(f"{plain}/*.h5", backend="h5ad")
    (tmp_path / "above" / "below").mkdir(parents=True)
    with pytest.raises(StoreNotFoundError, match=r"holds no .h5ad file"):
        dao.load_store(tmp_path / "above", backend="h5ad")
    shutil.copy(plain / "gut.h5ad", tmp_path / "above" / "below")
    with pytest.raises(StoreNotFoundError, match="further below"):
        dao.load_store(tmp_path / "above", backend="h5ad")
    dao.write_store(tmp_path / "own.dao", plain / "gut.h5ad", progress=False)
    with pytest.raises(StoreNotFoundError, match="is a dao store"):
        dao.load_store(tmp_path / "own.dao", backend="h5ad")
    (plain / "text.h5ad").write_text("no HDF5")
    with pytest.raises(SourceError, match="is not an HDF5 file"):
        dao.load_store(plain, backend="h5ad")
    (plain / "text.h5ad").unlink()
    with pytest.raises(UnknownDatasetError, match="has no layer 'double'"):
        dao.load_store(plain / "gut.h5ad", backend="h5ad", layers=["double"])
    with pytest.raises(ArgumentError, match="no option 'layer_s'"):
        dao.load_store(plain, backend="h5ad", layer_s=["doubled"])
    with pytest.raises(SourceError, match="cannot be opened"):
        dao.load_store([plain / "none.h5ad"], backend="h5ad")


def test_two_files_of_one_name(plain: Path, tmp_path: Path) -> None:
    """They cannot share an id; a dict names them."""
    (tmp_path / "other").mkdir()
    shutil.copy(plain / "gut.h5ad", tmp_path / "other")
    with pytest.raises(DatasetIdError, match=r"'gut'.*load_store\({'first'"):
        dao.load_store(f"{tmp_path}/*/gut.h5ad", backend="h5ad")
    both = {"a": plain / "gut.h5ad", "b": tmp_path / "other" / "gut.h5ad"}
    assert dao.load_store(both, backend="h5ad").datasets == ["a", "b"]


def test_a_file_that_changes_underneath(plain: Path) -> None:
    """Rows are of the file that was opened, or of none."""
    store = dao.load_store(plain, backend="h5ad")
    store.to_anndata()
    shutil.copy(plain / "gut.h5ad", plain / "blood.h5ad")
    with pytest.raises(StoreChangedError, match=r"blood.h5ad has changed"):
        store.to_anndata()
    assert store.subset(dataset="gut").to_anndata().n_obs == 70
    (plain / "gut.h5ad").unlink()
    with pytest.raises(CorruptStoreError, match=r"gut.h5ad"):
        store.subset(dataset="gut").to_anndata()


def test_what_needs_a_store_of_its_own(plain: Path, write: Callable[..., dao.Store]) -> None:
    """Nothing is written beside the files, and what cannot be done says what can."""
    store = dao.load_store(plain, backend="h5ad")
    before = sorted(plain.iterdir())
    with pytest.raises(ArgumentError, match=r"validate .*write_store"):
        store.validate()
    with pytest.raises(ArgumentError, match=r"add_ontology .*write_store"):
        store.add_ontology("cell_type", "cl.obo")
    with pytest.raises(ArgumentError, match=r"remove .*write_store"):
        store.remove("gut")
    assert store.history.empty
    assert sorted(plain.iterdir()) == before
    with pytest.raises(ArgumentError, match="is in memory"):
        dao.load_store([ad.AnnData(np.ones((2, 2)))], backend="h5ad")
    with pytest.raises(ArgumentError, match="backend='h5ad'"):
        dao.load_store([plain / "gut.h5ad"], backend="zarr")


@pytest.mark.filterwarnings("ignore::anndata.OldFormatWarning")
def test_real_files(shared_data: Path, tmp_path: Path) -> None:
    """Studies of other makers stream as from a written store."""
    store = dao.load_store(shared_data, backend="h5ad", organism="human")
    files = {p.stem: p for p in sorted(shared_data.glob("*.h5ad"))}
    written = dao.write_store(
        tmp_path / "w.dao", files, organism="human", shuffle=False, progress=False
    )
    same_stream(store, written, batch_size=100, obs_keys=["dataset", "n_counts"])
