"""Selections in files: the same cells and features come back, or the reason why they cannot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dao
from dao import errors

if TYPE_CHECKING:
    from collections.abc import Callable

Make = Any


@pytest.fixture
def store(write: Callable[..., dao.Store], make_study: Make) -> dao.Store:
    """Two studies of 30 and 40 cells."""
    return write({"a": make_study(0, 30), "b": make_study(1, 40)}, organism="human")


def same(mine: dao.Store, theirs: dao.Store) -> bool:
    """Whether two selections have the same cells and features, both in the same order."""
    manifest = mine.manifest
    cells = np.array_equal(mine.selection.positions(manifest), theirs.selection.positions(manifest))
    features = [s.var_names.tolist() if len(s.organisms) == 1 else None for s in (mine, theirs)]
    order = (mine.selection.order is None) == (theirs.selection.order is None)
    return cells and order and features[0] == features[1] and mine.organisms == theirs.organisms


def test_cells_and_features_come_back(store: dao.Store, tmp_path: Path) -> None:
    """Everything, a subset, an order with repeats, nothing; features in their order."""
    genes = store.select_features(["G7", "new", "G2"], missing="zero")
    for chosen in (
        store,
        store.subset(cell_type="B"),
        store.take([60, 3, 3, 29, 30]),
        store.head(0),
        genes,
        genes.sample(0.5).take([9, 2]),
        store.subset(dataset="b"),
    ):
        chosen.save_selection(tmp_path / "chosen.json")
        back = dao.load_selection(tmp_path / "chosen.json")
        assert same(back, chosen)
        np.testing.assert_array_equal(
            back.generator(8, sampler="sequential").categories, chosen.generator(8).categories
        )
    assert dao.load_selection(tmp_path / "chosen", backend="zarr").backend == "zarr"


@given(st.lists(st.integers(0, 69)))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_selection_comes_back(store: dao.Store, tmp_path: Path, places: list[int]) -> None:
    """Rows in any order, with repeats."""
    chosen = store.take(places)
    chosen.save_selection(tmp_path / "chosen")
    assert same(dao.load_selection(tmp_path / "chosen"), chosen)


def test_people_can_read_it(store: dao.Store, tmp_path: Path) -> None:
    """JSON says what was chosen from what; any Parquet reader shows the rows."""
    store.take([35, 3]).select_features(["G3", "G1"]).save_selection(tmp_path / "two.parquet")
    said = json.loads((tmp_path / "two.json").read_text())
    assert said["format"] == "dao selection"
    assert said["uuid"] == store.manifest.uuid
    assert said["generation"] == 1
    assert said["store"] == str(Path(store.path).resolve())
    assert said["n_obs"] == 2
    assert said["features"] == ["G3", "G1"]
    assert [(d["id"], d["selected"], d["n_obs"]) for d in said["datasets"]] == [
        ("a", 1, 30),
        ("b", 1, 40),
    ]
    rows = pq.read_table(tmp_path / said["rows"]["path"]).to_pydict()
    assert rows == {"dataset": ["b", "a"], "row": [5, 3]}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["store.dao", "two.json", "two.parquet"]


def test_columns_and_organisms_come_back(write: Any, make_study: Make, tmp_path: Path) -> None:
    """Which columns were offered, and which organisms were chosen."""
    sources = [
        dao.Source(make_study(i, 20), id=o, organism=o) for i, o in enumerate(["human", "mouse"])
    ]
    store = dao.load_store(write(sources).path, columns=["cell_type"])
    for chosen in (store, store["mouse"], store["human"].head(0)):
        chosen.save_selection(tmp_path / "some")
        back = dao.load_selection(tmp_path / "some")
        assert same(back, chosen)
        assert back.obs_columns == ("cell_type",)


def test_stores_that_moved(store: dao.Store, tmp_path: Path) -> None:
    """With its selection beside it a store is found again; else one says where it is."""
    store.head(3).save_selection(tmp_path / "first")
    shutil.copytree(tmp_path, tmp_path.parent / f"{tmp_path.name}-copy")
    copy = tmp_path.parent / f"{tmp_path.name}-copy"
    assert Path(dao.load_selection(copy / "first").path).parent == copy.resolve()
    (tmp_path / "elsewhere").mkdir()
    for name in ("first.json", "first.parquet"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    assert dao.load_selection(tmp_path / "elsewhere" / "first").n_obs == 3
    Path(store.path).rename(tmp_path / "renamed.dao")
    with pytest.raises(errors.StoreNotFoundError, match=r"store='\.\.\.'"):
        dao.load_selection(tmp_path / "elsewhere" / "first")
    assert dao.load_selection(tmp_path / "elsewhere" / "first", tmp_path / "renamed.dao").n_obs == 3


def test_appended_studies_change_nothing(
    store: dao.Store, tmp_path: Path, make_study: Make
) -> None:
    """After an append, with new genes too, the same cells and features come back."""
    chosen = store.subset("n_genes > 10")
    chosen.save_selection(tmp_path / "before")
    expected = chosen.to_anndata()
    study = make_study(5, 20, genes=["G0", *(f"N{i}" for i in range(39))])
    dao.write_store(store.path, {"c": study}, organism="human", mode="append", progress=False)
    back = dao.load_selection(tmp_path / "before")
    assert back.manifest.generation == 2
    assert back.var_names.tolist() == expected.var_names.tolist()
    np.testing.assert_array_equal(back.to_anndata().X.toarray(), expected.X.toarray())
    assert back.obs.index.tolist() == expected.obs_names.tolist()


def test_several_spaces_that_grew(write: Any, make_study: Make, tmp_path: Path) -> None:
    """Over several organisms no features can be chosen, so more of them are a change."""
    sources = [
        dao.Source(make_study(i, 20), id=o, organism=o) for i, o in enumerate(["human", "mouse"])
    ]
    store = write(sources)
    store.head(30).save_selection(tmp_path / "both")
    study = make_study(5, 20, genes=["G0", *(f"N{i}" for i in range(39))])
    dao.write_store(store.path, {"c": study}, organism="mouse", mode="append", progress=False)
    with pytest.raises(errors.StoreChangedError, match="more features of Mus musculus"):
        dao.load_selection(tmp_path / "both")


def test_stores_that_were_written_anew(store: dao.Store, tmp_path: Path, make_study: Make) -> None:
    """Another store in the same place is refused, and the reason is given."""
    store.head(3).save_selection(tmp_path / "first")
    dao.write_store(store.path, make_study(0, 30), mode="overwrite", progress=False)
    with pytest.raises(errors.StoreChangedError, match="written anew, or is a different one"):
        dao.load_selection(tmp_path / "first")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"id": "gone"}, "dataset 'gone' is not in the store any more"),
        ({"n_obs": 7}, "dataset 'a' was written anew, with 30 instead of 7 cells"),
        ({"obs_sha256": "0"}, "dataset 'a' was written anew"),
        ({"path": "datasets/a.g2"}, "dataset 'a' was written anew"),
    ],
)
def test_datasets_that_changed(
    store: dao.Store, tmp_path: Path, change: dict[str, Any], match: str
) -> None:
    """A dataset of the selection that is gone or other is refused; which one, and why."""
    store.head(3).save_selection(tmp_path / "first")
    said = json.loads((tmp_path / "first.json").read_text())
    said["datasets"][0].update(change)
    (tmp_path / "first.json").write_text(json.dumps(said))
    with pytest.raises(errors.StoreChangedError, match=match):
        dao.load_selection(tmp_path / "first.json")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "not JSON"),
        ('{"format": "dao"}', "no saved selection"),
        ('{"format": "dao selection", "format_version": 1}', "uuid: must be a string"),
        ('{"format": "dao selection", "format_version": 9}', "--upgrade"),
    ],
)
def test_files_that_are_damaged(store: dao.Store, tmp_path: Path, text: str, match: str) -> None:
    """Every problem of the JSON is named; rows of another selection are noticed."""
    store.head(3).save_selection(tmp_path / "first")
    store.head(4).save_selection(tmp_path / "second")
    shutil.copy(tmp_path / "second.parquet", tmp_path / "first.parquet")
    with pytest.raises(errors.CorruptStoreError, match=r"first.parquet is not the file"):
        dao.load_selection(tmp_path / "first")
    (tmp_path / "first.json").write_text(text)
    with pytest.raises(errors.FormatError, match=match):
        dao.load_selection(tmp_path / "first")
    with pytest.raises(errors.StoreNotFoundError, match="no saved selection"):
        dao.load_selection(tmp_path / "third")
    with pytest.raises(errors.ArgumentError, match=r"name of a file|is empty"):
        store.save_selection("")
    with pytest.raises(errors.StorageError, match="cannot be written"):
        store.save_selection(tmp_path / "no folder" / "x")
