"""A store as a source of `write_store`: the same cells as the studies themselves would give."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import dao
from dao.errors import ArgumentError, DatasetIdError, SourceError, UnknownDatasetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Write = Any


@pytest.fixture
def studies(make_study: Callable[..., ad.AnnData]) -> dict[str, ad.AnnData]:
    """Three studies with genes, dtypes, categories and columns of their own."""
    a, b = make_study(0, 60), make_study(1, 50, genes=[f"G{i}" for i in range(15, 55)])
    dense = make_study(2, 30)
    a.var["symbol"] = [f"name {g}" for g in a.var_names]
    a.var["mean"] = np.arange(40) / 3
    a.obs["seen"] = pd.to_datetime(["2020-01-01", "2021-05-05"] * 30)
    a.obs["nothing"] = None
    b.X = b.X.astype(np.float64) / 3
    b.obs["cell_type"] = b.obs["cell_type"].cat.set_categories(["T", "NK", "none", "B"])
    b.obs["n_genes"] = b.obs["n_genes"].astype(np.int16)
    dense.X = dense.X.toarray().astype(np.int64) + 1
    dense.obs["doublet"] = pd.array([True, None, False] * 10, dtype="boolean")
    return {"a": a, "b": b, "dense": dense}


@pytest.fixture
def store(write: Write, studies: dict[str, ad.AnnData]) -> dao.Store:
    """A store of all of them, one of an organism of its own."""
    sources = [dao.Source(s, n, "mouse" if n == "dense" else "human") for n, s in studies.items()]
    return write(sources, layers=["doubled"], obsm=["X_pca"])


def in_order(store: dao.Store, dataset: str) -> ad.AnnData:
    """Return a dataset in source order, its genes by name."""
    adata = store.subset(dataset=dataset).to_anndata()
    adata = adata[np.argsort(adata.obs["_source_row"])]
    return adata[:, np.sort(adata.var_names)].copy()


def assert_same(mine: ad.AnnData, theirs: ad.AnnData) -> None:
    """Compare everything but the features that only one of the two has, which are zeros."""
    assert set(mine.var_names) <= set(theirs.var_names)
    rest = theirs[:, ~theirs.var_names.isin(mine.var_names)]
    assert not abs(rest.X).sum()
    theirs = theirs[:, mine.var_names].copy()
    for left, right in (
        (mine.X, theirs.X),
        *((mine.layers[n], theirs.layers[n]) for n in theirs.layers),
        *((mine.obsm[n], theirs.obsm[n]) for n in theirs.obsm),
    ):
        assert type(left) is type(right)
        assert left.dtype == right.dtype
        assert not (left != right).sum()
    assert dict(mine.uns) == dict(theirs.uns)
    assert set(mine.layers) == set(theirs.layers)
    assert set(mine.obsm) == set(theirs.obsm)


def test_a_copy_of_a_store(tmp_path: Path, store: dao.Store) -> None:
    """Cells, matrices, types, genes, annotation and what was measured: all is there."""
    new = dao.write_store(tmp_path / "new.dao", store, seed=3, progress=False)
    assert new.datasets == store.datasets
    assert new.organisms == store.organisms
    for name in store.datasets:
        mine, theirs = in_order(new, name), in_order(store, name)
        assert_same(mine, theirs)
        pd.testing.assert_frame_equal(mine.obs, theirs.obs)
        pd.testing.assert_frame_equal(mine.var, theirs.var)
    human, again = store["human"].measured(), new["human"].measured()
    pd.testing.assert_frame_equal(again[human.columns], human)
    for old, one in zip(store.manifest.datasets, new.manifest.datasets, strict=True):
        assert one.obs.columns == old.obs.columns
        assert [(m.source_dtype, m.columns) for m in one.matrices.values()] == [
            (m.source_dtype, m.columns) for m in old.matrices.values()
        ]
    assert dao.validate_store(new.path).ok


def test_the_types_of_a_study_are_its_own(tmp_path: Path, store: dao.Store) -> None:
    """Not those that the first store has united several studies to."""
    new = dao.write_store(tmp_path / "b.dao", store.subset(dataset="b"), progress=False)
    assert new.column_info("n_genes").dtype == "int16"
    assert new.categories("cell_type") == ["T", "NK", "none", "B"]
    assert "nothing" not in new.obs_columns
    # What another study said of these genes is still known.
    assert new.var.loc["G20", "symbol"] == "name G20"


def test_chosen_cells_and_features(tmp_path: Path, store: dao.Store) -> None:
    """Any cells in any order, chosen features; what was not measured stays so."""
    human = store["human"]
    positions = np.random.default_rng(0).permutation(human.n_obs)[:70]
    genes = ["G50", "G3", "G20", "LACKING"]
    chosen = human.take(positions).select_features(genes, missing="zero")
    new = dao.write_store(
        tmp_path / "new.dao", chosen, features=genes, shuffle=False, progress=False
    )
    assert new.var_names.tolist() == genes
    measured = new.measured().to_numpy().tolist()
    assert measured == [[False, True, True, False], [True, False, True, False]]
    for name in "ab":
        mine = new.subset(dataset=name).to_anndata()
        theirs = chosen.subset(dataset=name).to_anndata()
        assert mine.obs_names.tolist() == theirs.obs_names.tolist()
        assert not (mine.X != theirs.X).sum()
        assert mine.obs["_source_row"].tolist() == theirs.obs["_source_row"].tolist()
    shuffled = dao.write_store(tmp_path / "shuffled.dao", chosen, progress=False)
    assert shuffled.var_names.sort_values().tolist() == ["G20", "G3", "G50"]
    assert_same(in_order(shuffled, "a"), in_order(chosen, "a"))


def test_among_other_sources(
    tmp_path: Path, store: dao.Store, make_study: Callable[..., ad.AnnData]
) -> None:
    """In a list or dict, by another id, with renames, constants, a layer and a subset."""
    sources = {
        "memory": make_study(5, 20),
        "renamed": store.subset(dataset="a"),
        "source": dao.Source(
            store.subset(dataset="b"),
            layer="doubled",
            obs={"kind": "cell_type"},
            constants={"tissue": "gut"},
            subset="kind == 'T'",
        ),
    }
    new = dao.write_store(tmp_path / "new.dao", sources, organism="human", progress=False)
    assert new.datasets == list(sources)
    part = new.subset(dataset="source")
    expected = store.subset(dataset="b", cell_type="T")
    assert part.n_obs == expected.n_obs
    assert part.obs["tissue"].eq("gut").all()
    mine, theirs = in_order(new, "source"), in_order(expected, "b")
    assert not (theirs.layers["doubled"] != mine[:, theirs.var_names].X).sum()
    listed = dao.write_store(
        tmp_path / "list.dao", [store["mouse"], store["human"]], progress=False
    )
    assert listed.datasets == ["dense", "a", "b"]


def test_only_what_is_named(tmp_path: Path, store: dao.Store) -> None:
    """A layer by name, no other matrix; and some obs columns."""
    few = dao.load_store(store.path, columns=["cell_type", "score"])
    new = dao.write_store(tmp_path / "new.dao", few, layers="doubled", progress=False)
    assert [d.obsm for d in new.manifest.datasets] == [[], [], []]
    assert new.obs_columns == ("cell_type", "score")
    with pytest.raises(UnknownDatasetError, match="'doubled'"):
        dao.write_store(
            tmp_path / "x.dao", few.subset(dataset="a"), layers="double", progress=False
        )


def test_a_store_of_itself(store: dao.Store) -> None:
    """Some cells of a store in its own place: what is read is open, and so it stays."""
    expected = in_order(store.subset("n_counts > 1000"), "a")
    new = dao.write_store(
        store.path, store.subset("n_counts > 1000", dataset="a"), mode="replace", progress=False
    )
    assert_same(expected, in_order(new, "a"))
    again = dao.write_store(store.path, new.subset(dataset="a"), mode="overwrite", progress=False)
    assert again.datasets == ["a"]
    assert_same(in_order(again, "a"), expected)


@pytest.mark.parametrize("backend", ["zarr", "memory", "h5ad"])
def test_whatever_decodes(
    tmp_path: Path, studies: dict[str, ad.AnnData], store: dao.Store, backend: str
) -> None:
    """Other backends, and files that were not converted."""
    if backend == "h5ad":
        del studies["a"].obs["nothing"], studies["a"].obs["seen"]
        studies["a"].write_h5ad(tmp_path / "a.h5ad")
        opened = dao.load_store(tmp_path / "*.h5ad", backend, layers=["doubled"], obsm=["X_pca"])
    else:
        opened = dao.load_store(store.path, backend).subset(dataset="a")
    new = dao.write_store(tmp_path / "new.dao", opened, progress=False)
    mine, theirs = in_order(new, "a"), in_order(store["human"], "a")
    assert_same(mine, theirs)


def test_what_cannot_be_written(tmp_path: Path, store: dao.Store) -> None:
    """No cells, cells that come twice, ids that do; each is told before anything is written."""
    path = tmp_path / "new.dao"
    a, b = store.subset(dataset="a"), store.subset(dataset="b")

    def write(sources: Any) -> None:
        dao.write_store(path, sources, progress=False)

    with pytest.raises(SourceError, match=r"No cells of .* are selected"):
        write(store.subset("n_counts < 0"))
    with pytest.raises(SourceError, match="several times"):
        write(store.take([0, 1, 0]))
    with pytest.raises(DatasetIdError, match="share the id 'a'"):
        write([a.head(3), a])
    with pytest.raises(ArgumentError, match=r"3 datasets .*leave out 'x'.*dataset='a'"):
        write({"x": store})
    with pytest.raises(ArgumentError, match="no raw"):
        write(dao.Source(a, layer="raw"))
    with pytest.raises(SourceError, match="None of the chosen features was measured in 'b'"):
        write(b.select_features(["G1"]))
    assert not path.exists()


def test_memory_is_bounded(tmp_path: Path) -> None:
    """A dataset many times as large as the budget is never whole in memory."""
    random = np.random.default_rng(0)
    columns = np.tile(np.arange(0, 500, 2, dtype=np.int32), 30_000)
    values = random.integers(1, 200, len(columns)).astype(np.float32)
    x = sp.csr_matrix((values, columns, np.arange(30_001) * 250), shape=(30_000, 500))
    source = ad.AnnData(x)
    store = dao.write_store(tmp_path / "a.dao", {"a": source}, progress=False)
    n_bytes = x.data.nbytes + x.indices.nbytes
    tracemalloc.start()
    new = dao.write_store(
        tmp_path / "b.dao", store, memory="8MB", profile="compact", progress=False
    )
    new = new.compact(memory="8MB", cluster_by=(), seed=1, progress=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < n_bytes / 2
    mine, theirs = in_order(new, "a"), in_order(store, "a")
    assert not (mine.X != theirs.X).sum()
