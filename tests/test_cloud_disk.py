"""A cache whose disk makes trouble: reading goes on without it, after one warning."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import dao
from dao.errors import DaoWarning

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once

pytest.importorskip("obstore")


@pytest.fixture(scope="module")
def local(make_study: Any, tmp_path_factory: pytest.TempPathFactory) -> dao.Store:
    """A store of several datasets, larger than the small disk."""
    studies = {str(k): make_study(k, n_obs=800, n_vars=400) for k in range(5)}
    path = tmp_path_factory.mktemp("disk") / "a.dao"
    return dao.write_store(path, studies, layers=["doubled"], organism="human", progress=False)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that holds one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def sums(store: dao.Store, **arguments: Any) -> float:
    return sum(float(b["X"].sum(dtype=np.float64)) for b in store.generator(64, **arguments))


def of_dao(caught: list[warnings.WarningMessage]) -> list[str]:
    return [str(w.message) for w in caught if issubclass(w.category, DaoWarning)]


def assert_reads_on(local: dao.Store, store: dao.Store, n_threads: int = 1) -> list[str]:
    """Read two epochs in each thread, compare, and return the warnings of all of them."""
    expected = float(local.to_anndata().X.sum(dtype=np.float64))
    found: list[float | BaseException] = []

    def read(seed: int) -> None:
        try:
            found.extend(sums(store, seed=seed + k, layers=["doubled"]) for k in range(2))
        except BaseException as error:  # noqa: BLE001 - shown by the comparison
            found.append(error)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=read, args=(k,)) for k in range(n_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [pytest.approx(expected)] * (2 * n_threads)
    return of_dao(caught)


@pytest.mark.parametrize(("filled", "n_threads"), [(0, 4), (600_000, 1), (1 << 20, 4)])
def test_full_disk(
    local: dao.Store, web_server: Any, small_disk: Path, filled: int, n_threads: int
) -> None:
    """A disk that is full, or becomes full in the middle of an epoch of several threads."""
    (small_disk / "other").write_bytes(bytes(filled))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        store = dao.load_store(web_server.url(local.path), cache_dir=small_disk / "cache")
        told = of_dao(caught)
    told += assert_reads_on(local, store, n_threads)
    assert len(told) == 1
    assert "No space left" in told[0]
    assert str(small_disk) in told[0]
    assert "cache_dir=" in told[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = local.to_anndata()
        assert abs(store.to_anndata().X - expected.X).nnz == 0
        assert store.obs.equals(local.obs)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("pwrite", errno.EDQUOT),
        ("pwrite", errno.EIO),
        ("pread", errno.EIO),
        ("open", errno.EROFS),
        ("utime", errno.EACCES),
    ],
)
def test_errors_of_a_disk(
    local: dao.Store,
    web_server: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: int,
    call: str,
) -> None:
    """What cannot be had here for real: quotas, broken disks, file systems that turn read-only."""
    plain = getattr(os, call)

    def refuse(file: Any, *arguments: Any, **named: Any) -> Any:
        path = str(Path(f"/proc/self/fd/{file}").readlink() if isinstance(file, int) else file)
        if path.startswith(f"{tmp_path}/cache") and refuses:
            raise OSError(error, os.strerror(error))
        return plain(file, *arguments, **named)

    refuses = False
    monkeypatch.setattr(f"os.{call}", refuse)
    store = dao.load_store(web_server.url(local.path), cache_dir=tmp_path / "cache")
    sums(store.subset(dataset="0"))
    refuses = True
    told = assert_reads_on(local, store, n_threads=2)
    assert len(told) == 1
    assert os.strerror(error) in told[0]


@pytest.mark.parametrize("how", ["removed", "a file", "cut", "emptied"])
def test_cache_that_is_changed_while_it_is_used(
    local: dao.Store, web_server: Any, tmp_path: Path, how: str
) -> None:
    """What is removed is made again; what is in the way of the folder is one warning."""
    cache = tmp_path / "cache"
    store = dao.load_store(web_server.url(local.path), cache_dir=cache)
    generator = store.generator(64, layers=["doubled"])
    stream = iter(generator)
    next(stream)
    files = [p for p in cache.rglob("*") if p.is_file()]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if how in {"removed", "a file"}:
            shutil.rmtree(cache)
        if how == "a file":
            cache.write_text("in the way")
        for file in files if how in {"cut", "emptied"} else ():
            os.truncate(file, 100 if how == "cut" else 0)
        n = 64 + sum(len(batch["index"]) for batch in stream)
    assert n == local.n_obs
    told = of_dao(caught) + assert_reads_on(local, store, n_threads=2)
    assert len(told) == (how == "a file")
    assert how == "a file" or list(cache.rglob("shards/*/*"))
