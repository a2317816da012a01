"""Paths of every kind mean the same file here as for the operating system, wherever they are passed."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import dao
from dao import errors
from dao.paths import local_path, location, matches
from dao.write.store import plan_store

if TYPE_CHECKING:
    from collections.abc import Callable

STRANGE = "a#b?c%41*[x] ü:"


@pytest.fixture(scope="module")
def study() -> ad.AnnData:
    """A small study of counts."""
    random = np.random.default_rng(0)
    counts = sp.csr_matrix(random.poisson(0.4, (12, 8)).astype(np.float32))
    obs = pd.DataFrame({"kind": list("abcabcabcabc")}, index=[f"c{i}" for i in range(12)])
    return ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(8)]))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, and next to it an empty folder that is the current one."""
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


def same_cells(store: dao.Store, study: ad.AnnData) -> bool:
    """Whether a store holds the values of a study, whatever the order of its genes."""
    read = store.to_anndata()[list(study.obs_names), list(study.var_names)]
    return bool((sp.csr_matrix(read.X) != sp.csr_matrix(study.X)).nnz == 0)


def written(path: Any, study: ad.AnnData, **options: Any) -> dao.Store:
    """Write one study into a store."""
    return dao.write_store(path, {"s": study}, progress=False, **options)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("~/x", "home/x"),
        ("~", "home"),
        ("./~/x", "work/~/x"),
        ("x", "work/x"),
        (b"x/", "work/x"),
        (".", "work"),
        ("x/../y", "work/y"),
        ("../home/./x/", "home/x"),
        (PurePosixPath("x"), "work/x"),
        (Path("~/x"), "home/x"),
        (STRANGE, f"work/{STRANGE}"),
    ],
)
def test_a_path_is_made_absolute(home: Path, given: Any, wanted: str) -> None:
    """As a shell would, and without a change of what the name holds."""
    assert local_path(given) == home.parent / wanted
    assert location(given) == home.parent / wanted


def test_a_file_url_is_a_path(home: Path) -> None:
    """Percent signs in it are read, as `pathlib.Path.as_uri` writes them."""
    path = home / STRANGE
    assert local_path(path.as_uri()) == path
    assert local_path(f"file://localhost{home}/x") == home / "x"


def test_dots_after_a_link_lead_to_where_its_target_lies(home: Path) -> None:
    """As for the operating system: ``link/..`` is not the folder of the link."""
    (home / "deep" / "er").mkdir(parents=True)
    Path("link").symlink_to(home / "deep" / "er")
    assert local_path("link/../x") == home / "deep" / "x"
    assert local_path("link/x") == Path.cwd() / "link" / "x"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "is empty"),
        ("a\0b", "NUL"),
        ("x" * 300, "255"),
        ("x/" * 2500, "4,096"),
        (b"\xff.dao", "UTF-8"),
        ("~nobody-of-this-name/x", "no user"),
        ("file://server/x", "'server'"),
        ("file:///a%00b", "NUL"),
        (Path("s3://bucket/x"), "'s3://bucket/x'"),
        ("https:/host/x", "'https://host/x'"),
    ],
)
@pytest.mark.usefixtures("home")
def test_what_is_no_path_is_refused_everywhere(
    given: Any, words: str, study: ad.AnnData, tmp_path: Path
) -> None:
    """By every function that takes one, in words, before anything is written."""
    before = sorted(Path().rglob("*"))
    store = written(tmp_path / "s.dao", study)
    calls: list[Callable[[], Any]] = [
        lambda: dao.load_store(given),
        lambda: written(given, study),
        lambda: dao.Source(given),
        lambda: dao.write_store("x.dao", [given]),
        lambda: dao.write_store("x.dao", {"a": study}, features=dao.Features(given)),
        lambda: dao.validate_store(given),
        lambda: dao.load_selection(given),
        lambda: store.save_selection(given),
        lambda: store.report(given),
        lambda: store.add_ontology("kind", given),
        lambda: dao.read_recipe(given),
    ]
    for call in calls:
        with pytest.raises(errors.ArgumentError, match=words):
            call()
    assert sorted(Path().rglob("*")) == before


def test_the_home_folder_is_never_written_by_accident(home: Path, study: ad.AnnData) -> None:
    """``~`` is the home folder for all of a store, not only for one library."""
    store = written("~/atlas.dao", study)
    assert store.path == str(home / "atlas.dao")
    assert not list(Path().iterdir())
    assert same_cells(dao.load_store("~/atlas.dao"), study)
    assert dao.validate_store("~/atlas.dao", progress=False).ok
    with pytest.raises(errors.StoreExistsError):
        written("~/atlas.dao", study)
    assert same_cells(dao.load_store(home / "atlas.dao"), study)


