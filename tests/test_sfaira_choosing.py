"""What sfaira's own tests hold its store to, where it concerns choosing, obs and index.

One test for each group of behaviours, named after it, and one for each wrong result of sfaira
in this area that has been seen, which shows that dao does it right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import dao
from dao import errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Make = Any


@pytest.fixture
def studies(make_study: Make) -> dict[str, Any]:
    """As sfaira's mock data: three human studies, the third without cell types, and a mouse."""
    sizes = {"human1": 100, "human2": 100, "human3": 20, "mouse": 100}
    made = {name: make_study(i, n) for i, (name, n) in enumerate(sizes.items())}
    del made["human3"].obs["cell_type"]
    for name, study in made.items():
        study.obs["assay_sc"] = pd.Categorical(
            ["10x technology", "Smart-seq2"] * (study.n_obs // 2)
        )
        study.obs["id"] = name
    return made


@pytest.fixture
def store(write: Callable[..., dao.Store], studies: dict[str, Any]) -> dao.Store:
    """All of them in one store, not shuffled, so that rows can be compared with the sources."""
    sources = [
        dao.Source(s, id=n, organism="mouse" if n == "mouse" else "human")
        for n, s in studies.items()
    ]
    return write(sources, shuffle=False)


# --- groups of behaviours --------------------------------------------------------------------------


def test_group_1_properties_after_a_subset(store: dao.Store) -> None:
    """After subset(organism=["Mus musculus"]) sizes, names and indices are there."""
    mouse = store.subset(organism=["Mus musculus"])
    assert mouse.n_obs == 100
    assert mouse.shape == (100, 40)
    assert mouse.n_vars == len(mouse.var_names) == 40
    assert mouse.datasets == ["mouse"]
    assert mouse.selection.positions(mouse.manifest).tolist() == list(range(220, 320))
    assert mouse.select_features(["G2"]).shape == (100, 1)


def test_group_2_arrays_beside_the_cells_follow_a_subset(store: dao.Store, studies: Any) -> None:
    """obsm has a row for each selected cell, before and after a subset; dao keeps it stored."""
    human = store["human"]
    assert len(human.obs) == human.n_obs == 220
    few = human.subset(cell_type="B")
    assert few.n_obs < human.n_obs
    assert len(few.obs) == few.n_obs
    keep = (studies["human1"].obs["cell_type"] == "B").to_numpy()
    kept = few.subset(dataset="human1").obs["_source_row"].tolist()
    assert kept == np.flatnonzero(keep).tolist()


def test_group_3_a_selection_goes_to_a_file_and_back(store: dao.Store, tmp_path: Path) -> None:
    """subset twice, write, load into a fresh store: the same datasets and identical indices."""
    chosen = store.subset(organism="Mus musculus").subset(assay_sc="10x technology")
    chosen.save_selection(tmp_path / "config.json")
    fresh = dao.load_selection(tmp_path / "config.json")
    assert fresh.datasets == chosen.datasets
    manifest = store.manifest
    np.testing.assert_array_equal(
        fresh.selection.positions(manifest), chosen.selection.positions(manifest)
    )


def test_group_4_obs_and_uns_are_those_of_the_sources(store: dao.Store, studies: Any) -> None:
    """X, obs columns with their order and values, and uns equal the streamlined datasets."""
    for name, study in studies.items():
        mine = store.subset(dataset=name)
        obs = mine.obs
        assert [c for c in obs.columns if c in study.obs] == [
            c for c in store.obs_columns if c in study.obs
        ]
        assert obs.index.tolist() == study.obs_names.tolist()
        for column in ("n_counts", "n_genes", "doublet", "barcode", "assay_sc"):
            assert obs[column].tolist() == study.obs[column].tolist()
        assert mine.uns[name] == {"title": study.uns["title"]}
        np.testing.assert_array_equal(
            mine.to_anndata()[:, study.var_names].X.toarray(), study.X.toarray()
        )


def test_group_5_chosen_cells_and_their_properties(store: dao.Store) -> None:
    """Five cells by index: five rows of X (sparse), obs and AnnData; the index comes back."""
    human = store["human"]
    five = human.take(np.arange(5))
    assert human.n_obs > 5
    assert five.n_obs == 5
    batch = next(iter(five.generator(5, sampler="sequential")))
    assert batch["index"].tolist() == [0, 1, 2, 3, 4]
    assert batch["X"].shape == (5, 40)
    adata = five.to_anndata()
    assert adata.shape == (5, 40)
    assert isinstance(adata.obs, pd.DataFrame)
    assert isinstance(five.var, pd.DataFrame)


@pytest.mark.parametrize("index", [list(range(1, 10)), [*range(30, 50), 1, 4, 98]])
@pytest.mark.parametrize("sampler", ["sequential", "shuffle", "random"])
def test_group_6_any_index_gives_its_rows(store: dao.Store, index: list[int], sampler: str) -> None:
    """Sorted and unsorted indices: as many rows as asked for, all columns; dao keeps the order."""
    batches = list(store["human"].take(index).generator(7, sampler=sampler))
    assert sum(b["X"].shape[0] for b in batches) == len(index)
    assert all(b["X"].shape[1] == 40 for b in batches)
    got = np.concatenate([b["index"] for b in batches]).tolist()
    assert (got if sampler == "sequential" else sorted(got)) == (
        index if sampler == "sequential" else sorted(index)
    )


@pytest.mark.parametrize("index", [None, [1, 4, 98]])
def test_group_8_one_label_at_a_time(store: dao.Store, index: list[int] | None) -> None:
    """Each label alone, all of its cells, as many rows as are selected."""
    chosen = store["human"].subset(exclude={"cell_type": None})
    chosen = chosen if index is None else chosen.take(index)
    counts = chosen.value_counts("cell_type")
    assert counts.sum() == chosen.n_obs
    for label, n in counts.items():
        assert set(chosen.subset(cell_type=label).obs["cell_type"]) == {label}
        assert chosen.subset(cell_type=label).n_obs == n


def test_group_13_parts_are_disjoint_and_complete(store: dao.Store) -> None:
    """A share of every dataset and the rest: no cell twice, none lost, the same for a seed."""
    human = store["human"]
    test = human.sample(0.25, by="dataset")
    train = human - test
    assert (train & test).n_obs == 0
    assert (train | test).n_obs == human.n_obs
    assert set(test.datasets) == {"human1", "human2", "human3"}
    assert human.sample(0.25, by="dataset").n_obs == test.n_obs
    held_out = human.subset(dataset="human1")
    assert set((human - held_out).datasets) == {"human2", "human3"}


def test_group_14_a_selection_is_the_same_after_a_round_trip(
    store: dao.Store, tmp_path: Path
) -> None:
    """What is saved is equal to what is loaded, features and their order included."""
    chosen = store["mouse"].subset(cell_type=["B", "T"]).select_features(["G9", "G2"])
    chosen.save_selection(tmp_path / "one")
    back = dao.load_selection(tmp_path / "one")
    assert back.var_names.tolist() == ["G9", "G2"]
    pd.testing.assert_frame_equal(back.obs, chosen.obs)


# --- wrong results of sfaira -----------------------------------------------------------------------


def test_gene_order_is_that_of_the_columns(store: dao.Store, studies: Any) -> None:
    """sfaira sorted the columns and named them in the order asked for."""
    chosen = store["mouse"].select_features(["G9", "G2", "G5"])
    adata = chosen.to_anndata()
    assert adata.var_names.tolist() == chosen.var_names.tolist() == ["G9", "G2", "G5"]
    np.testing.assert_array_equal(
        adata.X.toarray(), studies["mouse"][:, ["G9", "G2", "G5"]].X.toarray()
    )


def test_all_rows_at_once_are_those_of_the_index(store: dao.Store) -> None:
    """sfaira's schedule "full" gave the rows 0, 1, 2 for the index [3, 7, 9]."""
    [batch] = store["human"].take([3, 7, 9]).generator(1000, sampler="sequential")
    assert batch["index"].tolist() == [3, 7, 9]


def test_an_index_keeps_the_order_of_the_caller(store: dao.Store) -> None:
    """sfaira sorted the index that it was given."""
    assert store.take([98, 4, 1]).obs["barcode"].tolist() == [
        "AC000098-0",
        "AC000004-0",
        "AC000001-0",
    ]


def test_masks_and_any_integer_dtype_are_an_index(store: dao.Store) -> None:
    """sfaira refused booleans and int32."""
    mask = np.arange(store.n_obs) % 50 == 3
    assert store.take(mask).n_obs == 7
    assert store.take(np.flatnonzero(mask).astype(np.int32)).n_obs == 7


def test_obsm_follows_the_cells_of_an_index(write: Any, studies: Any) -> None:
    """sfaira took X from the index and obsm from the first rows."""
    store = write(studies["human1"], shuffle=False, obsm=["X_pca"])
    [batch] = store.take([99, 50]).generator(10, sampler="sequential", obsm=["X_pca"])
    np.testing.assert_array_equal(batch["obsm"]["X_pca"], studies["human1"].obsm["X_pca"][[99, 50]])


def test_rows_of_several_datasets_stay_in_order(store: dao.Store, studies: Any) -> None:
    """sfaira sorted the rows of a batch again and grouped them by dataset."""
    places = [150, 3, 199, 0, 205]
    [batch] = (
        store["human"]
        .take(places)
        .generator(10, sampler="sequential", obs_keys=["n_genes", "dataset"])
    )
    whole = np.concatenate([studies[n].obs["n_genes"] for n in ("human1", "human2", "human3")])
    assert batch["obs"]["n_genes"].tolist() == whole[places].tolist()
    assert batch["obs"]["dataset"].tolist() == ["human2", "human1", "human2", "human1", "human3"]


def test_any_column_can_be_asked_for(store: dao.Store) -> None:
    """sfaira knew a fixed list of keys, and failed on some of these."""
    assert store.subset("score > 0.5 and barcode.startswith('AC')").n_obs > 0
    with pytest.raises(errors.UnknownColumnError, match="There is no obs column 'ethnicity'"):
        store.subset(ethnicity="any")


def test_a_missing_column_is_missing_not_skipped(store: dao.Store) -> None:
    """sfaira printed a warning and found nothing; dao has missing values, which can be chosen."""
    assert store.subset(cell_type=None).datasets == ["human3"]
    assert "human3" in store.subset(exclude={"cell_type": "B"}).datasets


def test_subset_changes_nothing_in_place(store: dao.Store) -> None:
    """sfaira's subset changed the store; there was no way back."""
    before = store.n_obs
    store.subset(cell_type="B")
    assert store.n_obs == before


def test_nothing_found_is_empty_not_a_print(store: dao.Store, capsys: Any) -> None:
    """An empty selection is a value; nothing is printed."""
    assert store.subset(cell_type="B").subset(cell_type="T").n_obs == 0
    assert capsys.readouterr().out == ""


def test_numbers_stay_numbers(store: dao.Store) -> None:
    """sfaira stored numbers of obs as text."""
    assert store.obs["n_genes"].dtype == np.int64
    assert store.subset("9 < n_genes < 11").obs["n_genes"].eq(10).all()


def test_codes_are_shared_by_all_datasets(store: dao.Store) -> None:
    """sfaira aligned the categories of the first dataset only."""
    for dataset in ("human1", "human2", "mouse"):
        obs = store.subset(dataset=dataset).obs
        assert obs["cell_type"].cat.categories.tolist() == store.categories("cell_type")


def test_a_stray_folder_is_no_dataset(store: dao.Store) -> None:
    """sfaira's load_store failed on any other folder in the store."""
    from pathlib import Path

    (Path(store.path) / "notes").mkdir()
    assert dao.load_store(store.path).n_obs == store.n_obs


def test_no_pickle_is_written(store: dao.Store, tmp_path: Path) -> None:
    """sfaira's saved selections were pickles, which run code when they are read."""
    store.head(2).save_selection(tmp_path / "s")
    assert (tmp_path / "s.json").read_bytes()[:1] == b"{"
    assert (tmp_path / "s.parquet").read_bytes()[:4] == b"PAR1"
