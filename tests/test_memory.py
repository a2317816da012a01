"""The memory backend and `to_memory`: the same rows, decoded once, in narrow arrays."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dao
from dao import samplers
from dao.errors import ArgumentError, UnknownDatasetError
from dao.testing import WrappedReader
from dao_backends.memory import MemoryReader

if TYPE_CHECKING:
    from pathlib import Path

WIDE = {"none": 0.0, "few": 0.01, "half": 0.5}  # share of counts that need more than a byte


def study(seed: int, n_obs: int, share: float) -> ad.AnnData:
    """Return counts with some empty cells, of which a share is above 255."""
    random = np.random.default_rng(seed)
    x = sp.random(n_obs, 60, 0.2, "lil", np.float32, rng=random)
    x[random.random(n_obs) < 0.2] = 0
    x = sp.csr_matrix(x)
    x.data[:] = random.integers(1, 256, x.nnz)
    wide = random.random(x.nnz) < share
    x.data[wide] += random.integers(1, 70_000, wide.sum())
    genes = [f"g{i}" for i in random.permutation(80)[:60]]
    adata = ad.AnnData(x, var=pd.DataFrame(index=genes))
    adata.obs_names = [f"{seed}-{i}" for i in range(n_obs)]
    adata.obs["group"] = pd.Categorical(random.choice(["a", "b", "c"], n_obs))
    adata.layers["half"] = x / 2
    adata.obsm["pca"] = random.normal(size=(n_obs, 3)).astype(np.float32)
    return adata


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of counts of all widths, of one dense study and one without cells."""
    path = tmp_path_factory.mktemp("memory") / "store.dao"
    studies = {name: study(i, 200, share) for i, (name, share) in enumerate(WIDE.items())}
    dense = study(7, 30, 0.0)
    dense.X = dense.X.toarray() + np.float32(0.5)
    studies |= {"dense": dense, "empty": study(8, 0, 0.0)}
    dao.write_store(path, studies, layers=["half"], obsm=["pca"], progress=False)
    return path


def same(mine: Any, theirs: Any) -> None:
    """Compare two streams, batch by batch, in every respect."""
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(one["index"], other["index"])
        pairs = [(one["X"], other["X"])]
        pairs += [(one[k][n], other[k][n]) for k in ("layers", "obsm") for n in other[k]]
        for a, b in pairs:
            assert type(a) is type(b)
            assert a.dtype == b.dtype
            parts = ("indptr", "indices", "data") if sp.issparse(b) else ("T",)
            for part in parts:
                np.testing.assert_array_equal(getattr(a, part), getattr(b, part))


@pytest.mark.once
@given(data=st.data())
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_streams_the_same(path: Path, data: st.DataObject) -> None:
    """Any selection, in any order, with any features, is the same held and not held."""
    everything = dao.load_store(path, backend="zarr")
    some = data.draw(
        st.sampled_from([["few"], ["none", "half"], ["few", "dense"], ["empty"], [*WIDE]])
    )
    store = everything.subset(dataset=some)
    if data.draw(st.booleans()):
        store = store.subset(group=["a", "c"]) if store.n_obs else store
    if data.draw(st.booleans()) and store.n_obs:
        rows = st.lists(st.integers(0, store.n_obs - 1), min_size=1, max_size=50)
        store = store.take(data.draw(rows))
    if data.draw(st.booleans()):
        store = store.select_features(list(everything.var_names[::-3]))
    names = [None, list(store.var_names[::2])]
    arguments: dict[str, Any] = {
        "batch_size": data.draw(st.integers(1, 300)),
        "x_format": data.draw(st.sampled_from(["csr", "dense"])),
        "dtype": data.draw(st.sampled_from(["float32", "float64"])),
        "sampler": samplers.Shuffle(7, data.draw(st.integers(1, 250))),
        "var_names": data.draw(st.sampled_from(names)),
        "layers": data.draw(st.sampled_from([(), ("half",)])),
        "obsm": data.draw(st.sampled_from([(), ("pca",)])),
    }
    held = store.to_memory()
    same(held.generator(**arguments), store.generator(**arguments))
    opened = dao.load_store(path, backend="memory")
    again = replace(store, reader=opened.reader, backend="memory")
    same(again.generator(**arguments), store.generator(**arguments))


