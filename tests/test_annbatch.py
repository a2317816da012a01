"""annbatch: its collections as sources, and dao's stores in its loader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import zarr

import dao
from dao.errors import ArgumentError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def like_annbatch(path: Path, studies: list[ad.AnnData]) -> Path:
    """Write a collection in the layout of annbatch 0.3, without it."""
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.attrs.update({"encoding-type": "annbatch-preshuffled", "encoding-version": "0.1.0"})
    for number, study in enumerate(studies):
        ad.io.write_elem(group, f"dataset_{number}", study)
    return path


@pytest.fixture
def parts(make_study: Callable[..., ad.AnnData]) -> list[ad.AnnData]:
    """Eleven small studies: more than one digit counts."""
    return [make_study(i, 10 + i) for i in range(11)]


def test_a_collection_becomes_a_store(
    tmp_path: Path, parts: list[ad.AnnData], assert_holds: Callable[..., None]
) -> None:
    """Each dataset by a number, in their order; also among other sources."""
    path = like_annbatch(tmp_path / "atlas.zarr", parts)
    store = dao.write_store(tmp_path / "new.dao", path, progress=False)
    assert store.datasets == [f"atlas_{i}" for i in range(11)]
    assert_holds(store, {f"atlas_{i}": part for i, part in enumerate(parts)})
    one = like_annbatch(tmp_path / "one.zarr", parts[:1])
    sources = [dao.Source(one, constants={"maker": "annbatch"}), dao.Source(parts[1], id="memory")]
    both = dao.write_store(tmp_path / "both.dao", sources, progress=False)
    assert both.datasets == ["one_0", "memory"]
    assert both.subset(maker="annbatch").n_obs == 10
    named = dao.write_store(tmp_path / "named.dao", {"x": one}, progress=False)
    assert named.datasets == ["x"]


def test_what_is_wrong_with_a_collection(tmp_path: Path, parts: list[ad.AnnData]) -> None:
    """One id for several datasets, and no dataset at all."""
    path = like_annbatch(tmp_path / "atlas.zarr", parts[:2])
    with pytest.raises(ArgumentError, match="2 datasets"):
        dao.write_store(tmp_path / "new.dao", {"x": path}, progress=False)
    with pytest.raises(SourceError, match="without datasets"):
        dao.write_store(
            tmp_path / "new.dao", like_annbatch(tmp_path / "e.zarr", []), progress=False
        )


def test_a_dataset_is_an_anndata_element(
    write: Callable[..., dao.Store], make_study: Callable[..., ad.AnnData]
) -> None:
    """``anndata.io.sparse_dataset`` and ``read_elem`` open X as it lies on disk."""
    store = write({"a": make_study(1, 400)})
    element = zarr.open_group(f"{store.path}/datasets/a", mode="r")["X"]
    expected = store.to_anndata().X
    backed = ad.io.sparse_dataset(element)
    assert backed.shape == store.shape
    rows = np.array([5, 17, 18, 300])
    np.testing.assert_array_equal(backed[rows].toarray(), expected[rows].toarray())
    np.testing.assert_array_equal(ad.io.read_elem(element).toarray(), expected.toarray())


@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_a_collection_of_annbatch_itself(
    tmp_path: Path, make_study: Callable[..., ad.AnnData]
) -> None:
    """The object and its path are the same source, with the cells that went in."""
    annbatch = pytest.importorskip("annbatch")
    studies = {n: make_study(i, 120) for i, n in enumerate(("gut", "blood"))}
    for name, study in studies.items():
        study.write_h5ad(tmp_path / f"{name}.h5ad")
    collection = annbatch.DatasetCollection(tmp_path / "out.zarr")
    files = [tmp_path / f"{name}.h5ad" for name in studies]
    collection.add_adatas(
        files, rng=np.random.default_rng(0), dataset_size=90, shuffle_chunk_size=30
    )
    by_path = dao.write_store(tmp_path / "a.dao", tmp_path / "out.zarr", progress=False)
    by_object = dao.write_store(tmp_path / "b.dao", collection, layers=["doubled"], progress=False)
    assert by_path.datasets == by_object.datasets
    assert len(by_path.datasets) > 1
    for store in (by_path, by_object):
        everything = store.to_anndata()
        for study in studies.values():
            mine = everything[study.obs_names, study.var_names]
            assert (mine.X != study.X).nnz == 0
            assert list(mine.obs["cell_type"]) == list(study.obs["cell_type"])


def test_the_loader_of_annbatch_reads_a_store(
    write: Callable[..., dao.Store], make_study: Callable[..., ad.AnnData]
) -> None:
    """Every cell once, with its counts and labels, also after an append that brought genes."""
    annbatch = pytest.importorskip("annbatch")
    write({"a": make_study(1, 300)})
    wider = make_study(2, 200, genes=[f"G{i}" for i in range(45)], n_vars=45)
    store = write({"b": wider}, mode="append").compact(progress=False)
    loader = annbatch.Loader(
        batch_size=50, chunk_size=10, preload_nchunks=10, shuffle=True, return_index=True
    )
    for dataset in store.manifest.datasets:
        element = zarr.open_group(f"{store.path}/{dataset.path}", mode="r")["X"]
        obs = store.subset(dataset=dataset.id).obs[["cell_type"]]
        loader = loader.add_dataset(ad.io.sparse_dataset(element), obs=obs)
    expected = store.to_anndata()
    seen: list[Any] = []
    for batch in loader:
        index = np.asarray(batch["index"])
        x = batch["X"]
        dense = x.to_dense().numpy() if hasattr(x, "to_dense") else x.toarray()
        np.testing.assert_array_equal(dense, expected.X[index].toarray())
        labels = pd.Series(batch["obs"]["cell_type"]).to_numpy(object)
        assert list(labels) == list(expected.obs["cell_type"].iloc[index])
        seen += index.tolist()
    assert sorted(seen) == list(range(500))
