"""Groups, labels and near matches: exact for every type, and fast for very many values."""

from __future__ import annotations

import difflib
import random
import string
import time
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dao import errors
from dao.batches.numeric import numeric_obs
from dao.batches.rows import rows_of
from dao.errors import near_matches
from dao.samplers import Balanced, Grouped, Labels
from dao.samplers.rows import Rows
from dao.similar import similar

if TYPE_CHECKING:
    from collections.abc import Callable

    import dao

BIG = 2**53
COLUMNS: dict[str, Any] = {
    "int64": np.array([BIG, BIG + 1, BIG, -BIG - 1, -BIG, BIG + 1]),
    "uint64": np.array([2**64 - 1, 2**64 - 2, 2**64 - 1, 0, 1, 2**63], np.uint64),
    "Int64": pd.array([BIG, BIG + 1, None, BIG, None, BIG + 1], dtype="Int64"),
    "float32": np.array([0.1, np.nan, 0.2, 0.1, 1e30, 0.2], np.float32),
    "times": np.array(
        ["2024-01-01", "2024-01-01T00:00:00.000001", "NaT", "2024-01-01", "1999-12-31", "NaT"],
        "datetime64[us]",
    ),
    "lengths": pd.to_timedelta(["1 day", "2 days", None, "1 day", "1 s", "2 s"]),
    "boolean": pd.array([True, False, None, True, None, False], dtype="boolean"),
    "text": np.array(["a", "b", None, "a", "", "b"], object),
}


@pytest.fixture
def store(write: Callable[..., dao.Store]) -> dao.Store:
    """Six cells with a column of every type whose values lie close together."""
    obs = pd.DataFrame(COLUMNS, index=[f"c{i}" for i in range(6)])
    return write(ad.AnnData(np.eye(6, dtype="f4"), obs=obs), shuffle=False)


@pytest.mark.parametrize("name", COLUMNS)
def test_equal_values_are_one_group_and_others_are_not(store: dao.Store, name: str) -> None:
    """Labels part the cells as pandas does, also beyond 2^53 and in microseconds."""
    values = pd.Series(COLUMNS[name])
    expected = values.groupby(values, sort=False).ngroup().to_numpy()
    labels = rows_of(store, None).labels(name)
    assert ((labels.codes < 0) == values.isna().to_numpy()).all()
    pairs = {(int(a), int(b)) for a, b in zip(labels.codes, expected, strict=True) if a >= 0}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    for code, value in zip(labels.codes.tolist(), values, strict=True):
        assert code < 0 or labels.names[code] == value


@pytest.mark.filterwarnings("ignore:2 of 6 cells have no value")
def test_samplers_keep_large_numbers_and_times_apart(store: dao.Store) -> None:
    """A batch of Grouped never mixes neighbours beyond 2^53, nor two dates."""
    for name in ("int64", "uint64", "Int64", "times"):
        column = store.obs[name]
        for batch in store.generator(6, sampler=Grouped(name)):
            assert len(set(column.iloc[batch["index"]])) == 1
    stream = store.generator(6, sampler=Balanced("uint64", size=4000))
    drawn = np.concatenate([b["index"] for b in stream])
    counts = store.obs["uint64"].iloc[drawn].value_counts()
    assert len(counts) == 5
    assert counts.min() > 600


def test_combinations_do_not_overflow() -> None:
    """Three columns of a hundred million names each make the groups that occur."""
    n = 50
    numbers = np.random.default_rng(0).integers(0, 100_000_000, (3, n)).astype(np.int32)
    numbers[:, 7] = numbers[:, 3]
    obs = {f"c{i}": Labels(column, range(100_000_000)) for i, column in enumerate(numbers)}
    labels = Rows(np.array([n]), None, obs).labels(["c0", "c1", "c2"])
    assert len(labels.names) == n - 1
    assert labels.codes[7] == labels.codes[3]
    assert [labels.names[c] for c in labels.codes] == [tuple(r) for r in numbers.T.tolist()]


def test_near_matches_of_few_names_are_those_of_difflib() -> None:
    """Up to some hundred names nothing is left out."""
    draw = random.Random(0)
    names = ["".join(draw.choices("abcde ", k=draw.randint(2, 12))) for _ in range(300)]
    for wanted in ("abcd", "ad e", "e", "bbbbbb"):
        expected = difflib.get_close_matches(wanted, list(dict.fromkeys(names)), cutoff=0.5)
        assert similar(wanted, names) == expected


