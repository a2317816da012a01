"""What studies call their obs names is kept, where they agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dao

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import anndata as ad


def named(study: ad.AnnData, name: Any) -> ad.AnnData:
    """Return a study whose obs names have a name."""
    del study.layers["doubled"], study.obsm["X_pca"]
    study.obs.index.name = name
    return study


def called(store: dao.Store) -> Any:
    """Return what a store, a part of it and its AnnData all call obs names."""
    (name,) = {
        store.obs.index.name,
        store.head(3).obs.index.name,
        store.take([2, 2]).obs.index.name,
        store.to_memory().obs.index.name,
        store.to_anndata().obs_names.name,
    }
    return name


def test_every_source(tmp_path: Path, write: Callable[..., dao.Store], make_study: Any) -> None:
    """AnnData, files and stores; also after datasets were written again or merged."""
    studies = {n: named(make_study(i), "spot") for i, n in enumerate("abc")}
    studies["b"].write_h5ad(tmp_path / "b.h5ad")
    studies["c"].write_zarr(tmp_path / "c.zarr")
    sources = {"a": studies["a"], "b": tmp_path / "b.h5ad", "c": tmp_path / "c.zarr"}
    store = write(sources)
    assert called(store) == "spot"
    for backend in ("zarr", "zarrs"):
        assert called(dao.load_store(store.path, backend)) == "spot"
    assert called(dao.load_store([tmp_path / "b.h5ad", tmp_path / "c.zarr"])) == "spot"
    assert called(store.compact({"m": ["a", "b"]}, progress=False)) == "spot"
    assert called(write(store.subset(dataset=["a", "c"]), name="part.dao")) == "spot"


def test_studies_that_disagree(write: Callable[..., dao.Store], make_study: Any) -> None:
    """Each keeps its own; together they have none. A name that is a column is left out."""
    names = ["spot", "cell", None, "spot", "n_counts", "dataset", 7]
    studies = {f"d{i}": named(make_study(i), name) for i, name in enumerate(names)}
    studies["d3"].obs["cell"] = 1
    store = write(studies)
    found = [called(store.subset(dataset=f"d{i}")) for i in range(len(names))]
    assert found == ["spot", None, None, "spot", None, None, None]
    assert store.obs.index.name is None
    assert store.to_anndata().obs_names.name is None
    assert called(store.subset(dataset=["d0", "d3"])) == "spot"
    assert write({"x": named(make_study(9), "spot")}, mode="append").obs.index.name is None
    assert "index_name" not in write(named(make_study(0), None), name="n.dao").manifest.to_json()