@pytest.mark.parametrize("name", ["rel.dao", "rel.dao/", "./x/../rel.dao", b"rel.dao"])
@pytest.mark.parametrize("backend", ["local", "zarr", "zarrs", "memory"])
@pytest.mark.usefixtures("home")
def test_a_store_stays_open_after_a_change_of_folder(
    name: Any, backend: str, study: ad.AnnData, tmp_path: Path
) -> None:
    """Also what was made of it before, and what is made of it afterwards."""
    written(name, study)
    store = dao.load_store(name, backend)
    generator = store.generator(batch_size=5, obs_keys=["kind"])
    store.save_selection("chosen.json")
    there = Path("chosen.json").absolute()
    os.chdir(tmp_path)
    assert same_cells(store, study)
    assert sum(len(batch["index"]) for batch in generator) == 12
    assert same_cells(dao.load_selection(there), study)
    assert same_cells(pickle.loads(pickle.dumps(store)), study)
    assert store.history["kept"].all()


@pytest.mark.usefixtures("home")
def test_a_pickled_store_opens_in_another_folder(study: ad.AnnData, tmp_path: Path) -> None:
    """As in the processes that a DataLoader starts."""
    store = written("rel.dao", study)
    file = tmp_path / "store.pickle"
    file.write_bytes(pickle.dumps(store))
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).to_anndata().X.sum())"
    result = subprocess.run(
        [sys.executable, "-c", code, str(file)],
        cwd="/", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert float(result.stdout) == float(study.X.sum())


@pytest.mark.parametrize("name", [STRANGE, "a::b", "x=1", "-x"])
@pytest.mark.usefixtures("home")
def test_no_library_interprets_a_name(name: str, study: ad.AnnData) -> None:
    """Names that zarr, pyarrow, pandas and h5py would take for URLs, patterns or options."""
    folder = Path(name)
    folder.mkdir()
    study.write_h5ad(folder / "s.h5ad")
    study.write_zarr("s.zarr")
    zarr = Path("s.zarr").rename(folder / f"{name}.zarr")
    table = pd.DataFrame({"feature_id": study.var_names})
    with (folder / "genes.parquet").open("wb") as file:
        table.to_parquet(file)
    store = folder / f"{name}.dao"
    dao.write_store(
        store,
        {"a": folder / "s.h5ad", "b": str(zarr)},
        features=str(folder / "genes.parquet"),
        progress=False,
    )
    for backend in ("local", "zarr", "zarrs", "memory"):
        opened = dao.load_store(str(store), backend)
        assert opened.n_vars == 8
        for dataset in ("a", "b"):
            assert same_cells(opened.subset(dataset=dataset), study)
    assert same_cells(dao.load_store(folder / "s.h5ad"), study)
    assert same_cells(dao.load_store([folder / "s.h5ad"]), study)
    assert dao.validate_store(store, progress=False).ok


@pytest.mark.usefixtures("home")
def test_a_store_behind_a_link(study: ad.AnnData) -> None:
    """It is read, appended to and selected by the name of the link."""
    written("v1.dao", study)
    Path("current.dao").symlink_to("v1.dao")
    store = dao.load_store("current.dao")
    assert Path(store.path).name == "current.dao"
    other = study.copy()
    other.obs_names = [f"d{i}" for i in range(12)]
    grown = dao.write_store("current.dao", {"t": other}, mode="append", progress=False)
    assert grown.n_obs == 24
    assert dao.load_store("v1.dao").n_obs == 24
    assert dao.validate_store("current.dao", progress=False).ok
    Path("gone.dao").symlink_to("nothing")
    with pytest.raises(errors.StoreExistsError, match="link to nothing"):
        written("gone.dao", study)


@pytest.mark.usefixtures("home")
def test_sources_and_recipes_are_found_from_anywhere(study: ad.AnnData, tmp_path: Path) -> None:
    """A source and a recipe remember where their files are."""
    study.write_h5ad("s.h5ad")
    Path("~tilde").mkdir()
    Path("atlas.toml").write_text('store = "~/r.dao"\n[[source]]\npath = "s.h5ad"\n')
    source, recipe = dao.Source("s.h5ad", id="s"), dao.read_recipe("atlas.toml")
    os.chdir(tmp_path)
    assert same_cells(dao.write_store("x.dao", source, progress=False), study)
    assert recipe.store == Path.home() / "r.dao"
    assert same_cells(dao.write_store(recipe.store, recipe.sources, progress=False), study)


# --- patterns and folders ----------------------------------------------------------------------


@pytest.fixture
def files(home: Path, study: ad.AnnData) -> Path:
    """A folder with three .h5ad files, one of which has a pattern as its name."""
    folder = home.parent / "work" / "data"
    folder.mkdir()
    for name in ("b", "a", "x[ab]*"):
        study.write_h5ad(folder / f"{name}.h5ad")
    return folder


def datasets(sources: Any) -> list[str]:
    """Return the ids of the datasets that sources become, without writing them."""
    return [s.id for s in plan_store("none.dao", sources).studies]


@pytest.mark.usefixtures("files")
def test_a_pattern_is_the_files_that_it_matches() -> None:
    """Sorted by name, relative to the current folder, with ``**`` and within lists and dicts."""
    assert datasets("data/[ab].h5ad") == ["a", "b"]
    assert datasets("**/?.h5ad") == ["a", "b"]
    assert datasets(["data/b.h5ad", "data/a*.h5ad"]) == ["b", "a"]
    assert datasets({"one": "data/a*.h5ad"}) == ["one"]
    assert datasets(dao.Source("data/?.h5ad", organism="human")) == ["a", "b"]
    assert dao.load_store("data/[ab].h5ad").datasets == ["a", "b"]
    with pytest.raises(errors.ArgumentError, match="2 files"):
        datasets({"one": "data/?.h5ad"})


def test_a_real_name_wins_over_a_pattern(files: Path) -> None:
    """A file called ``x[ab]*.h5ad`` is that file, and so is a folder on the way."""
    assert matches(files / "x[ab]*.h5ad") is None
    strange = files / "run[1]"
    strange.mkdir()
    (files / "run1").mkdir()
    for folder in ("run[1]", "run1"):
        (files / folder / "s.h5ad").touch()
    assert matches(strange / "*.h5ad") == [strange / "s.h5ad"]


def test_a_pattern_that_matches_nothing_is_refused(files: Path) -> None:
    """With the folder in which it was looked for."""
    with pytest.raises(errors.SourceError, match=rf"'\*\.h5' in {files}"):
        datasets("data/*.h5")
    with pytest.raises(errors.StoreNotFoundError, match=r"\*\.h5ad"):
        dao.load_store("nowhere/*.h5ad")


def test_a_folder_of_files_is_a_list_of_them(files: Path, study: ad.AnnData) -> None:
    """What else may be a study is named in a warning."""
    (files / "x[ab]*.h5ad").rename(files / ".hidden.h5ad")
    assert datasets("data") == ["a", "b"]
    study.write_zarr(files / "c.zarr")
    with pytest.warns(errors.DaoWarning, match=r"c\.zarr"):
        assert datasets("data/") == ["a", "b"]
    with pytest.raises(errors.SourceError, match=r"without \.h5ad files"):
        datasets(files.parent.parent / "home")


def test_a_store_next_to_the_files_that_are_opened_is_named(files: Path, study: ad.AnnData) -> None:
    """The folder of the files was passed; the store may have been meant."""
    (files / "x[ab]*.h5ad").unlink()
    written(files / "atlas.dao", study)
    with pytest.warns(errors.DaoWarning, match=r"atlas\.dao"):
        assert dao.load_store("data").datasets == ["a", "b"]


@pytest.mark.parametrize("inside", ["datasets/s-1", "datasets", "dao.json", "datasets/s-1/X", "no"])
@pytest.mark.usefixtures("home")
def test_a_part_of_a_store_names_the_store(inside: str, study: ad.AnnData) -> None:
    """It is the store that can be opened."""
    written("atlas.dao", study)
    with pytest.raises(errors.StoreNotFoundError, match=r"part of the store .*atlas\.dao"):
        dao.load_store(f"atlas.dao/{inside}")


@pytest.mark.parametrize("url", ["s3://b/x.h5ad", "https://host/x.h5ad?token=1", "gs://b/*.h5ad"])
@pytest.mark.usefixtures("home")
def test_a_url_is_no_source(url: str) -> None:
    """Files are read from local disk; what follows ``?`` may be secret."""
    for given in (url, [url], {"a": url}):
        with pytest.raises(errors.SourceError, match="Copy the file") as caught:
            dao.write_store("x.dao", given)
        assert url.partition("?")[0] in str(caught.value)
        assert "token" not in str(caught.value)


@pytest.mark.parametrize(
    "kind", [tuple, list, np.array, set, iter, lambda x: dict.fromkeys(x).keys()]
)
@pytest.mark.usefixtures("files")
def test_several_files_in_any_collection(kind: Callable[[list[str]], Any]) -> None:
    """Whatever a glob, a table or a generator gives."""
    assert set(dao.load_store(kind(["data/a.h5ad", "data/b.h5ad"])).datasets) == {"a", "b"}
