"""Damage: whichever file of a store is lost, cut or altered, it is found and never read as data."""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import dao
from dao import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.once

N_FLIPS = 3
MOST_FILES = 5


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, make_study: Callable[..., Any]) -> Path:
    """A small store of two datasets with everything that a store can have, in two generations."""
    path = tmp_path_factory.mktemp("base") / "store.dao"
    options: dict[str, Any] = {"layers": ["doubled"], "obsm": ["X_pca"], "progress": False}
    dao.write_store(
        path, {"a": make_study(0, 20)}, features=[f"G{i}" for i in range(1, 40)], **options
    )
    dao.write_store(path, {"b": make_study(1, 20)}, mode="append", **options)
    return path


def content(path: Path, backend: str) -> dict[str, Any]:
    """Return all that can be read from a store."""
    store = dao.load_store(path, backend)
    adata = store.to_anndata()
    return {
        "x": adata.X.toarray(),
        "layer": adata.layers["doubled"].toarray(),
        "obsm": adata.obsm["X_pca"],
        "obs": store.obs.astype(str).to_numpy(),
        "names": store.obs.index.to_numpy(),
        "categories": np.array(store.categories("cell_type")),
        "var": store.var.astype(str).to_numpy(),
        "measured": store.measured().to_numpy(),
        "matching": store.matching().astype(str).to_numpy(),
        "uns": store.uns,
    }


def damages(data: bytes, random: np.random.Generator) -> Iterator[tuple[str, bytes | None]]:
    """Yield what can happen to a file: lost, empty, cut, one bit flipped, longer."""
    yield "lost", None
    for stop in {0, len(data) // 2, len(data) - 1} - {len(data)}:
        yield f"cut at {stop}", data[:stop]
    places = {0, len(data) - 1, *random.integers(0, len(data), N_FLIPS).tolist()}
    for place in sorted(places) if data else ():
        bit = int(random.integers(8))
        flipped = bytearray(data)
        flipped[place] ^= 1 << bit
        yield f"bit {bit} of byte {place} flipped", bytes(flipped)
    yield "one byte longer", data + b"\0"


FILES = [
    "dao.json",
    "generations/1.json",
    "generations/2.json",
    "features/*.parquet",
    "obs/*.parquet",
    "datasets/*/zarr.json",
    "datasets/*/obs.parquet",
    "datasets/*/features.parquet",
    "datasets/*/dropped.parquet",
    "datasets/*/uns.json",
    "datasets/*/*/**/zarr.json",
    "datasets/*/*/**/c/*",
    "datasets/*/*/**/c/*/*",
]
# Those without which all content can be read.
NOT_NEEDED = {
    "generations/1.json",
    "generations/2.json",
    "datasets/*/zarr.json",
    "datasets/*/dropped.parquet",
    "datasets/*/*/**/zarr.json",
}
FOLDERS = ["features/*.parquet", "datasets/*/obs.parquet", "datasets/*/*/**/c/*"]


@pytest.mark.parametrize("pattern", FILES)
def test_every_file(base: Path, tmp_path: Path, pattern: str) -> None:
    """`dao validate` names it; reading is an error or exact, with every backend."""
    path = tmp_path / "store.dao"
    shutil.copytree(base, path)
    exact = content(path, "zarr")
    random = np.random.default_rng(0)
    files = [p for p in sorted(path.glob(pattern)) if p.is_file()]
    assert files
    for file in random.permutation(np.array(files, object))[:MOST_FILES]:
        data = file.read_bytes()
        for what, damaged in damages(data, random):
            if damaged is None:
                file.unlink()
            else:
                file.write_bytes(damaged)
            where = f"{file.relative_to(path)}: {what}"
            check_found(path, file, where)
            for backend in ("local", "zarrs", "zarr"):
                check_read(path, backend, exact, where)
            file.write_bytes(data)
    assert dao.validate_store(path).ok


@pytest.mark.parametrize(
    ("pattern", "whole_folder"), [*((f, False) for f in FILES), *((f, True) for f in FOLDERS)]
)
def test_links_out_of_the_store(
    base: Path, tmp_path: Path, pattern: str, whole_folder: bool
) -> None:
    """What a link points at is no part of a store, be it exact: reading it is an error."""
    path, outside = tmp_path / "store.dao", tmp_path / "outside"
    shutil.copytree(base, path)
    exact = content(base, "zarr")
    file = [p for p in sorted(path.glob(pattern)) if p.is_file()][-1]
    place = file.parent if whole_folder and file.parent != path else file
    place.rename(outside)
    place.symlink_to(outside)
    if file.name != "dao.json":
        report = "\n".join(dao.validate_store(path).problems)
        assert "symbolic link" in report
        assert str(file.relative_to(path)).partition("/c/")[0] in report
    for backend in ("local", "zarrs", "zarr"):
        if whole_folder or pattern not in NOT_NEEDED:
            with pytest.raises(errors.CorruptStoreError, match="symbolic link"):
                content(path, backend)
        else:
            check_read(path, backend, exact, pattern)


def test_links_inside_a_store_and_to_it(base: Path, tmp_path: Path) -> None:
    """A link to a store opens it, and one from a file to another of the store is followed."""
    shutil.copytree(base, tmp_path / "store.dao")
    exact = content(tmp_path / "store.dao", "zarr")
    path = tmp_path / "link.dao"
    path.symlink_to(tmp_path / "store.dao")
    shard = next(p for p in sorted(path.glob("datasets/*/X/data/c/*")) if p.is_file())
    shard.rename(path / "elsewhere")
    shard.symlink_to(path / "elsewhere")
    for backend in ("local", "zarrs", "zarr"):
        check_read(path, backend, exact, "link")
        content(path, backend)


def check_found(path: Path, file: Path, where: str) -> None:
    """Check that validation notices the damage and names the file, or its array."""
    if file.name == "dao.json":
        with suppress(errors.StoreNotFoundError, errors.FormatVersionError):
            assert dao.validate_store(path).problems, where
        return
    report = dao.validate_store(path)
    if where == "generations/1.json: lost":
        assert report.garbage  # as after its removal: what it named is not needed any more
        return
    named, _, _ = str(file.relative_to(path)).partition("/c/")
    assert named in "\n".join(report.problems), f"{where}: {report}"


def check_read(path: Path, backend: str, exact: dict[str, Any], where: str) -> None:
    """Check that what is read is exact, or an error of dao."""
    try:
        found = content(path, backend)
    except errors.DaoError:
        return
    for name, value in exact.items():
        np.testing.assert_equal(found[name], value, err_msg=f"{where}, {backend}: {name}")
