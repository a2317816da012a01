"""What people pass by habit from AnnData and pandas: it works, or is answered in words."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import dao
from dao import errors
from dao.format.organisms import KNOWN_ORGANISMS, canonical_organism

if TYPE_CHECKING:
    from collections.abc import Callable

    import anndata as ad


@pytest.fixture
def store(write: Callable[..., dao.Store], make_study: Any) -> dao.Store:
    """Two human studies, 70 cells."""
    return write({"a": make_study(0, 40), "b": make_study(1, 30)}, organism="human")


def same(chosen: dao.Store, expected: ad.AnnData) -> bool:
    """Whether a store holds these cells and features in this order."""
    mine = chosen.to_anndata()
    return (
        list(mine.obs_names) == list(expected.obs_names)
        and list(mine.var_names) == list(expected.var_names)
        and (mine.X != expected.X).nnz == 0
    )


INDICES: list[Callable[[ad.AnnData], Any]] = [
    lambda a: (slice(5), ["G3", "G1"]),
    lambda a: (slice(None), slice(3)),
    lambda a: (slice(10), slice(5)),
    lambda a: ((a.obs["n_genes"] > 12).to_numpy(), slice(None)),
    lambda a: (a.obs["n_genes"] > 12, slice(None)),
    lambda a: (slice(None), np.arange(a.n_vars) % 3 == 0),
    lambda a: (slice(None), [5, 0, -1]),
    lambda a: (slice(2), "G5"),
    lambda a: (3, slice(None)),
    lambda a: (a.obs_names[7], 2),
    lambda a: (list(a.obs_names[[9, 2]]), a.var_names[[4, 1]]),
    lambda a: (np.array([4, 2]), pd.Index(["G7"])),
    lambda a: (slice(None, None, 7), np.array([1, 2], np.uint8)),
    lambda a: slice(20, 2, -3),
]


@pytest.mark.parametrize("number", range(len(INDICES)))
def test_cells_and_features_as_in_anndata(store: dao.Store, number: int) -> None:
    """store[cells, features] has the cells, features and values of adata[cells, features]."""
    whole = store.to_anndata()
    index = INDICES[number](whole)
    cells = index[0] if isinstance(index, tuple) else index
    features = index[1] if isinstance(index, tuple) else slice(None)
    rows = [cells] if isinstance(cells, int | str) else cells
    columns = [features] if isinstance(features, int | str) else features
    assert same(store[index], whole[rows].copy()[:, columns])


def masks(mask: pd.Series) -> list[Any]:
    """Return a mask in every form that stands for the same cells."""
    return [
        mask,
        mask.iloc[::-1],
        mask.sample(frac=1, random_state=0),
        mask.to_numpy(),
        mask.tolist(),
        mask.astype("boolean"),
        mask.to_numpy(object),
        pa.array(mask.to_numpy()),
        pa.chunked_array([mask.to_numpy()]),
        pd.Index(mask.to_numpy()),
    ]


def test_masks_of_every_kind_choose_the_same_cells(store: dao.Store) -> None:
    """Lists, arrays, Arrow and Series, which are aligned by obs names, in take and subset."""
    obs = store.obs
    mask = obs["n_genes"] > 12
    expected = list(obs.index[mask])
    for one in masks(mask):
        assert list(store[one].obs.index) == expected
        assert list(store.subset(one).obs.index) == expected
        assert list(store[one, :].obs.index) == expected
    both = store.subset(mask, cell_type="B", exclude={"dataset": "a"})
    wanted = mask & (obs["cell_type"] == "B") & (obs["dataset"] != "a")
    assert list(both.obs.index) == list(obs.index[wanted])
    shuffled = store.take(np.random.default_rng(0).permutation(70))
    assert list(shuffled[mask].obs.index) == [n for n in shuffled.obs.index if mask[n]]


def test_masks_that_are_not_of_these_cells_are_refused(store: dao.Store) -> None:
    """Another index, missing values, another length: never applied by position in silence."""
    mask = store.obs["n_genes"] > 12
    missing = mask.astype("boolean").where(np.arange(70) > 3)
    for one, match in [
        (mask.reset_index(drop=True), "to_numpy"),
        (mask.rename(lambda name: f"{name}-1"), "to_numpy"),
        (missing, "4 of 70"),
        (missing.astype(object).to_numpy(), "4 of 70"),
        (pa.array([True, None] * 35), "35 of 70"),
        (mask.iloc[:-1], "69 booleans were given for 70"),
    ]:
        for choose in (store.take, store.subset, lambda m: store[m, :5]):
            with pytest.raises(errors.ArgumentError, match=match):
                choose(one)


def test_names_that_two_studies_share(write: Any, make_study: Any) -> None:
    """A name stands for all its cells, with a warning; a mask of them keeps its place."""
    study = make_study(0, 20)
    store = write({"a": study, "b": study.copy()}, shuffle=False, organism="human")
    with pytest.warns(errors.DaoWarning, match="2 of 2 names belong to several cells") as caught:
        found = store[["s0c3", "s0c1"]]
    assert caught[0].filename == __file__
    expected = store.obs.loc[["s0c3", "s0c1"]]
    assert found.obs["dataset"].tolist() == expected["dataset"].tolist()
    assert store.subset(dataset="b")[["s0c3"]].n_obs == 1
    mask = store.obs["dataset"] == "b"
    assert store[mask].datasets == ["b"]
    with pytest.raises(errors.ArgumentError, match="to_numpy"):
        store[mask.iloc[::-1]]


@pytest.mark.parametrize(
    ("index", "match"),
    [
        (5, r"store\[\[5\]\]"),
        (np.int64(3), "generator"),
        (True, "slice or a list"),
        (None, "slice or a list"),
        (2.5, "slice or a list"),
        (slice("a", "b"), r"\['a':'b'\]"),
        (slice(1.5, None), "positions"),
        ((slice(None), slice("a", "b")), "positions"),
        ((1, 2, 3), "two axes"),
        ([1.0, 2.0], "whole numbers"),
        (["s0c1", None], "missing"),
        ([["a"]], "axes"),
        ((slice(None), 99), "no position 99"),
        ((slice(None), [True]), "shape"),
        ((slice(None), None), "Features are chosen"),
        ((slice(None), []), "at least one"),
        ([2**70], "whole numbers"),
        ({1: 2}, "no position|booleans|axis"),
    ],
)
def test_indices_that_make_no_sense(store: dao.Store, index: Any, match: str) -> None:
    """Each is an error of dao that says what to pass."""
    if isinstance(index, dict):
        assert store[index].n_obs == 1  # the keys of a dict are a list, as NumPy takes them
        return
    with pytest.raises(errors.ArgumentError, match=match):
        store[index]


def test_ellipsis_head_and_dicts(store: dao.Store) -> None:
    """What NumPy and pandas users expect of these."""
    assert store[...].n_obs == store[..., :].n_obs == 70
    assert store[..., :3].n_vars == 3
    assert list(store.head(-60).obs.index) == list(store.obs.head(-60).index)
    assert (
        store.subset({"cell_type": "B"}, stage="late").n_obs
        == store.subset(cell_type="B", stage="late").n_obs
    )
    with pytest.raises(errors.ArgumentError, match="'stage' is given twice"):
        store.subset({"stage": "late"}, stage="late")
    for wrong, match in [
        (lambda obs: obs, r"store\[function\(store.obs\)\]"),
        (["B"], "name of their column"),
        (3, "name of their column"),
        ("n_genes > @low", "keyword"),
        ("n_genes > None", "missing value"),
        ("None <= n_genes", "missing value"),
        ("n_genes.between(None, 3)", "missing value"),
        ("n_genes > 1 & doublet", "parentheses"),
        ("1 < n_genes < n_counts", "cannot be compared"),
        ("lambda: 1", "not a condition"),
    ]:
        with pytest.raises(errors.DaoError, match=match):
            store.subset(wrong)
    with pytest.raises(errors.UnknownDatasetError, match=r"store.obs\['cell_type'\]"):
        store["cell_type"]
    with pytest.raises(errors.UnknownDatasetError, match="dataset='a'"):
        store["a"]


def test_counting_and_drawing_as_in_pandas(store: dao.Store) -> None:
    """value_counts with normalize and dropna, sample with frac."""
    obs = store.obs
    for column in ("cell_type", "batch", "doublet"):
        for dropna in (True, False):
            got = store.value_counts(column, normalize=True, dropna=dropna)
            expected = obs[column].value_counts(normalize=True, dropna=dropna)
            assert got.name == expected.name
            assert {str(k): round(v, 12) for k, v in got.items()} == {
                str(k).replace("<NA>", "nan"): round(v, 12) for k, v in expected.items()
            }
    table = store.value_counts("batch", by="cell_type", normalize=True, dropna=True)
    assert table.to_numpy().sum() == pytest.approx(1)
    assert store.sample(frac=0.5).obs.equals(store.sample(0.5).obs)
    assert store.sample(frac=1).n_obs == 70
    for wrong in ({}, {"n": 3, "frac": 0.1}, {"frac": 2}, {"n": 3, "by": 5}, {"n": "3"}):
        with pytest.raises(errors.ArgumentError):
            store.sample(**wrong)
    with pytest.raises(errors.ArgumentError, match="pass text"):
        store.select_features(where=3)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("X", "to_anndata"),
        ("layers", "generator"),
        ("obs_names", "store.obs.index"),
        ("query", "subset"),
        ("cell_type", r"store.obs\['cell_type'\]"),
        ("n_ob", "'n_obs'"),
        ("_private", "no attribute"),
    ],
)
def test_attributes_of_anndata_have_a_hint(store: dao.Store, name: str, match: str) -> None:
    """An AttributeError, so that hasattr works, with what there is instead."""
    with pytest.raises(AttributeError, match=match):
        getattr(store, name)
    assert not hasattr(store, name)


def test_what_is_handed_out_is_a_copy(store: dao.Store) -> None:
    """Nothing that is done to obs, var, uns and lists reaches the store or to_anndata."""
    before = store.to_anndata()
    obs, var, uns = store.obs, store.var, store.uns
    obs["new"] = 1
    obs.loc[obs.index[0], "n_genes"] = 99
    del obs["stage"]
    obs.index.name = "cell"
    obs["cell_type"] = obs["cell_type"].cat.rename_categories({"B": "b cell"})
    var["extra"] = 2
    uns["a"]["title"] = "another"
    names = store.var_names
    names.name = "gene"
    store.categories("cell_type").append("more")
    for array in (obs["score"].to_numpy(), names.values):
        if array.flags.writeable:
            array[:] = array[0]
    after = store.to_anndata()
    pd.testing.assert_frame_equal(after.obs, before.obs)
    pd.testing.assert_frame_equal(after.var, before.var)
    pd.testing.assert_frame_equal(store.obs, store.take(slice(None)).obs)
    assert store.uns["a"]["title"] == "study 0"
    assert store.var_names.name is None
    assert "more" not in store.categories("cell_type")
    assert store.select_features(["G3"]).n_vars == 1


def test_an_empty_selection_says_so_where_batches_begin(store: dao.Store) -> None:
    """Once, at the line of the user."""
    empty = store.subset("n_genes > 1000")
    for begin in (empty.generator, lambda: empty.generator(8, obs_keys=["stage"])):
        with pytest.warns(errors.DaoWarning, match="of 70 in the store") as caught:
            batches = begin()
        assert [w.filename for w in caught] == [__file__]
        assert list(batches) == []


@pytest.mark.parametrize(
    "name",
    ["human", "Human ", "H. sapiens", "h.sapiens", "hsapiens", "homo_sapiens", "Homo-sapiens",
     "homosapiens", "9606", 9606, "NCBITaxon:9606", "taxon:9606", "txid9606", "ncbi 9606"],
)  # fmt: skip
def test_one_organism_has_many_names(name: Any) -> None:
    """All of them are the same feature space."""
    assert canonical_organism(name) == "Homo sapiens"


def test_names_of_organisms_are_not_confused() -> None:
    """Each organism is found by its number and its name; unknown ones stay as they are."""
    for organism, (number, common) in KNOWN_ORGANISMS.items():
        assert canonical_organism(organism.upper()) == canonical_organism(number) == organism
        assert {canonical_organism(c) for c in common} == {organism}
    assert canonical_organism("Ambystoma mexicanum") == "Ambystoma mexicanum"
    for wrong in ("", "  ", None, True, 2.5, "x" * 1000):
        with pytest.raises(errors.ArgumentError, match="organism="):
            canonical_organism(wrong)


def warned(work: Callable[[], Any]) -> list[str]:
    """Return the warnings of dao."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work()
    ours = [w for w in caught if issubclass(w.category, errors.DaoWarning)]
    assert all("tests" in w.filename for w in ours)
    return [str(w.message) for w in ours]


