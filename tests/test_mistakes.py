"""What newcomers get wrong, and what they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import dao
from dao.errors import (
    ArgumentError,
    DatasetIdError,
    SourceError,
    StoreNotFoundError,
    UnknownDatasetError,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path, make_study: Any) -> dao.Store:
    """A store with one study."""
    return dao.write_store(
        tmp_path / "atlas.dao", {"gut": make_study(0)}, organism="human", progress=False
    )


@pytest.mark.parametrize("wrong", ["atls.dao", "."])
def test_stores_that_are_near_are_named(store: dao.Store, tmp_path: Path, wrong: str) -> None:
    """A name with a slip, or the folder around a store."""
    with pytest.raises(StoreNotFoundError, match=r"is not a dao store: .*'.*/atlas.dao'"):
        dao.load_store(tmp_path / wrong)
    with pytest.raises(StoreNotFoundError, match=r"nothing at this path\.$"):
        dao.load_store(tmp_path / "no" / "atlas.dao")


def test_files_that_are_no_source(tmp_path: Path) -> None:
    """What they are instead is said, and not what some library thinks of them."""
    (tmp_path / "empty.h5ad").touch()
    (tmp_path / "text.h5ad").write_text("cell,gene\n")
    (tmp_path / "folder.h5ad").mkdir()
    for name, message in (
        ("empty.h5ad", "is empty, 0 bytes"),
        ("text.h5ad", "is not an HDF5 file"),
        ("folder.h5ad", r"not an anndata \.zarr\. Pass a \.h5ad file"),
    ):
        with pytest.raises(SourceError, match=message):
            dao.write_store(tmp_path / "new.dao", tmp_path / name, progress=False)
    assert not (tmp_path / "new.dao").exists()


def test_a_dataset_that_is_there_already(store: dao.Store, make_study: Any) -> None:
    """The mode that replaces it is named."""
    with pytest.raises(DatasetIdError, match=r"'gut' already\. Use mode='replace'"):
        dao.write_store(store.path, {"Gut": make_study(1)}, mode="append", progress=False)


def test_a_dataset_is_no_organism(store: dao.Store) -> None:
    """The call that selects it is named."""
    with pytest.raises(UnknownDatasetError, match=r"store\.subset\(dataset='gut'\)"):
        store["gut"]
    with pytest.raises(UnknownDatasetError, match=r"organism 'mouse'.*'Homo sapiens'"):
        store["mouse"]


def test_a_store_is_no_loop(store: dao.Store) -> None:
    """Who iterates over it is told where batches come from."""
    with pytest.raises(ArgumentError, match=r"store\.torch\(\)"):
        list(store)
