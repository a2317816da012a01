"""Batches that are decoded in one go equal those that are gathered, and damage is noticed there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dao
from dao import samplers
from dao.backend import FusedReader
from dao.errors import CorruptStoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


pytestmark = pytest.mark.once


def study(seed: int, n_obs: int, highest: int, density: float = 0.2) -> ad.AnnData:
    """Return counts with some empty cells, and a layer of fractions."""
    random = np.random.default_rng(seed)
    x = sp.random(n_obs, 60, density, "lil", np.float32, rng=random)
    x[random.random(n_obs) < 0.2] = 0
    x = sp.csr_matrix(x)
    x.data[:] = random.integers(1, highest + 1, x.nnz)
    names = [f"g{i}" for i in random.permutation(80)[:60]]
    adata = ad.AnnData(x, var=pd.DataFrame(index=names))
    adata.obs_names = [f"{seed}-{i}" for i in range(n_obs)]
    adata.obs["share"] = random.random(n_obs)
    adata.layers["half"] = x / 2
    return adata


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 8, 16 and 32 bits, of one study that is stored densely and one without cells."""
    path = tmp_path_factory.mktemp("fused") / "store.dao"
    studies = {
        "bytes": study(0, 90, 200),
        "words": study(1, 70, 60_000),
        "longs": study(2, 30, 1_000_000),
        "dense": study(3, 25, 9, density=0.97),
        "none": study(4, 0, 9),
        "large": study(5, 6_000, 300),
    }
    dao.write_store(path, studies, layers=["half"], progress=False)
    return path


@given(data=st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_equal_to_the_reference(path: Path, data: st.DataObject) -> None:
    """Every batch is that of zarr-python: order, values, dtype, sorted indices."""
    memory = data.draw(st.sampled_from(["1GiB", "2MB", "100kB"]))
    local = dao.load_store(path, backend="local", memory=memory)
    reference = dao.load_store(path, backend="zarr")
    assert isinstance(local.reader, FusedReader)
    assert not isinstance(reference.reader, FusedReader)
    names = list(local.var_names)
    genes = data.draw(st.sampled_from([None, names[::-4], names[2::3], names[7:8], names[1:]]))
    some = data.draw(
        st.sampled_from([["bytes"], ["bytes", "words", "longs"], ["dense", "words"], ["none"]])
    )
    window = data.draw(st.integers(1, 250))
    arguments: dict[str, Any] = {
        "batch_size": data.draw(st.integers(1, 300)),
        "x_format": data.draw(st.sampled_from(["csr", "dense"])),
        "dtype": data.draw(st.sampled_from(["float32", "float64"])),
        "sampler": data.draw(
            st.sampled_from(
                [
                    samplers.Random(window),
                    samplers.Shuffle(7, window),
                    samplers.Weighted("share", size=150, window=window),
                ]
            )
        ),
        "layers": data.draw(st.sampled_from([(), ("half",)])),
        "var_names": genes,
    }
    one = local.subset(dataset=some).generator(**arguments)
    other = reference.subset(dataset=some).generator(**arguments)
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine["index"], theirs["index"])
        compare(mine["X"], theirs["X"])
        assert mine["layers"].keys() == theirs["layers"].keys()
        for name, layer in mine["layers"].items():
            compare(layer, theirs["layers"][name])


def compare(mine: Any, theirs: Any) -> None:
    """Matrices are equal in every respect."""
    assert type(mine) is type(theirs)
    assert mine.dtype == theirs.dtype
    if isinstance(mine, np.ndarray):
        np.testing.assert_array_equal(mine, theirs)
        return
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))
    assert mine.has_sorted_indices


# Every way of decoding: all columns, or chosen ones in the order of the store or another.
FORMS = [
    ("csr", None),
    ("csr", slice(None, None, 2)),
    ("csr", slice(None, None, -2)),
    ("dense", None),
]


@pytest.mark.parametrize(("x_format", "genes"), FORMS)
@pytest.mark.parametrize("array", ["data", "indices"])
@pytest.mark.parametrize("place", [None, 0.0, 0.3, 0.6, 0.99])
def test_damage_is_noticed(
    tmp_path: Path, path: Path, x_format: str, genes: slice | None, array: str, place: float | None
) -> None:
    """A flipped bit anywhere in a shard, or a missing one, ends the stream and names the file."""
    import shutil

    copy = tmp_path / "copy.dao"
    shutil.copytree(path, copy)
    shard = copy / "datasets" / "large" / "X" / array / "c" / "0"
    content = bytearray(shard.read_bytes())
    if place is None:
        shard.unlink()
    else:
        content[int(place * len(content))] ^= 4
        shard.write_bytes(content)
    store = dao.load_store(copy, backend="local")
    chosen = None if genes is None else store.var_names[genes]
    with pytest.raises(CorruptStoreError, match=f"large/X/{array}"):
        list(store.generator(500, x_format=x_format, var_names=chosen))
    assert sum(len(b["index"]) for b in store.subset(dataset="bytes").generator(20)) == 90


@pytest.mark.parametrize(("x_format", "genes"), FORMS)
def test_columns_out_of_bounds(
    write: Callable[..., dao.Store], x_format: str, genes: slice | None
) -> None:
    """A column number beyond the matrix, with checksums that are right, is an error."""
    store = write({"a": study(0, 50, 9)})
    folder = store.reader.manifest().datasets[0].path
    root = zarr.open_array(f"{store.path}/{folder}/X/indices", mode="r+")
    root[7] = 60
    manifest = json.loads((store_file := _manifest(store)).read_text())
    del manifest["checksum"]
    array = manifest["datasets"][0]["matrices"]["X"]["arrays"]["indices"]
    shard = store_file.parent / folder / "X" / "indices" / "c" / "0"
    array["shard_sizes"] = [shard.stat().st_size]
    store_file.write_text(json.dumps(manifest))
    opened = dao.load_store(store.path, backend="local")
    chosen = None if genes is None else opened.var_names[genes]
    with pytest.raises(CorruptStoreError, match="60 columns"):
        list(opened.generator(20, x_format=x_format, var_names=chosen))


def _manifest(store: dao.Store) -> Path:
    from pathlib import Path

    return Path(store.path) / "dao.json"
