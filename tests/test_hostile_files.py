"""Hostile files: tables and studies whose headers were altered by one who also forges checksums."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import dao
from dao.errors import DaoError
from dao.files import parquet_footer_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(sys.platform != "linux", reason="limits memory"),
]

N_FORGED = 60
LARGE = [2**31 - 1, 2**40, 2**63 - 1, 0, 10**9]
GIB = 1 << 30


@pytest.fixture(scope="module")
def study() -> ad.AnnData:
    """A small study with obs of three kinds."""
    x = sp.random(60, 30, 0.3, format="csr", dtype="float32", random_state=0)
    x.data[:] = np.ceil(x.data * 9)
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(["a", "b", "c"] * 20),
            "n": np.arange(60),
            "text": [f"x{i}" for i in range(60)],
        },
        index=[f"c{i}" for i in range(60)],
    )
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(30)]))


@pytest.fixture
def bounded() -> Iterator[None]:
    """Give this process no more than some GiB above what it has."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2 * GIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def altered(data: bytes, first: int, random: np.random.Generator) -> bytes:
    """Return bytes of which up to three places from ``first`` on say something else."""
    out = bytearray(data)
    for _ in range(int(random.integers(1, 4))):
        place = int(random.integers(first, len(out) - 8))
        if random.random() < 0.6:
            out[place] = int(random.integers(256))
        else:
            out[place : place + 8] = int(random.choice(LARGE)).to_bytes(8, "little")
    return bytes(out)


def is_refused(read: Callable[[], Any]) -> bool:
    """Return whether reading was an error of dao; any other error comes through."""
    try:
        read()
    except DaoError:
        return True
    return False


def everything(path: Path) -> None:
    """Read all tables of a store."""
    store = dao.load_store(path)
    _ = store.obs, store.var, store.measured(), store.uns
    store.subset("n > 5 and cell_type == 'a'").to_anndata()


@pytest.mark.usefixtures("bounded")
def test_tables_with_forged_checksums(study: ad.AnnData, tmp_path: Path) -> None:
    """A table whose footer lies, with a manifest that vouches for it."""
    path = tmp_path / "store.dao"
    dao.write_store(path, {"a": study}, progress=False)
    manifest = json.loads((path / "dao.json").read_text(encoding="utf-8"))
    del manifest["checksum"]  # one who forges a store would compute it
    text = json.dumps(manifest)
    random = np.random.default_rng(0)
    files = sorted(path.rglob("*.parquet"))
    n_refused = 0
    for number in range(N_FORGED):
        file = files[number % len(files)]
        data = file.read_bytes()
        footer = len(data) - int.from_bytes(data[-8:-4], "little") - 8
        sums = [hashlib.sha256(data).hexdigest(), parquet_footer_sha256(file)]
        file.write_bytes(altered(data[:-8], footer, random) + data[-8:])
        forged = text.replace(sums[0], hashlib.sha256(file.read_bytes()).hexdigest())
        forged = forged.replace(sums[1], parquet_footer_sha256(file))
        (path / "dao.json").write_text(forged, encoding="utf-8")
        n_refused += is_refused(lambda: everything(path))
        file.write_bytes(data)
    assert N_FORGED // 2 < n_refused <= N_FORGED


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_studies_that_lie(study: ad.AnnData, tmp_path: Path, compression: Any) -> None:
    """An .h5ad file with altered bytes is refused, or read as what it says by now."""
    study.write_h5ad(tmp_path / "a.h5ad", compression=compression)
    data = (tmp_path / "a.h5ad").read_bytes()
    random = np.random.default_rng(1)
    n_refused = 0
    for _ in range(N_FORGED):
        (tmp_path / "a.h5ad").write_bytes(altered(data, 0, random))
        target = tmp_path / "a.dao"
        refused = is_refused(
            lambda target=target: dao.write_store(target, tmp_path / "a.h5ad", progress=False)
        )
        n_refused += refused
        assert target.exists() != refused
        if not refused:
            everything_there = dao.load_store(target)
            assert everything_there.to_anndata().n_obs == everything_there.n_obs
            shutil.rmtree(target)
    assert 0 < n_refused <= N_FORGED
