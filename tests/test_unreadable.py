"""Files that cannot be read are refused with what is wrong and what to do; no advice that does not help."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

import dao
from dao import errors
from dao.write.hdf5_errors import why_unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    import anndata as ad


@pytest.fixture
def file(tmp_path: Path, make_study: Callable[..., ad.AnnData]) -> Path:
    """An .h5ad file."""
    path = tmp_path / "s.h5ad"
    make_study(n_obs=9).write_h5ad(path)
    return path


def with_filter(file: Path, name: str, number: int) -> None:
    """Make a dataset look as if it had been compressed with a filter that is not here."""
    with h5py.File(file, "r+") as opened:
        old = opened[name]
        values, attributes = old[:], dict(old.attrs)
        del opened[name]
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_chunk(values.shape)
        settings.set_filter(number, h5py.h5z.FLAG_OPTIONAL, (0, 0, 0, 0))
        space = h5py.h5s.create_simple(values.shape)
        kind = h5py.h5t.py_create(values.dtype)
        made = h5py.h5d.create(opened.id, name.encode(), kind, space, settings)
        made.write_direct_chunk((0,) * values.ndim, values.tobytes(), filter_mask=0)
        opened[name].attrs.update(attributes)


@pytest.mark.parametrize(
    ("number", "name"), [(32001, "blosc"), (32015, "zstd"), (32999, "unknown")]
)
@pytest.mark.parametrize("element", ["X/data", "X/indices", "obs/n_genes", "obs/cell_type/codes"])
def test_a_filter_that_is_not_here_is_named(
    file: Path, number: int, name: str, element: str, tmp_path: Path
) -> None:
    """With the package to install."""
    with_filter(file, element, number)
    with pytest.raises(errors.SourceError, match=rf"{name} \(number {number}\).*hdf5plugin"):
        dao.write_store(tmp_path / "s.dao", file, progress=False)
    assert not (tmp_path / "s.dao").exists()


def test_hdf5plugin_is_imported_where_it_is_needed(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not for files that need nothing."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "hdf5plugin.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "hdf5plugin", raising=False)
    dao.write_store(tmp_path / "s.dao", file, progress=False)
    assert "hdf5plugin" not in sys.modules
    with_filter(file, "X/data", 32001)
    with pytest.raises(errors.SourceError, match="blosc"):
        dao.write_store(tmp_path / "t.dao", file, progress=False)
    assert "hdf5plugin" in sys.modules
    monkeypatch.delitem(sys.modules, "hdf5plugin", raising=False)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_file_that_is_cut_short(file: Path, share: float, tmp_path: Path) -> None:
    """It is to be copied again, not written again with anndata."""
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(errors.SourceError, match=r"cut short.*Copy it again") as caught:
        dao.write_store(tmp_path / "s.dao", file, progress=False)
    assert "write_h5ad" not in str(caught.value)


def test_a_file_that_is_open_for_writing_elsewhere(file: Path, tmp_path: Path) -> None:
    """In another process, and in this one."""
    code = (
        "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); print('open', flush=True); "
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(errors.SourceError, match="open for writing"):
            dao.write_store(tmp_path / "s.dao", file, progress=False)
        process.stdin.close()
    assert dao.write_store(tmp_path / "s.dao", file, progress=False).n_obs == 9


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied"), "permission is denied"),
        (OSError(13, "Unable to synchronously open file"), "permission is denied"),
        (IsADirectoryError(21, "Is a directory"), "folder"),
        (BlockingIOError(11, "Resource temporarily unavailable"), "open for writing"),
        (ValueError("something else"), None),
    ],
)
def test_known_causes(error: Exception, words: str | None) -> None:
    """Those that a test cannot make for the superuser; others are not explained."""
    found = why_unreadable(error)
    assert (found is None) if words is None else (found is not None and words in found)


# --- files of stores ---------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["local", "zarr", "zarrs"])
def test_a_store_that_was_moved_is_not_to_be_written_again(
    backend: str, write: Callable[..., dao.Store], make_study: Callable[..., ad.AnnData]
) -> None:
    """It is somewhere else, and a file of it that is missing may be on its way."""
    path = write({"s": make_study(n_obs=9)}).path
    calls: tuple[Callable[[dao.Store], Any], ...] = (
        lambda store: store.to_anndata(),
        lambda store: store.obs,
        lambda store: next(iter(store.generator(batch_size=4))),
    )
    opened = [dao.load_store(path, backend) for _ in calls]
    moved = shutil.move(path, f"{path}-moved")
    for call, store in zip(calls, opened, strict=True):
        with pytest.raises(errors.StoreNotFoundError, match="not there any more") as caught:
            call(store)
        assert "again" not in str(caught.value)
        assert "estore" not in str(caught.value).replace("load_store", "")
    assert np.isfinite(dao.load_store(moved, backend).to_anndata().X.sum())


@pytest.mark.parametrize(
    "pattern", ["datasets/*/obs.parquet", "datasets/*/X/data/c/0", "features/*"]
)
def test_a_file_that_is_missing_is_copied_again(
    pattern: str, write: Callable[..., dao.Store], make_study: Callable[..., ad.AnnData]
) -> None:
    """The store need not be written again for it."""
    path = Path(write({"s": make_study(n_obs=9)}).path)
    next(path.glob(pattern)).unlink()
    with pytest.raises(errors.CorruptStoreError, match=r"is missing.*Copy it here") as caught:
        dao.load_store(path).to_anndata()
    assert "write the store again" not in str(caught.value)
    report = dao.validate_store(path, progress=False)
    assert not report.ok


def test_a_store_that_was_written_again_is_opened_again(
    write: Callable[..., dao.Store], make_study: Callable[..., ad.AnnData], tmp_path: Path
) -> None:
    """What was opened before has gone, and nothing is damaged."""
    path = Path(write({"s": make_study(n_obs=9)}).path)
    store = dao.load_store(path)
    other = dao.write_store(tmp_path / "other.dao", {"t": make_study(1)}, progress=False)
    shutil.rmtree(path)
    shutil.copytree(other.path, path)
    with pytest.raises(errors.StoreChangedError, match=r"Call dao\.load_store again"):
        store.to_anndata()
