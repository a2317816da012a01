"""A file that dao replaces is whole at every moment: the old one, or the new one."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import pytest
from click.testing import CliRunner

import dao
from dao import errors
from dao.replacing import replace_file, replacing
from dao.report import Page

if TYPE_CHECKING:
    from collections.abc import Callable


def names(folder: Path) -> list[str]:
    """Return what is in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ValueError])
def test_the_old_file_stays_after_an_error(tmp_path: Path, error: type[BaseException]) -> None:
    """Ctrl-C included; nothing is left next to it."""
    file = tmp_path / "x.json"
    file.write_text("old")

    def fail() -> None:
        with replacing(file) as staged:
            staged.write_text("ha")
            raise error

    with pytest.raises(error):
        fail()
    assert file.read_text() == "old"
    assert names(tmp_path) == ["x.json"]


def test_the_new_file_has_the_mode_of_the_old_one(tmp_path: Path) -> None:
    """And a link to the file stays a link."""
    file, link = tmp_path / "x.json", tmp_path / "link.json"
    replace_file(file, b"old")
    file.chmod(0o640)
    link.symlink_to(file)
    replace_file(link, b"new")
    assert link.is_symlink()
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert names(tmp_path) == ["link.json", "x.json"]


def test_the_longest_names_can_be_replaced(tmp_path: Path) -> None:
    """The name of the file that is renamed is not longer."""
    file = tmp_path / f"{'ü' * 120}.html"
    replace_file(file, b"new")
    assert file.read_bytes() == b"new"


def test_what_the_file_system_refuses_is_said_in_words(tmp_path: Path) -> None:
    """A folder at the path, and a folder that is not there."""
    with pytest.raises(errors.StorageError, match="is a folder"):
        replace_file(tmp_path, b"")
    with pytest.raises(errors.StorageError, match=f"no folder {tmp_path / 'no'}"):
        replace_file(tmp_path / "no" / "x", b"")


def test_a_device_is_written_directly() -> None:
    """As in ``-o /dev/null``."""
    replace_file(Path("/dev/null"), b"page")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.fixture
def store(tmp_path: Path, make_study: Callable[..., ad.AnnData]) -> dao.Store:
    """A store of one small study."""
    return dao.write_store(tmp_path / "s.dao", {"s": make_study(n_obs=9)}, progress=False)


def half_written(self: ad.AnnData, path: Any, **_: Any) -> None:
    """Write a stub, then fail as h5py does when the disk is full."""
    Path(path).write_bytes(b"stub")
    msg = "Can't synchronously write data (No space left on device)"
    raise OSError(28, msg)


def test_an_export_that_fails_leaves_the_old_file(
    tmp_path: Path, store: dao.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--overwrite`` replaces a file by a whole one only."""
    from dao.cli.app import main

    file = tmp_path / "out.h5ad"
    assert CliRunner().invoke(main, ["export", store.path, str(file)]).exit_code == 0
    before = file.read_bytes()
    monkeypatch.setattr(ad.AnnData, "write_h5ad", half_written)
    result = CliRunner().invoke(main, ["export", store.path, str(file), "--overwrite"])
    assert isinstance(result.exception, errors.StorageError | SystemExit)
    assert file.read_bytes() == before
    assert names(tmp_path) == ["out.h5ad", "s.dao"]


def test_a_report_and_a_selection_that_fail_leave_the_old_files(
    tmp_path: Path, store: dao.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are written next to the old file first."""
    page = object.__new__(Page)
    page.__dict__["html"] = "a page"  # which takes seconds to draw
    file, chosen = tmp_path / "page.html", tmp_path / "chosen.json"
    page.save(file)
    store.save_selection(chosen)
    before = {f: f.read_bytes() for f in tmp_path.iterdir() if f.is_file()}
    assert len(before) == 3

    def fails(self: Path, content: bytes) -> int:
        with self.open("wb") as opened:
            opened.write(content[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fails)
    for call in (lambda: page.save(file), lambda: store.take([0]).save_selection(chosen)):
        with pytest.raises(errors.StorageError, match="No space left"):
            call()
    monkeypatch.undo()
    assert {f: f.read_bytes() for f in tmp_path.iterdir() if f.is_file()} == before