def test_everything_else_is_the_same(path: Path) -> None:
    """Tables, AnnData and the cells that are not held come as without memory."""
    store = dao.load_store(path).subset(dataset=list(WIDE))
    part = store.subset(group="a")
    held = part.to_memory()
    pd.testing.assert_frame_equal(held.obs, part.obs)
    assert (held.to_anndata().X != part.to_anndata().X).nnz == 0
    rest, expected = (~held).subset(dataset="few"), (~part).subset(dataset="few")
    assert (rest.to_anndata().X != expected.to_anndata().X).nnz == 0
    both = held | rest
    same(both.generator(50), (part | expected).generator(50))


@pytest.mark.parametrize(("name", "bytes_per_value"), [("none", 3), ("few", 3.1), ("half", 6)])
def test_narrow(path: Path, name: str, bytes_per_value: float) -> None:
    """A count takes three bytes, a quarter of scipy's float32 and int64, also beside larger ones."""
    store = dao.load_store(path).subset(dataset=name)
    held = store.to_memory(layers=(), obsm=())
    assert isinstance(held.reader, MemoryReader)
    info = store.matrix_infos("X")[0]
    assert info.dtype == {"none": np.uint8}.get(name, np.uint32)
    for_rows = 16 * (info.shape[0] + 1)
    assert held.reader.nbytes - for_rows <= bytes_per_value * info.nnz


def test_chosen_features_alone_are_held(path: Path) -> None:
    """With few genes little is held."""
    store = dao.load_store(path).subset(dataset="few")
    few = store.select_features(store.var_names[:6])
    readers = few.to_memory(layers=()).reader, store.to_memory(layers=()).reader
    assert all(isinstance(reader, MemoryReader) for reader in readers)
    small, large = (reader.nbytes for reader in readers)  # type: ignore[attr-defined]
    assert small < 0.6 * large


class Counting(WrappedReader):
    """Counts requests."""

    n = 0

    def rows(self, dataset: str, matrix: str, rows: Any) -> Any:
        """Return rows of a matrix."""
        self.n += 1
        return super().rows(dataset, matrix, rows)


def test_decoded_once_and_only_what_is_asked_for(path: Path) -> None:
    """Many threads and epochs decode a matrix once, and no other."""
    counting = Counting(dao.load_store(path).reader)
    reader = MemoryReader(counting)
    rows = np.arange(200)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: reader.rows("few", "X", rows), range(40)))
    assert counting.n == 1
    store = replace(dao.load_store(path), reader=reader).subset(dataset=["few", "none"])
    for _ in range(3):
        list(store.generator(64))
    assert counting.n == 2
    reader.close()
    assert reader.nbytes == 0


def test_pickled_without_the_matrices(path: Path) -> None:
    """What travels is where to read, not what is held; it works there."""
    held = dao.load_store(path).subset(dataset="half").to_memory()
    assert isinstance(held.reader, MemoryReader)
    for _ in range(2):
        copy = pickle.loads(pickle.dumps(held))
        assert copy.reader.nbytes == 0
        same(copy.generator(64), held.generator(64))
        assert copy.reader.nbytes > 0


def test_what_cannot_be_held(path: Path) -> None:
    """Unknown layers, backends and options say so."""
    store = dao.load_store(path)
    with pytest.raises(UnknownDatasetError, match="half"):
        store.to_memory(layers=["hal"])
    with pytest.raises(ArgumentError, match="speed"):
        dao.load_store(path, backend="memory", speed=3)
    zarr = dao.load_store(path, backend="memory", decoder="zarr").subset(dataset="few")
    same(zarr.generator(64), store.subset(dataset="few").generator(64))
