"""Stores that are closed: files are released, and reading ends in an error."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import pytest

import dao
from dao.errors import SourceError, StoreClosedError

if TYPE_CHECKING:
    from collections.abc import Callable

    import anndata as ad

READS: dict[str, Callable[[dao.Store], Any]] = {
    "obs": lambda store: store.obs,
    "var": lambda store: store.var,
    "uns": lambda store: store.uns,
    "subset": lambda store: store.subset(cell_type="B"),
    "take": lambda store: store.take([1]),
    "to_anndata": lambda store: store.to_anndata(),
    "stream": lambda store: next(iter(store.generator(8))),
    "values": lambda store: store.value_counts("cell_type"),
    "split": lambda store: store.split({"a": 0.5, "b": 0.5}),
    "with": lambda store: store.__enter__(),
}


def open_files(folder: Path) -> list[str]:
    """Return the files of a folder that this process has open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith(str(folder)):
            found.append(target)
    return found


@pytest.fixture(scope="module")
def folder(make_study: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, and the same study as a file."""
    root = tmp_path_factory.mktemp("closing")
    study: ad.AnnData = make_study(n_obs=4_000)
    del study.layers["doubled"], study.obsm["X_pca"]
    study.write_h5ad(root / "study.h5ad")
    dao.write_store(root / "a.dao", root / "study.h5ad", organism="human", progress=False)
    return root


def opened(folder: Path, backend: str, web_server: Any) -> dao.Store:
    if backend == "h5ad":
        return dao.load_store(folder / "study.h5ad", organism="human")
    if backend == "cloud":
        return dao.load_store(web_server.url(folder / "a.dao"), cache_dir=folder / "cache")
    return dao.load_store(folder / "a.dao", backend)


BACKENDS = ["local", "zarrs", "zarr", "memory", "cloud", "h5ad"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_closed_store(folder: Path, backend: str, web_server: Any) -> None:
    """Nothing of it can be read, nor of what was chosen from it before, also from caches."""
    store = opened(folder, backend, web_server)
    part = store.subset(cell_type="B")
    for read in READS.values():
        if read is not READS["with"]:
            read(part)
            read(store)
    part.close()
    store.close()
    assert not open_files(folder)
    for closed in (store, part, pickle.loads(pickle.dumps(part))):
        for read in READS.values():
            with pytest.raises(StoreClosedError, match=r"dao\.load_store"):
                read(closed)
    assert "4,000 cells" in repr(store)
    assert store.n_obs == 4_000
    assert opened(folder, backend, web_server).to_anndata().n_obs == 4_000


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("transform", [None, lambda batch: batch])
def test_running_iterators(folder: Path, backend: str, web_server: Any, transform: Any) -> None:
    """They end with an error, wherever they are; what came before is right."""
    with opened(folder, backend, web_server) as store:
        fresh = store.generator(100, transform=transform)
        streams = [iter(store.generator(100, transform=transform)) for _ in range(3)]
        for n, stream in enumerate(streams):
            for _ in range(1 + 19 * n):
                next(stream)
    for stream in streams:
        with pytest.raises(StoreClosedError):
            next(stream)
        with pytest.raises(StopIteration):
            next(stream)
    with pytest.raises(StoreClosedError):
        next(iter(fresh))
    del streams, stream, fresh
    assert not open_files(folder)


def test_errors_close_too(folder: Path) -> None:
    """A block that ends with an error closes the store, and the error comes through."""
    with pytest.raises(ZeroDivisionError), dao.load_store(folder / "a.dao") as store:
        1 / 0  # noqa: B018
    with pytest.raises(StoreClosedError):
        store.obs  # noqa: B018


def test_a_file_can_be_written_after_closing(folder: Path) -> None:
    """HDF5 locks a file that is open; closing the store gives it free."""
    store = dao.load_store(folder / "study.h5ad", organism="human")
    store.to_anndata()
    command = [
        sys.executable,
        "-c",
        f"import h5py; h5py.File({str(folder / 'study.h5ad')!r}, 'r+')",
    ]
    assert subprocess.run(command, check=False, capture_output=True).returncode != 0
    store.close()
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


LOCK = """
import fcntl, sys, h5py
file = h5py.File(sys.argv[1], "r+") if sys.argv[2] == "HDF5" else open(sys.argv[1], "r+")
if sys.argv[2] != "HDF5":
    fcntl.flock(file, fcntl.LOCK_EX)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["HDF5", "flock"])
def test_a_locked_file(folder: Path, kind: str) -> None:
    """The error names the cause and the ways out, wherever such a file is opened."""
    path = folder / "study.h5ad"
    held = subprocess.Popen(
        [sys.executable, "-c", LOCK, str(path), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert held.stdout
        assert held.stdout.readline() == b"ready\n"
        calls: dict[str, Callable[[], Any]] = {
            "write": lambda: dao.write_store(folder / "b.dao", path, progress=False),
            "several": lambda: dao.write_store(folder / "b.dao", {"a": path}, progress=False),
            "load": lambda: dao.load_store(path),
            "pattern": lambda: dao.load_store(f"{folder}/*.h5ad"),
            "named": lambda: dao.load_store({"a": path}, "h5ad"),
        }
        for call in calls.values():
            with pytest.raises(SourceError, match=r"another process.*HDF5_USE_FILE_LOCKING") as got:
                call()
            assert "write it again" not in str(got.value)
        command = [sys.executable, "-m", "dao", "write", str(path), str(folder / "b.dao")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "HDF5_USE_FILE_LOCKING" in " ".join((done.stdout + done.stderr).split())
    finally:
        held.communicate()
    assert not os.path.exists(folder / "b.dao")  # noqa: PTH110
    assert h5py.is_hdf5(path)
