"""Arguments of the wrong type end in words, not in errors of Python or of a library."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import dao
from dao.errors import ArgumentError, DaoError, StoreNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STRANGE = [None, 0, True, 2.5, np.array([]), np.ones((2, 2)), np.array(3), pd.NA, [None], [["G1"]]]


@pytest.fixture
def store(write: Callable[..., dao.Store], make_study: Any) -> dao.Store:
    """A store with one study."""
    return write({"gut": make_study(0)}, organism="human", layers=["doubled"], obsm=["X_pca"])


@pytest.mark.parametrize(
    "argument",
    ["obs_keys", "layers", "obsm", "x_format", "missing", "drop_last", "measured", "dtype"],
)
def test_arguments_of_a_stream(store: dao.Store, argument: str) -> None:
    """Whatever is passed, the argument is named."""
    for value in STRANGE:
        if argument in {"drop_last", "measured"} and value is True:
            continue
        if (
            isinstance(value, np.ndarray)
            and not value.size
            and argument in {"obs_keys", "layers", "obsm"}
        ):
            continue  # no names are none
        if argument == "dtype" and value is None:
            continue  # for NumPy that is float64
        with pytest.raises(ArgumentError, match=rf"^{argument}="):
            store.generator(8, **{argument: value})


def test_batch_sizes(store: dao.Store) -> None:
    """Whole numbers from 1 on."""
    for value in (0, -1, 2**70, 2.5, True, "many", pd.NA, np.array([3]), [3]):
        with pytest.raises(ArgumentError, match=r"^batch_size="):
            store.generator(value)


def test_names_in_any_list(store: dao.Store) -> None:
    """Lists, arrays, an Index and a Series of names are names; so is one name."""
    for keys in (
        ["stage"],
        ("stage",),
        np.array(["stage"]),
        pd.Index(["stage"]),
        "stage",
        {"stage"},
    ):
        (batch,) = store.generator(100, obs_keys=keys)
        assert list(batch["obs"].columns) == ["stage"]
    assert store.to_memory(layers=pd.Series(["doubled"])).backend == "memory"
    assert store.sample(2, by=np.array(["stage"])).n_obs == store.sample(2, by="stage").n_obs


CALLS: dict[str, Callable[[dao.Store, Any], Any]] = {
    "keep": lambda store, value: store.keep(value),
    "to_memory": lambda store, value: store.to_memory(layers=value),
    "sample": lambda store, value: store.sample(3, by=value),
    "select_features by": lambda store, value: store.select_features(["G1"], by=value),
    "select_features missing": lambda store, value: store.select_features(["G1"], value),
    "select_features where": lambda store, value: store.select_features(where=value),
    "gene_stats": lambda store, value: store.gene_stats(layer=value),
    "load_store backend": lambda store, value: dao.load_store(store.path, value),
    "load_store columns": lambda store, value: dao.load_store(store.path, columns=value),
    "load_store options": lambda store, value: dao.load_store(store.path, storage_options=value),
    "descendants": lambda _, value: dao.descendants("B", part_of=value),
    "mixing": lambda store, value: store.generator(8).mixing(value),
    "set_epoch": lambda store, value: store.generator(8).set_epoch(0, reads_all=value),
    "pad": lambda store, value: store.generator(8, pad=value),
    "pseudobulk by": lambda store, value: store.pseudobulk(value),
    "pseudobulk func": lambda store, value: store.pseudobulk("stage", func=value),
    "flavor": lambda store, value: store.highly_variable_genes(3, flavor=value),
    "bins": lambda store, value: store.highly_variable_genes(3, n_bins=value),
    "normalize": lambda store, value: store.value_counts("stage", normalize=value),
    "dropna": lambda store, value: store.value_counts("stage", dropna=value),
    "repair": lambda store, value: dao.validate_store(store.path, repair=value),
    "old": lambda store, value: dao.validate_store(store.path, old_generations=value),
    "remove": lambda store, value: store.remove(value),
    "compact": lambda store, value: store.compact(ids=value, progress=False),
    "merge": lambda store, value: store.compact({"new": value}, progress=False),
    "obs_to_dask": lambda store, value: store.obs_to_dask(value),
    "block": lambda _, value: dao.samplers.Shuffle(block=value),
    "window": lambda _, value: dao.samplers.Sequential(value),
    "size": lambda _, value: dao.samplers.Balanced("stage", size=value),
    "Grouped": lambda _, value: dao.samplers.Grouped(value),
    "match": lambda _, value: dao.samplers.Paired("stage", "a", match=value),
    "unmatched": lambda _, value: dao.samplers.Paired("stage", "a", unmatched=value),
    "replacement": lambda _, value: dao.samplers.Weighted("stage", replacement=value),
    "zero_center": lambda _, value: dao.transforms.Scale([0.0], [1.0], zero_center=value),
    "max_value": lambda _, value: dao.transforms.Scale([0.0], [1.0], max_value=value),
    "totals": lambda _, value: dao.transforms.NormalizeTotal(1.0, value),
    "Scale.fit": lambda _, value: dao.transforms.Scale.fit(value),
    "interleave": lambda _, value: dao.interleave({"a": value}),
    "Source layer": lambda _, value: dao.Source("a.h5ad", layer=value),
    "Source feature_key": lambda _, value: dao.Source("a.h5ad", feature_key=value),
    "Source organism": lambda _, value: dao.Source("a.h5ad", organism=value),
    "Source obs": lambda _, value: dao.Source("a.h5ad", obs={"stage": value}),
    "Source constants": lambda _, value: dao.Source("a.h5ad", constants=value),
    "function of nothing": lambda store, _: store.generator(8, transform=lambda: None),
}
# Some of these take what is among the values below.
TAKES = {"max_value": [2.5]}


@pytest.mark.parametrize("call", CALLS)
def test_other_calls(store: dao.Store, call: str) -> None:
    """They name what they want, too."""
    if call == "obs_to_dask":
        pytest.importorskip("dask.dataframe")
    for value in (0, 2.5, np.ones((2, 2)), np.array(3), pd.NA, [None], {1: 2}):
        if not (isinstance(value, float) and value in TAKES.get(call, [])):
            with pytest.raises(ArgumentError):
                CALLS[call](store, value)


@pytest.mark.parametrize("argument", ["layers", "obsm", "cluster_by", "obs_columns"])
def test_names_that_are_written(
    write: Callable[..., dao.Store], make_study: Any, argument: str
) -> None:
    """What is not a name or a list of names is refused before anything is written."""
    for value in (True, 0, 2.5, pd.NA, [None], ["a", 1], [""], ["a", "a"], np.array(3)):
        with pytest.raises(ArgumentError, match=rf"^{argument}="):
            write({"a": make_study(0)}, **{argument: value})


def test_interleave_takes_dicts(store: dao.Store) -> None:
    """Lists of generators and of weights are refused in words."""
    generator = store.generator(8)
    for value in ([generator], (generator,), generator, "a", None, True):
        with pytest.raises(ArgumentError, match=r"^generators=.*pass a dict"):
            dao.interleave(value)
    for weights in ([1], 2, "a", True):
        with pytest.raises(ArgumentError, match=r"^weights=.*pass a dict"):
            dao.interleave({"a": generator}, weights)
    for weight in ("1", None, [1]):
        with pytest.raises(ArgumentError, match=r"^weights\['a'\]=.*pass a number above 0"):
            dao.interleave({"a": generator}, {"a": weight})
    assert len(list(dao.interleave({"a": generator}, {"a": 2}))) == len(generator)


def test_numbers_of_transforms() -> None:
    """Finite numbers of Python and NumPy are taken, and nothing else."""
    for base in (2, 2.0, np.float32(2), np.int8(2), Decimal(2), 2**70):
        assert dao.transforms.Log1p(base).base == float(base)
    for base in (0, -1, 1, np.nan, np.inf, True, "2", 1j, [2], pd.NA, 10**400):
        with pytest.raises(ArgumentError, match=r"^base="):
            dao.transforms.Log1p(base)  # type: ignore[arg-type]
    x = np.array([[1.0, 4.0]])
    for numbers in ([1, 2], (1.0, 2.0), np.array([1, 2], np.int8), pd.Series([1, 2]), range(1, 3)):
        scaled = x.copy()
        dao.transforms.Scale(numbers, numbers).apply(scaled, None, np.arange(1))  # type: ignore[arg-type]
        assert scaled.tolist() == [[0.0, 1.0]]
    for wrong in (None, 3, "12", [1, None], [1, 1j], ["1", "2"], [[1], [2]], [1, np.nan], {"a": 1}):
        with pytest.raises(ArgumentError, match=r"^mean="):
            dao.transforms.Scale(wrong, [1.0, 1.0])  # type: ignore[arg-type]


def test_numpy_numbers_are_numbers(store: dao.Store) -> None:
    """A narrow dtype does not overflow where rows are counted."""
    plain = store.generator(8, sampler=dao.samplers.Balanced("stage", 7, 3, 5))
    given = dao.samplers.Balanced("stage", np.uint8(7), np.uint8(3), np.int16(5))  # type: ignore[arg-type]
    for one, other in zip(plain, store.generator(np.uint8(8), sampler=given), strict=True):
        assert (one["index"] == other["index"]).all()
    by = dao.samplers.Grouped(np.array(["stage"]))  # type: ignore[arg-type]
    assert by == dao.samplers.Grouped(["stage"])
    plain.set_epoch(np.int64(1))
    assert plain.state_dict(np.int64(0)) == plain.state_dict()
    assert store.highly_variable_genes(np.int64(2), n_bins=np.uint8(5)).shape[0] == store.n_vars


def test_texts_that_are_not_unicode(store: dao.Store) -> None:
    """No cell and no feature has them."""
    for name in ("\udc80", "a\ud800"):
        with pytest.raises(DaoError):
            store.take(name)
        with pytest.raises(DaoError):
            store.subset(stage=name)
        with pytest.raises(DaoError):
            store.select_features(symbol=name)


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_changes_need_a_store(
    write: Callable[..., dao.Store], make_study: Any, tmp_path: Path, mode: str
) -> None:
    """A mistyped path is refused with the stores next to it, and nothing is written there."""
    write({"a": make_study(0)}, name="atlas.dao")
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.iterdir())
    for name in ("atlsa.dao", "new/atlas.dao", "empty"):
        with pytest.raises(StoreNotFoundError, match="pass mode='create' to begin a store"):
            dao.write_store(tmp_path / name, {"b": make_study(1)}, mode=mode, progress=False)
    with pytest.raises(StoreNotFoundError, match=r"Did you mean '.*atlas\.dao'"):
        dao.write_store(tmp_path / "atlsa.dao", {"b": make_study(1)}, mode=mode, progress=False)
    assert sorted(tmp_path.iterdir()) == before
    assert not list((tmp_path / "empty").iterdir())


def test_seeds_of_any_size(store: dao.Store) -> None:
    """As in NumPy; a store that is written keeps its seed, and has room for fewer."""
    huge = 1 << 200
    orders = [list(store.generator(8, seed=seed))[0]["index"] for seed in (huge, huge, 0)]  # noqa: RUF015
    assert (orders[0] == orders[1]).all()
    assert (orders[0] != orders[2]).any()
    assert store.sample(5, seed=huge).n_obs == 5
    with pytest.raises(ArgumentError, match=r"seed=.*: pass a whole number from 0 to"):
        dao.write_store("never.dao", store, seed=huge)
