"""`Store.compact`: the same cells, written anew, in one commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import dao
from dao.cli import main
from dao.errors import ArgumentError, DatasetIdError, StoreChangedError, UnknownDatasetError
from dao.write import compact

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import anndata as ad

Write = Any


@pytest.fixture
def studies(make_study: Callable[..., ad.AnnData]) -> dict[str, ad.AnnData]:
    """Four studies; the first three measured the same genes."""
    found = {name: make_study(seed, 20 + seed) for seed, name in enumerate("abcd")}
    found["c"].obs["only_c"] = "yes"
    found["d"] = found["d"][:, :30].copy()
    return found


@pytest.fixture
def store(write: Write, studies: dict[str, ad.AnnData]) -> dao.Store:
    """A store of them, with all their matrices."""
    return write(studies, layers=["doubled"], obsm=["X_pca"], organism="human")


def cells(store: dao.Store) -> ad.AnnData:
    """Return everything, cells by name, without what depends on how it lies on disk."""
    adata = store.to_anndata()
    adata = adata[np.argsort(adata.obs_names)].copy()
    adata.obs = adata.obs.drop(columns=["dataset", "_source_row", "study"], errors="ignore")
    return adata


def assert_same(mine: dao.Store, theirs: dao.Store) -> None:
    """Compare all cells, in all matrices."""
    left, right = cells(mine), cells(theirs)
    pd.testing.assert_frame_equal(left.obs, right.obs, check_like=True)
    assert left.var_names.equals(right.var_names)
    assert left.X.dtype == right.X.dtype
    assert not (left.X != right.X).sum()
    assert not (left.layers["doubled"] != right.layers["doubled"]).sum()
    assert not (left.obsm["X_pca"] != right.obsm["X_pca"]).sum()


def source_order(store: dao.Store) -> list[str]:
    """Return the cells of a dataset, in the order of its source."""
    rows = store.obs["_source_row"].to_numpy()
    return store.obs.index[np.argsort(rows)].tolist()


def test_merged_studies(store: dao.Store, studies: dict[str, ad.AnnData]) -> None:
    """One dataset in the place of the first, that remembers which cell was whose."""
    before = dao.load_store(store.path)
    new = store.compact({"ca": ["c", "a"]}, progress=False)
    assert new.datasets == ["ca", "b", "d"]
    assert_same(new, before)
    merged = new.subset(dataset="ca")
    assert merged.value_counts("study").to_dict() == {"c": 22, "a": 20}
    for name in "ac":
        mine = merged.subset(study=name)
        assert source_order(mine) == studies[name].obs_names.tolist()
    assert source_order(merged) == [*studies["a"].obs_names, *studies["c"].obs_names]
    assert merged.uns["ca"] == {"c": {"title": "study 2"}, "a": {"title": "study 0"}}
    assert merged.obs["study"].tolist() != sorted(merged.obs["study"])  # they are mixed
    assert new.history.iloc[-1][["action", "datasets"]].tolist() == ["compact", ["ca"]]
    assert dao.validate_store(new.path).ok
    # What was not asked for is not written, and open readers keep what they had.
    assert [d.path for d in new.manifest.datasets[1:]] == ["datasets/b", "datasets/d"]
    assert before.datasets == ["a", "b", "c", "d"]
    assert_same(dao.load_store(new.path, generation=1), new)


def test_everything_again(store: dao.Store) -> None:
    """All datasets in another order and profile; features and what was measured stay."""
    new = store.subset(dataset="a").compact(
        cluster_by="cell_type", seed=5, profile="compact", progress=False
    )
    assert new.datasets == store.datasets
    assert_same(new, store)
    assert new.manifest.profile == "compact"
    pd.testing.assert_frame_equal(new.measured(), store.measured())
    assert new.manifest.generation == 2
    for old, one in zip(store.manifest.datasets, new.manifest.datasets, strict=True):
        assert old.path != one.path
        assert (one.cluster_by, one.seed, one.shuffled) == (("cell_type",), 5, True)
        assert one.obs.columns == old.obs.columns
        labels = new.subset(dataset=one.id).obs["cell_type"].astype(str)
        assert labels.tolist() == sorted(labels)
        expected = store.subset(dataset=one.id).obs.sort_values("_source_row").index
        assert source_order(new.subset(dataset=one.id)) == expected.tolist()
    kept = new.compact(ids="b", progress=False)
    assert kept.manifest.datasets[1].cluster_by == ("cell_type",)
    assert kept.manifest.profile == "compact"
    loose = kept.compact(ids=["b"], cluster_by=(), progress=False)
    assert loose.manifest.datasets[1].cluster_by == ()
    with pytest.raises(ArgumentError, match=r"different columns \(\[\], \['cell_type'\]\)"):
        loose.compact(progress=False)
    still = loose.compact(ids="b", shuffle=False, progress=False)
    assert still.obs.index.equals(loose.obs.index)
    assert still.manifest.datasets[1].shuffled


def test_what_the_store_says_stays(write: Write, studies: dict[str, ad.AnnData]) -> None:
    """Declared columns, categories in their order, an empty dataset, how features matched."""
    empty = studies["b"][:0].copy()
    schema = {"cell_type": dao.ObsColumn("category", values=["T", "B", "NK"]), "study": "category"}
    genes = [f"G{i}" for i in range(35)]
    sources = {"a": studies["a"], "empty": empty}
    first = write(sources, obs_schema=schema, features=genes)
    new = first.compact({"both": ["a", "empty"]}, progress=False)
    assert new.datasets == ["both"]
    assert new.var_names.equals(first.var_names)
    assert new.categories("cell_type") == ["T", "B", "NK"]
    assert new.obs["study"].tolist() == ["a"] * 20
    assert dao.validate_store(new.path).ok
    alone = write(sources, "alone.dao", features=genes)
    matching = alone.matching()
    pd.testing.assert_frame_equal(alone.compact(progress=False).matching(), matching)


def test_what_cannot_be_merged(
    tmp_path: Path, store: dao.Store, make_study: Callable[..., ad.AnnData]
) -> None:
    """Each refusal names the datasets and says why; the store stays as it is."""
    dao.write_store(
        store.path, {"mouse": make_study(9, 5)}, organism="mouse", mode="append", progress=False
    )
    more = {"plain": make_study(8, 6)}
    dao.write_store(store.path, more, organism="human", mode="append", progress=False)

    def refused(error: Any, match: str, *arguments: Any, **options: Any) -> None:
        with pytest.raises(error, match=match):
            store.compact(*arguments, **options, progress=False)

    refused(
        ArgumentError,
        r"'a' and 'd' cannot be merged into 'x': they measured different features \(10 only the "
        r"first, 0 only the second\)",
        {"x": ["a", "d"]},
    )
    refused(ArgumentError, "one is of Homo sapiens, the other of Mus", {"x": ["a", "mouse"]})
    refused(ArgumentError, "only one of them has layers/doubled", {"x": ["a", "plain"]})
    refused(UnknownDatasetError, "no dataset 'z'", {"x": ["a", "z"]})
    refused(UnknownDatasetError, "no dataset 'z'", ids="z")
    refused(ArgumentError, "at least one dataset", {"x": []})
    refused(ArgumentError, "at least one dataset", ids=[])
    refused(ArgumentError, "pass a dict", ["a", "b"])
    refused(ArgumentError, "'a' is named twice", {"x": ["a", "b"]}, ids="a")
    refused(DatasetIdError, "share the id 'd'", {"d": ["a", "b"]})
    refused(DatasetIdError, "x/y", {"x/y": ["a", "b"]})
    refused(ArgumentError, "keep_ids='batch' is an obs column", {"x": ["a", "b"]}, keep_ids="batch")
    refused(ArgumentError, "keep_ids='dataset'", {"x": ["a", "b"]}, keep_ids="dataset")
    refused(ArgumentError, "profile='small'", profile="small")
    assert dao.load_store(store.path).manifest.generation == 3
    assert dao.validate_store(store.path).ok


def test_a_store_that_changes_meanwhile(
    store: dao.Store, studies: dict[str, ad.AnnData], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others append stays; what they replaced is not undone."""
    original = compact.inspect_sources

    def change(mode: str, name: str) -> None:
        def inspect(*arguments: Any) -> Any:
            source = {name: studies["a"]}
            monkeypatch.setattr(compact, "inspect_sources", original)
            dao.write_store(store.path, source, mode=mode, organism="human", progress=False)
            return original(*arguments)

        monkeypatch.setattr(compact, "inspect_sources", inspect)

    change("append", "e")
    assert store.compact({"ab": ["a", "b"]}, progress=False).datasets == ["ab", "c", "d", "e"]
    change("replace", "c")
    with pytest.raises(StoreChangedError, match="changed 'c' meanwhile"):
        store.compact(ids="c", progress=False)
    assert dao.validate_store(store.path).ok


def test_the_command(store: dao.Store) -> None:
    """dao compact STORE --merge NEW=a,b."""

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(main, ["compact", store.path, *arguments])

    done = run("--merge", "ab=a,b", "--profile", "compact", "--cluster-by", "cell_type")
    assert done.exit_code == 0, done.output
    new = dao.load_store(store.path)
    assert new.datasets == ["ab", "c", "d"]
    assert new.manifest.datasets[0].cluster_by == ("cell_type",)
    assert_same(new, store)
    assert run("c", "--no-shuffle").exit_code == 0
    assert dao.load_store(store.path).history["datasets"].tolist()[-2:] == [["ab"], ["c"]]
    assert "different features" in run("--merge", "x=c,d").output
    assert run("--merge", "nothing").exit_code == 2