def test_an_organism_that_was_hardly_meant(write: Any, make_study: Any) -> None:
    """Mistyped, left out, or another one: a warning with the near ones, and none without need."""
    study, other = make_study(0), make_study(1)
    for one in (study, other):
        del one.layers["doubled"], one.obsm["X_pca"]  # which a write names, too, if it drops them
    [message] = warned(lambda: write({"a": study}, "typo.dao", organism="humn"))
    assert "Did you mean 'human'" in message
    for name, organism in {"none": None, "rare": "Ambystoma mexicanum", "mouse": "10090"}.items():
        assert warned(lambda n=name, o=organism: write({"a": study}, n, organism=o)) == []
    write({"a": study}, "atlas.dao", organism="human")

    def append(**organism: str) -> list[str]:
        return warned(lambda: write({"b": other}, "atlas.dao", mode="append", **organism))

    [message] = append()
    assert "organism='Homo sapiens'" in message
    assert "'b'" in message
    write({"a": study}, "atlas.dao", organism="human", mode="overwrite")
    [message] = append(organism="mouse")
    assert "The store has cells of Homo sapiens" in message
    write({"a": study}, "atlas.dao", organism="human", mode="overwrite")
    assert append(organism="Homo_sapiens") == []
    rare = "Ambystoma mexicanum"
    write({"a": study}, "atlas.dao", organism=rare, mode="overwrite")
    [message] = append(organism="Ambistoma mexicanum")
    assert f"Did you mean '{rare}'" in message
