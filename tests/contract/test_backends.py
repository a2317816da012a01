"""The contract on dao's own backends, and on one that somebody else registers."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

import dao
from dao import backend as registry
from dao.backend import find_backend
from dao.errors import MissingExtraError, UnknownBackendError
from dao.testing import BackendContract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import anndata as ad

    from dao.backend import Reader

THIRD_PARTY = '''
import anndata as ad
import numpy as np
import zarr

from dao.backend import DenseRows, SparseRows
from dao.directory import StoreDirectory
from dao.errors import ArgumentError, CorruptStoreError, UnknownDatasetError


class PlainBackend:
    def open(self, path, *, memory, options):
        return PlainReader(path)


class PlainReader:
    """Reads every matrix whole through anndata and zarr-python, and keeps nothing."""

    def __init__(self, path):
        self.directory = StoreDirectory(path)
        self.table, self.document = self.directory.table, self.directory.document

    def manifest(self):
        return self.directory.manifest

    def rows(self, dataset, matrix, rows):
        infos = {d.id: d for d in self.manifest().datasets}
        if dataset not in infos or matrix not in infos[dataset].matrices:
            raise UnknownDatasetError(f"no {matrix} of {dataset}")
        info = infos[dataset].matrices[matrix]
        if len(rows) and not 0 <= min(rows) <= max(rows) < info.shape[0]:
            raise ArgumentError("rows out of range")
        folder = self.directory.root / infos[dataset].path / matrix
        for name, array in info.arrays.items():
            for k, size in enumerate(array.shard_sizes):
                shard = folder / name / "c" / str(k)
                if size and name and (not shard.exists() or shard.stat().st_size != size):
                    raise CorruptStoreError(str(shard))
        try:
            whole = ad.io.read_elem(zarr.open(str(folder), mode="r"))
        except Exception as error:
            raise CorruptStoreError(str(error)) from error
        if info.encoding == "dense":
            return DenseRows(np.asarray(whole), np.asarray(rows))
        starts = whole.indptr.astype(np.int64)
        lengths = np.diff(starts)[rows]
        return SparseRows(whole.data, whole.indices, starts[:-1][rows], lengths, info.shape[1])

    def close(self):
        pass

    def __getstate__(self):
        return self.directory

    def __setstate__(self, directory):
        self.directory = directory
        self.table, self.document = directory.table, directory.document
'''


class TestZarr(BackendContract):
    """zarr-python, the reference."""

    backend_name = "zarr"


class TestLocal(BackendContract):
    """Compiled loops, the default."""

    backend_name = "local"


class TestMemory(BackendContract):
    """Decoded once."""

    backend_name = "memory"


class TestZarrs(BackendContract):
    """Rust."""

    backend_name = "zarrs"


class OverHttp(BackendContract):
    """The contract with the store behind a web server."""

    server: ClassVar[Any]
    cached = False

    @pytest.fixture(autouse=True)
    def _served(self, web_server: Any, tmp_path: Path) -> None:
        type(self).server = web_server
        self.cache_dir = tmp_path / "cache"

    def open_reader(self, path: Path, memory: int = 1 << 30) -> Reader:
        options = {"cache_dir": str(self.cache_dir)} if self.cached else {}
        url = self.server.url(path)
        return find_backend(self.backend_name).open(url, memory=memory, options=options)


class TestCloud(OverHttp):
    """The default for URLs."""

    backend_name = "cloud"
    cached = True


class TestZarrOverHttp(OverHttp):
    """zarr-python at a URL."""

    backend_name = "zarr"


class TestZarrsOverHttp(OverHttp):
    """Rust at a URL."""

    backend_name = "zarrs"


@pytest.fixture(scope="module")
def third_party(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A distribution that registers a good backend, a broken one and one that lacks a package."""
    site = tmp_path_factory.mktemp("site-packages")
    (site / "plain_backend.py").write_text(THIRD_PARTY)
    (site / "broken_backend.py").write_text("raise RuntimeError('half installed')\n")
    (site / "poor_backend.py").write_text("import a_package_that_is_not_there\n")
    (site / "empty_backend.py").write_text("class Nothing: pass\n")
    info = site / "plain_backend-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plain-backend\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        textwrap.dedent(
            """
            [dao.backends]
            plain = plain_backend:PlainBackend
            broken = broken_backend:Backend
            poor = poor_backend:Backend
            empty = empty_backend:Nothing
            """
        )
    )
    sys.path.insert(0, str(site))
    registry.refresh_backends()
    yield site
    sys.path.remove(str(site))
    registry.refresh_backends()


@pytest.mark.usefixtures("third_party")
class TestThirdParty(BackendContract):
    """A backend of another package, found by its entry point."""

    backend_name = "plain"


@pytest.mark.usefixtures("third_party")
def test_third_party_streams_the_same(
    write: Callable[..., dao.Store], make_study: Callable[..., ad.AnnData]
) -> None:
    """A store opened by another package's backend streams the same rows in the same order."""
    store = write({"a": make_study(0), "b": make_study(1)})
    other = dao.load_store(store.path, backend="plain")
    assert other.backend == "plain"
    for mine, theirs in zip(store.generator(16), other.generator(16), strict=True):
        np.testing.assert_array_equal(mine["index"], theirs["index"])
        assert abs(mine["X"] - theirs["X"]).sum() == 0


@pytest.mark.usefixtures("third_party")
def test_backends_that_cannot_be_used(
    write: Callable[..., dao.Store],
    make_study: Callable[..., ad.AnnData],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A broken plugin, a missing package, no backend at all and a typing error say so."""
    path = write(make_study()).path
    with pytest.raises(UnknownBackendError, match="half installed"):
        dao.load_store(path, backend="broken")
    with pytest.raises(MissingExtraError, match="pip install"):
        dao.load_store(path, backend="poor")
    with pytest.raises(UnknownBackendError, match="no open"):
        dao.load_store(path, backend="empty")
    with pytest.raises(UnknownBackendError, match=r"Did you mean .*'zarrs'"):
        dao.load_store(path, backend="zars")
    monkeypatch.setitem(registry._EXTRAS, "absent", "cloud")
    with pytest.raises(MissingExtraError, match=r"dao-store\[cloud\]"):
        dao.load_store(path, backend="absent")
    assert {"local", "zarr", "zarrs", "plain"} <= set(registry.available_backends())
