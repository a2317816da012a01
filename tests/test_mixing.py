"""Mixing: what is chosen reaches what is promised, and what is measured is true."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import entropy

from dao import samplers
from dao.samplers.mixing import measure_mixing

if TYPE_CHECKING:
    import dao

N_OBS = 24_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> dao.Store:
    """24,000 cells of 40 types of very different sizes, sorted by type, written unshuffled."""
    import dao as package

    random = np.random.default_rng(1)
    types = np.sort(random.choice(40, N_OBS, p=random.dirichlet(np.full(40, 0.5))))
    columns: dict[str, Any] = {f"other {i}": pd.Categorical(["same"] * N_OBS) for i in range(8)}
    columns["type"] = pd.Categorical.from_codes(types, [f"type {i}" for i in range(40)])
    obs = pd.DataFrame(columns, index=[f"c{i}" for i in range(N_OBS)])
    x = sp.random(N_OBS, 5, 0.5, "csr", np.float32, rng=random)
    target = tmp_path_factory.mktemp("mixing") / "sorted.dao"
    return package.write_store(target, anndata.AnnData(x, obs), shuffle=False, progress=False)


def bits(codes: Any) -> float:
    """Return the entropy of labels."""
    return float(entropy(np.bincount(codes), base=2))


def perfect(codes: Any, size: int, n: int = 300) -> float:
    """Return the mean entropy of batches drawn from all cells."""
    random = np.random.default_rng(0)
    return float(np.mean([bits(random.choice(codes, size, replace=False)) for _ in range(n)]))


@pytest.mark.parametrize("batch_size", ["auto", 1_000, 4_096])
def test_what_is_chosen_mixes_as_promised(store: dao.Store, batch_size: Any) -> None:
    """Batches as they come reach 98 % of a perfect shuffle, and explain says by what."""
    generator = store.generator(batch_size, obs_keys=["type"], drop_last=True)
    codes = store.obs["type"].cat.codes.to_numpy()
    found = [bits(b["obs"]["type"].cat.codes) for _ in range(3) for b in generator]
    size = generator.batch_size
    assert size
    assert np.mean(found) > 0.98 * perfect(codes, size)
    block = generator.sampler.block
    assert 1 <= block < 256  # a block of neighbours has one type, or two
    text = generator.explain()
    assert f"block={block:,}, window=16,384" in text
    assert (f"batch_size={size:,}" in text) == (batch_size == "auto")
    assert "'type' entropy" in text
    assert "chosen" not in store.generator(64, sampler="random").explain()


def test_without_choosing_it_would_not(store: dao.Store) -> None:
    """Large blocks of a sorted store mix badly, and the measure says so."""
    poor = store.generator(1_000, sampler=samplers.Shuffle(256, 1_024)).mixing("type")
    good = store.generator(1_000).mixing("type")
    assert poor.ratio < 0.8
    assert good.ratio > 0.98
    assert max(poor.error, good.error) < 0.02


@pytest.mark.parametrize("n", [60, 4_000])
@pytest.mark.parametrize("seed", [0, 1])
def test_few_batches_are_no_accident(n: int, seed: int) -> None:
    """With two batches in an epoch others are looked at; the error covers the truth."""
    codes = np.random.default_rng(seed).integers(0, 12, n)
    rows = samplers.Rows(np.array([n], np.int64))
    plan = partial(samplers.Random().plan, rows, seed=seed)
    mixing = measure_mixing(lambda epoch: plan(epoch=epoch), n // 2, "label", lambda i: codes[i])
    assert mixing.n_batches == 16
    truth = perfect(codes, n // 2, 2_000)
    assert abs(mixing.batch - truth) < 5 * mixing.error * mixing.perfect
    assert abs(mixing.ratio - 1) <= 5 * mixing.error
    assert f"± {100 * mixing.error:.1f} %" in str(mixing)


def test_nothing_to_mix(store: dao.Store) -> None:
    """One value, one batch, no cell: no division by zero."""
    assert store.generator(100).mixing("other 0").ratio == 1
    assert store.generator(None, sampler=samplers.Grouped("type")).mixing("type").batch == 0
    empty = store.take([])
    assert empty.generator(10).mixing("type").ratio == 1
