"""A source that changes while it is written is refused; nothing is committed."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pytest

import dao
from dao import errors
from dao.stamps import Stamp
from dao.write import matrix

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dao.write.rows import Rows


def replaced(path: Path, other: Path) -> None:
    """Put another file into the place, as a sync job does."""
    staged = path.with_name("staged")
    if other.is_dir():
        shutil.copytree(other, staged)
        shutil.rmtree(path)
    else:
        shutil.copy(other, staged)
    staged.rename(path)


def rewritten(path: Path, other: Path) -> None:
    """Write other bytes of the same size into the file, as a notebook may."""
    for file in [path] if path.is_file() else (path / "X" / "data").rglob("*"):
        if file.is_file() and not file.name.startswith(".") and file.suffix != ".json":
            content = (other / file.relative_to(path) if path.is_dir() else other).read_bytes()
            file.write_bytes(content[: file.stat().st_size])


def removed(path: Path, other: Path) -> None:
    """Remove the file."""
    path.unlink() if path.is_file() else shutil.rmtree(path)


def touched(path: Path, other: Path) -> None:
    """Change the time of a file by a nanosecond."""
    file = path if path.is_file() else next(p for p in path.rglob("*") if p.is_file())
    found = file.stat()
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns + 1))


@pytest.fixture(params=["h5ad", "zarr"])
def files(
    request: pytest.FixtureRequest, tmp_path: Path, make_study: Callable[..., ad.AnnData]
) -> tuple[Path, Path]:
    """Return two files, or folders, with studies of the same shape."""
    paths = []
    for seed in (0, 1):
        study = make_study(seed)
        del study.uns
        paths.append(tmp_path / f"{seed}.{request.param}")
        getattr(study, f"write_{request.param}")(paths[-1])
    return paths[0], paths[1]


def while_reading(monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
    """Call a function once, as soon as the first piece of a matrix was read for writing."""
    pieces = matrix.SourceMatrix.pieces

    def changing(self: Any, *arguments: Any) -> Any:
        for number, piece in enumerate(pieces(self, *arguments)):
            yield piece
            if not number and not done:
                done.append(True)
                change()

    done: list[bool] = []
    monkeypatch.setattr(matrix.SourceMatrix, "pieces", changing)


@pytest.mark.parametrize("change", [replaced, rewritten, removed, touched])
@pytest.mark.parametrize("mode", ["create", "append"])
def test_a_change_while_it_is_read_is_refused(
    files: tuple[Path, Path],
    change: Callable[[Path, Path], None],
    mode: str,
    tmp_path: Path,
    make_study: Callable[..., ad.AnnData],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error names the file, and the store is what it was before."""
    path, other = files
    store = tmp_path / "s.dao"
    if mode == "append":
        dao.write_store(store, {"first": make_study(2)}, progress=False)
    while_reading(monkeypatch, lambda: change(path, other))
    with pytest.raises(errors.SourceError, match=f"{path.name} was changed while"):
        dao.write_store(store, {"s": path}, mode=mode, progress=False)
    monkeypatch.undo()
    if mode == "create":
        assert not store.exists()
    else:
        assert dao.load_store(store).datasets == ["first"]
        assert dao.validate_store(store, progress=False).ok


@pytest.mark.parametrize("change", [replaced, removed, touched])
def test_a_change_after_the_first_look_is_refused(
    files: tuple[Path, Path],
    change: Callable[[Path, Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the inspection of all sources and the writing of one."""
    from dao.write import run

    path, other = files
    plan = run.make_plan

    def planned(*arguments: Any) -> Any:
        change(path, other)
        return plan(*arguments)

    monkeypatch.setattr(run, "make_plan", planned)
    with pytest.raises(errors.SourceError, match=f"{path.name} was changed while"):
        dao.write_store(tmp_path / "s.dao", {"s": path}, progress=False)
    assert not (tmp_path / "s.dao").exists()


def test_a_source_that_does_not_change_is_written(files: tuple[Path, Path], tmp_path: Path) -> None:
    """Reading a file, and a change of one that is already in the store, change nothing."""
    path, other = files
    store = dao.write_store(tmp_path / "s.dao", {"s": path, "t": other}, progress=False)
    read = ad.read_h5ad(path) if path.suffix == ".h5ad" else ad.read_zarr(path)
    mine = store.subset(dataset="s").to_anndata()[list(read.obs_names), list(read.var_names)]
    np.testing.assert_array_equal(mine.X.toarray(), read.X.toarray())


def test_a_file_behind_a_backed_anndata_has_a_stamp(
    tmp_path: Path, make_study: Callable[..., ad.AnnData], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read piece by piece like any other."""
    path, other = tmp_path / "a.h5ad", tmp_path / "b.h5ad"
    make_study(0).write_h5ad(path)
    make_study(1).write_h5ad(other)
    backed = ad.read_h5ad(path, backed="r")
    while_reading(monkeypatch, lambda: replaced(path, other))
    with pytest.raises(errors.SourceError, match=r"a\.h5ad was changed while"):
        dao.write_store(tmp_path / "s.dao", {"s": backed}, progress=False)
    backed.file.close()


def test_a_stream_of_a_file_that_changes_ends_in_an_error(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it changes during the read, and is read for the last time."""
    path, other = files
    store = dao.load_store([path])
    read = store.reader._matrix("0", "X").source.read

    def changing(*arguments: Any) -> Rows:
        found: Rows = read(*arguments)
        replaced(path, other)
        return found

    aligned = store.reader._matrix("0", "X")
    source = replace(aligned.source, read=changing)
    store.reader._matrices["0", "X"] = replace(aligned, source=source)
    with pytest.raises(errors.StoreChangedError, match="has changed"):
        store.to_anndata()


def test_a_digest_is_that_of_the_time_and_size(tmp_path: Path) -> None:
    """So a copy that keeps its time is the same store, as saved selections need."""
    file = tmp_path / "x.h5ad"
    file.write_bytes(b"abc")
    before = Stamp(file).digest
    shutil.copy2(file, tmp_path / "y")
    (tmp_path / "y").rename(file)
    assert Stamp(file).digest == before
    touched(file, file)
    assert Stamp(file).digest != before