@given(st.integers(0, 2**32), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_a_typing_error_is_found_among_many_names(seed: int, at: int) -> None:
    """One character too few, or another one, or another case: the name comes first."""
    draw = random.Random(seed)
    names = ["".join(draw.choices(string.ascii_lowercase, k=10)) for _ in range(3000)]
    meant = names[draw.randrange(3000)]
    for wanted in (meant[:at] + meant[at + 1 :], meant[:at] + "#" + meant[at + 1 :], meant.upper()):
        assert similar(wanted, names)[0] == meant


def test_near_matches_take_bounded_time() -> None:
    """A hundred thousand names, and names of a hundred thousand characters."""
    names = [f"CD{i % 7} T cell of clone {i:x}" for i in range(100_000)]
    began = time.process_time()
    assert "'CD1 T cell of clone 6d61'" in near_matches("CD1 T cell of clon 6d61", names)
    near_matches("x" * 100_000, ["y" * 100_000 + str(i) for i in range(50)])
    assert time.process_time() - began < 5


def test_a_batch_of_texts_makes_its_own_rows_alone(write: Callable[..., dao.Store]) -> None:
    """Batches of a unique text column equal obs, also where texts are missing."""
    n = 200
    texts = np.array([None if i % 7 == 0 else f"text {i}" for i in range(n)], object)
    obs = pd.DataFrame({"note": texts}, index=[f"c{i}" for i in range(n)])
    store = write(ad.AnnData(np.ones((n, 2), "f4"), obs=obs))
    for size in (3, 64, n):
        for batch in store.generator(size, obs_keys=["note"]):
            expected = store.obs["note"].iloc[batch["index"]]
            assert batch["obs"]["note"].isna().tolist() == expected.isna().tolist()
            assert batch["obs"]["note"].dropna().tolist() == expected.dropna().tolist()


def test_a_table_that_no_memory_holds_is_refused(store: dao.Store, monkeypatch: Any) -> None:
    """value_counts of two columns with very many values says what to do."""
    monkeypatch.setattr("dao.choose.counts._MOST_ENTRIES", 5)
    with pytest.raises(errors.ArgumentError, match="groupby"):
        store.value_counts("text", by="boolean")
    counts = store.value_counts("times")
    assert counts.index[0] == pd.Timestamp("2024-01-01")
    assert counts.iloc[0] == 2


# --- whole numbers as tensors --------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        pd.array([2**53 + 1, None, 5], dtype="Int64"),
        pd.array([-(2**53) - 1, None, 5], dtype="Int64"),
        pd.array([2**63 - 1, None, 5], dtype="Int64"),
        pd.array([2**64 - 1, None, 5], dtype="UInt64"),
    ],
)
def test_a_whole_number_is_not_rounded(write: Callable[..., dao.Store], values: Any) -> None:
    """What float64 cannot hold next to missing values is an error that names the column."""
    obs = pd.DataFrame({"id": values}, index=["a", "b", "c"])
    column = write(ad.AnnData(np.eye(3, dtype="f4"), obs=obs)).obs_column("id")
    with pytest.raises(errors.ArgumentError, match=f"'id'.*{values[0]} exactly.*obs_keys"):
        numeric_obs("id", column)
    assert sorted(numeric_obs("id", column.take(column.values == 5)).tolist()) == [5]


@pytest.mark.parametrize(
    "values",
    [
        pd.array([2**53, None, -(2**60)], dtype="Int64"),
        pd.array([-(2**63), None, 2**62], dtype="Int64"),
        pd.array([2**63, None, 2**53 + 2], dtype="UInt64"),
        pd.array([2**31 - 1, None, -(2**31)], dtype="Int32"),
    ],
)
def test_whole_numbers_that_floats_hold(write: Callable[..., dao.Store], values: Any) -> None:
    """Missing values are NaN, and every number is the one that was written."""
    obs = pd.DataFrame({"id": values}, index=["a", "b", "c"])
    store = write(ad.AnnData(np.eye(3, dtype="f4"), obs=obs), shuffle=False)
    found = numeric_obs("id", store.obs_column("id"))
    assert [int(found[0]), int(found[2])] == [values[0], values[2]]
    assert np.isnan(found[1])


def test_a_study_without_the_column_rounds_nothing(write: Callable[..., dao.Store]) -> None:
    """Ids stay whole until an append makes some missing; then torch refuses them."""
    pytest.importorskip("torch")
    obs = pd.DataFrame({"id": 2**60 + np.arange(3)}, index=["a", "b", "c"])
    x = np.eye(3, dtype="f4")
    [batch] = write({"a": ad.AnnData(x, obs=obs)}, shuffle=False).torch(3, obs_keys=["id"])
    assert sorted(batch["obs"]["id"].tolist()) == obs["id"].tolist()
    store = write({"b": ad.AnnData(x)}, mode="append")
    with pytest.raises(errors.ArgumentError, match=r"'id'.*has missing values"):
        list(store.torch(3, obs_keys=["id"]))
    batches = list(store.torch(3, obs_keys=["dataset"]))
    assert sum(len(b["X"]) for b in batches) == 6


@pytest.mark.parametrize("name", ["int64", "float32", "times", "lengths", "boolean"])
def test_columns_without_categories(store: dao.Store, name: str) -> None:
    """Categories of numbers, times and booleans are an error, not an empty list."""
    dtype = store.manifest.obs_columns[name].dtype
    with pytest.raises(errors.ArgumentError) as caught:
        store.categories(name)
    assert f"{name!r} is {dtype}" in str(caught.value)
    assert f"store.obs[{name!r}].unique()" in str(caught.value)
